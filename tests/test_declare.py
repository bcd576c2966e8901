"""`declare_models`: which classes it accepts, and the fix it names for the others."""

import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import (
    DeclarativeBase,
    DeclarativeBaseNoMeta,
    Mapped,
    MappedAsDataclass,
    column_property,
    configure_mappers,
    mapped_column,
    relationship,
    synonym,
)

from flask_orders import (
    BillingAddress,
    ConfigurationError,
    OrdersError,
    current_orders,
    declare_models,
)
from flask_orders.models import OrderMixin

from .support.apps import install, new_db
from .support.requests import HOME


class Legacy:
    """Flask-SQLAlchemy's own base, which needs no class."""


def plain_base() -> Any:
    class Base(DeclarativeBase):
        pass

    return Base


def base_without_metaclass() -> Any:
    class Base(DeclarativeBaseNoMeta):
        pass

    return Base


@pytest.mark.parametrize("base", [lambda: None, plain_base, base_without_metaclass])
def test_every_plain_base_class_is_supported(database: URL, base: Any) -> None:
    db = new_db(base())

    class Person(db.Model):
        __tablename__ = "people"
        id: Mapped[uuid.UUID] = mapped_column(primary_key=True, default=uuid.uuid4)

    class Order(OrderMixin, db.Model):
        gift_note: Mapped[str | None] = mapped_column(sa.String(80))

    models = declare_models(db, customer=Person, order=Order)
    app = install(db, database)
    with app.app_context():
        db.create_all()
        person = Person()
        product = models.Product(sku="A", name="A", price=Decimal(3))
        db.session.add(person)
        db.session.flush()
        db.session.add(
            models.Cart(customer_id=person.id, items=[models.CartItem(product=product, quantity=2)])
        )
        db.session.commit()

        order = current_orders.convert(person.id, billing_address=HOME)
        order.gift_note = "For Ann"  # type: ignore[attr-defined] # the host's own column
        db.session.commit()

        assert isinstance(order, Order)
        assert (order.total_amount, order.customer_id, order.gift_note) == (6, person.id, "For Ann")
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize("meta", [DeclarativeBase, DeclarativeBaseNoMeta])
def test_a_dataclass_base_is_refused_with_the_fix(meta: Any) -> None:
    try:

        class Base(MappedAsDataclass, meta):
            pass

        db = new_db(Base)
    except sa.exc.InvalidRequestError as error:
        # SQLAlchemy 2.1 does not let Flask-SQLAlchemy 3.1 make such a base at all.
        assert "already a dataclass" in str(error)  # noqa: PT017 - it depends on the version
        return
    with pytest.raises(ConfigurationError, match="class Base\\(DeclarativeBase\\)"):
        declare_models(db)


def test_everything_missing_in_a_class_is_named_with_its_fix() -> None:
    db = new_db()

    class Product(db.Model):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        title: Mapped[str]
        sku: Mapped[str]
        name = synonym("title")
        active = True

    with pytest.raises(ConfigurationError) as raised:
        declare_models(db, product=Product)
    message = str(raised.value)
    assert "declare_models(product=Product)" in message
    assert "'price': add price = synonym('...')" in message
    assert "'stock': " in message
    assert "or stock = None if the shop does not count stock" in message
    assert "'shipping': " in message
    assert "'name'" not in message
    assert "'active'" not in message


def test_a_class_that_is_no_model() -> None:
    with pytest.raises(ConfigurationError, match="pass a model, a class on db"):
        declare_models(new_db(), customer=Legacy)


def test_a_class_of_another_db() -> None:
    one, other = new_db(), new_db()

    class User(one.Model):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(ConfigurationError, match="on another db"):
        declare_models(other, customer=User)


def test_a_key_of_two_columns() -> None:
    db = new_db()

    class User(db.Model):
        __tablename__ = "user"
        shop: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(ConfigurationError, match="primary key of 2 columns"):
        declare_models(db, customer=User)


def test_carts_and_products_in_two_tables() -> None:
    """A product's stock is changed in whichever table it is; a cart has to be one row."""
    db = new_db()

    class Thing(db.Model):
        __tablename__ = "thing"
        id: Mapped[int] = mapped_column(primary_key=True)
        kind: Mapped[str]
        sku: Mapped[str]
        stock: Mapped[int]
        name = synonym("sku")
        price = Decimal(1)
        shipping = None
        active = True
        __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "thing"}

    class Book(Thing):
        __tablename__ = "book"
        id: Mapped[int] = mapped_column(sa.ForeignKey(Thing.id), primary_key=True)
        __mapper_args__: ClassVar[Any] = {"polymorphic_identity": "book"}

    with pytest.raises(ConfigurationError, match=r"cart=Book.*top of the hierarchy"):
        declare_models(db, cart=Book)
    assert declare_models(db, product=Book, customer=Book).Product is Book


