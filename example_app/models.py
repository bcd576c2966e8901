"""The shop's tables: its own customers; all others are flask_orders' default models."""

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy import MetaData, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from flask_orders import declare_models

# With a name, a constraint can be changed by a later migration on every database.
NAMES = {
    "ix": "ix_%(column_0_label)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}

db = SQLAlchemy(metadata=MetaData(naming_convention=NAMES))


class Customer(db.Model):  # type: ignore[name-defined,misc] # made at run time
    """A customer with a password; the e-mail address is stored in lower case."""

    __tablename__ = "customers"

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(255), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))


orders = declare_models(db, customer=Customer)

# For the staff's pages, which look an order up by e-mail address.
orders.Order.customer = relationship(Customer, viewonly=True)  # type: ignore[attr-defined] # new

Product = orders.Product
Cart = orders.Cart
CartItem = orders.CartItem
Order = orders.Order
OrderPayment = orders.OrderPayment
OrderRefund = orders.OrderRefund
OrderEvent = orders.OrderEvent
Offer = orders.Offer
Address = orders.Address
Voucher = orders.Voucher