def test_a_naming_convention_without_indexes() -> None:
    db = SQLAlchemy(metadata=sa.MetaData(naming_convention={"pk": "pk_%(table_name)s"}))
    with pytest.raises(ConfigurationError, match="'ix': 'ix_%"):
        declare_models(db)


def test_an_order_class_without_the_mixin_is_refused() -> None:
    db = new_db()

    class Order(db.Model):
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)

    with pytest.raises(ConfigurationError, match=r"class Order\(OrderMixin, db\.Model\)"):
        declare_models(db, order=Order)


def test_too_late() -> None:
    db = new_db()

    class User(db.Model):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)

    configure_mappers()
    with pytest.raises(ConfigurationError, match=r"came too late.*right after the classes"):
        declare_models(db, customer=User)


def test_after_the_blueprint() -> None:
    db = new_db()

    class User(db.Model):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)

    install(db)
    with pytest.raises(ConfigurationError, match=r"before register_blueprint\(orders_bp\)"):
        declare_models(db, customer=User)


def test_cart_items_without_their_cart() -> None:
    db = new_db()

    class CartItem(db.Model):
        __tablename__ = "cart_item"
        id: Mapped[int] = mapped_column(primary_key=True)
        cart = product = quantity = None

    with pytest.raises(ConfigurationError, match=r"needs product=\.\.\. and cart=\.\.\. too"):
        declare_models(db, cart_item=CartItem)


def test_the_library_s_classes_never_take_the_shop_s_names() -> None:
    """relationship("Address") must go on finding the shop's."""
    db = new_db()

    class Address(db.Model):
        __tablename__ = "address"
        id: Mapped[int] = mapped_column(primary_key=True)

    class User(db.Model):
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        address_id: Mapped[int] = mapped_column(sa.ForeignKey("address.id"))
        address = relationship("Address")

    models = declare_models(db, customer=User)
    configure_mappers()
    assert User.address.property.mapper.class_ is Address
    assert models.Address.__name__ == "OrdersAddress"


def test_a_shop_with_prices_of_its_own_has_no_offers_and_vouchers() -> None:
    db = new_db()

    class ShopPricing:
        pass

    install(db, pricing=ShopPricing())
    assert {"offers", "vouchers", "offer_products", "voucher_redemptions"}.isdisjoint(
        db.metadata.tables
    )
    assert "voucher_id" not in db.metadata.tables["orders"].c


def test_an_address_from_the_shop_s_callback_is_checked() -> None:
    db = new_db()
    app = install(db, saved_address=lambda _customer: BillingAddress("", "", "", "", "CA"))
    with app.app_context():
        db.create_all()
        models = current_orders.models
        product = models.Product(sku="A", name="A", price=Decimal(3))
        items = [models.CartItem(product=product, quantity=1)]
        db.session.add(models.Cart(customer_id="ann", items=items))
        db.session.commit()
        with pytest.raises(OrdersError) as raised:
            current_orders.convert("ann")
        assert set(raised.value.extensions["errors"]) == {
            "billing_address.street_address",
            "billing_address.postal_code",
            "billing_address.city",
        }
        db.session.commit()
        assert db.session.query(models.Order).count() == 0
        assert db.session.query(models.CartItem).count() == 1


@pytest.mark.parametrize("there", [HOME, None])
def test_an_address_from_the_shop_s_callback(there: BillingAddress | None) -> None:
    db = new_db()
    app = install(db, saved_address=lambda customer_id: there if customer_id == "ann" else None)
    with app.app_context():
        db.create_all()
        models = current_orders.models
        product = models.Product(sku="A", name="A", price=Decimal(3))
        db.session.add(
            models.Cart(customer_id="ann", items=[models.CartItem(product=product, quantity=1)])
        )
        db.session.commit()
        if there is None:
            with pytest.raises(Exception, match="You have no saved address"):
                current_orders.convert("ann")
        else:
            assert current_orders.convert("ann").billing_city == "Ottawa"
        db.session.remove()
        db.engine.dispose()


@pytest.mark.parametrize(
    ("price", "shipping", "quantity", "reason"),
    [
        (None, None, 1, "no_price"),
        (Decimal(-1), None, 1, "no_price"),
        (Decimal(1), Decimal(-1), 1, "no_price"),
        (Decimal(1), None, 0, "invalid_quantity"),
        (Decimal(1), None, -1, "invalid_quantity"),
        (Decimal(1), None, None, "invalid_quantity"),
    ],
)
def test_invalid_rows_in_the_shop_s_tables_are_not_ordered(
    price: Decimal | None, shipping: Decimal | None, quantity: int | None, reason: str
) -> None:
    db = new_db()

    class Product(db.Model):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
        shipping: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
        sku = name = "P"
        stock = None
        active = True

    class Cart(db.Model):
        __tablename__ = "cart"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[str] = mapped_column(sa.String(20))
        voucher = None

    class CartItem(db.Model):
        __tablename__ = "cart_item"
        id: Mapped[int] = mapped_column(primary_key=True)
        cart_id: Mapped[int] = mapped_column(sa.ForeignKey(Cart.id))
        product_id: Mapped[int] = mapped_column(sa.ForeignKey(Product.id))
        quantity: Mapped[int | None]
        cart = synonym("cart_id")
        product = synonym("product_id")

    declare_models(db, product=Product, cart=Cart, cart_item=CartItem)
    app = install(db)
    with app.app_context():
        db.create_all()
        db.session.add_all(
            [Product(id=1, price=price, shipping=shipping), Cart(id=1, customer_id="ann")]
        )
        db.session.flush()
        db.session.add(CartItem(cart_id=1, product_id=1, quantity=quantity))
        db.session.commit()
        with pytest.raises(OrdersError) as raised:
            current_orders.convert("ann", billing_address=HOME)
        db.session.remove()
        db.engine.dispose()
    assert [line["reason"] for line in raised.value.extensions["items"]] == [reason]


def units_left(product: Any) -> Any:
    return product.on_hand - product.reserved


@pytest.mark.parametrize(
    ("make_stock", "is_refused"),
    [
        (lambda: property(units_left), True),
        (lambda: hybrid_property(units_left), True),
        (lambda: column_property(sa.literal_column("on_hand - reserved", sa.Integer)), True),
        (lambda: None, False),
    ],
)
def test_a_stock_that_is_not_a_column_is_refused(
    database: URL, make_stock: Callable[[], Any], is_refused: bool
) -> None:
    db = new_db()

    class Product(db.Model):
        __tablename__ = "product"
        id: Mapped[int] = mapped_column(primary_key=True)
        on_hand: Mapped[int]
        reserved: Mapped[int]
        sku = name = "P"
        price = 1
        shipping = None
        active = True
        stock = make_stock()

    models = declare_models(db, product=Product)
    app = install(db, database)
    with app.app_context():
        db.create_all()
        item = models.CartItem(product=Product(id=1, on_hand=1, reserved=0), quantity=1)
        db.session.add(models.Cart(customer_id="ann", items=[item]))
        db.session.commit()
        if is_refused:
            with pytest.raises(ConfigurationError, match=r"Product.stock is no column.*synonym"):
                current_orders.convert("ann", billing_address=HOME)
        else:
            current_orders.convert("ann", billing_address=HOME)
        db.session.rollback()
        found = app.test_cli_runner().invoke(args=["orders", "check"]).output
        assert ("Product.stock is no column" in found) == is_refused, found
        db.session.remove()
        db.drop_all()
        db.engine.dispose()


def test_a_voucher_that_is_not_a_column_is_refused() -> None:
    db = new_db()

    class Cart(db.Model):
        __tablename__ = "cart"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[str] = mapped_column(sa.String(20))

        @property
        def voucher(self) -> str:
            return "TEN"

    models = declare_models(db, cart=Cart)
    app = install(db)
    with app.app_context():
        db.create_all()
        product = models.Product(sku="P", name="P", price=Decimal(1))
        db.session.add(
            Cart(customer_id="ann", items=[models.CartItem(product=product, quantity=1)])
        )
        db.session.commit()
        with pytest.raises(ConfigurationError, match=r"Cart.voucher is no column.*voucher = None"):
            current_orders.convert("ann", billing_address=HOME)
        found = app.test_cli_runner().invoke(args=["orders", "check"]).output
        assert "Cart.voucher is no column" in found
        db.session.remove()
        db.engine.dispose()
