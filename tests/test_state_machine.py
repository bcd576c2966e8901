"""A shop against a simple model of it: both agree after any sequence of actions.

ORDERS_TEST_LONG makes it 200 examples of 50 steps; otherwise it is 15 of 25.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from flask_orders.testing import Ledger

from .support.effort import LONG, examples
from .support.requests import SAVE
from .support.responses import body
from .support.shops import Shop

SETTINGS = settings(
    max_examples=200 if LONG else examples(15),
    stateful_step_count=50 if LONG else 25,
    deadline=None,
    suppress_health_check=list(HealthCheck),  # pyright: ignore[reportArgumentType] # an enum
)
CUSTOMERS = 3

customers = st.integers(0, CUSTOMERS - 1)
quantities = st.integers(1, 6)
prices = st.integers(0, 5000).map(lambda cents: Decimal(cents) / 100)


@dataclass
class ModelProduct:
    price: Decimal
    stock: int | None
    active: bool = True


@dataclass
class ModelVoucher:
    amount: Decimal
    usage: str
    limit: int | None
    used_by: list[int] = field(default_factory=list)

    def refuses(self, customer: int) -> bool:
        limits = [self.limit, 1 if self.usage == "single" else None]
        limit = min((one for one in limits if one is not None), default=None)
        once = self.usage == "once_per_customer" and customer in self.used_by
        return once or (limit is not None and len(self.used_by) >= limit)


@dataclass
class ModelCart:
    items: dict[int, int] = field(default_factory=dict)
    voucher: int | None = None


class ShopMachine(RuleBasedStateMachine):
    """What customers and shopkeepers do; `shop` is set by the test."""

    shop: Shop

    products = Bundle("products")
    vouchers = Bundle("vouchers")

    @initialize()
    def open_shop(self) -> None:
        self.shop.clear()
        self.ids = [self.shop.customer() for _ in range(CUSTOMERS)]
        for customer in self.ids:
            self.shop.cart(customer, {})
        self.model_products: dict[int, ModelProduct] = {}
        self.model_vouchers: dict[int, ModelVoucher] = {}
        self.carts = [ModelCart() for _ in range(CUSTOMERS)]
        self.totals: list[Decimal] = []
        self.keys = 0

    @rule(target=products, price=prices, stock=st.none() | st.integers(0, 20))
    def add_product(self, price: Decimal, stock: int | None) -> int:
        key = self.shop.product(str(price), stock=stock)
        self.model_products[key] = ModelProduct(price, stock)
        return key

    @rule(
        target=vouchers,
        amount=prices,
        usage=st.sampled_from(["single", "multiple", "once_per_customer"]),
        limit=st.none() | st.integers(0, 3),
    )
    def add_voucher(self, amount: Decimal, usage: str, limit: int | None) -> int:
        code = f"V{len(self.model_vouchers)}"
        key = self.shop.voucher(code, str(amount), usage=usage, usage_limit=limit)
        self.model_vouchers[key] = ModelVoucher(amount, usage, limit)
        return key

    @rule(product=products, price=prices)
    def reprice(self, product: int, price: Decimal) -> None:
        self._change_product(product, price=price)
        self.model_products[product].price = price

    @rule(product=products, active=st.booleans())
    def list_or_unlist(self, product: int, active: bool) -> None:
        self._change_product(product, active=active)
        self.model_products[product].active = active

    @rule(product=products, stock=st.integers(0, 20))
    def restock(self, product: int, stock: int) -> None:
        self._change_product(product, stock=stock)
        self.model_products[product].stock = stock

    @rule(customer=customers, product=products, quantity=quantities)
    def set_quantity(self, customer: int, product: int, quantity: int) -> None:
        item = self.shop.models.CartItem
        with self.shop.session() as session:
            cart = self._cart(session, customer)
            session.execute(
                sa.delete(item).where(item.cart_id == cart.id, item.product_id == product)
            )
            session.add(item(cart_id=cart.id, product_id=product, quantity=quantity))
        self.carts[customer].items.pop(product, None)
        self.carts[customer].items[product] = quantity

    @rule(customer=customers, voucher=st.none() | vouchers)
    def apply_voucher(self, customer: int, voucher: int | None) -> None:
        with self.shop.session() as session:
            self._cart(session, customer).voucher_id = voucher
        self.carts[customer].voucher = voucher

    @rule(customer=customers, send_again=st.booleans())
    def order(self, customer: int, send_again: bool) -> None:
        request = SAVE
        self.keys += 1
        headers = {**self.shop.token(self.ids[customer]), "Idempotency-Key": f"{self.keys}"}
        answer = self.shop.post(self.ids[customer], request, headers=headers)
        if send_again:
            again = self.shop.post(self.ids[customer], request, headers=headers)
            assert (again.status_code, again.data) == (answer.status_code, answer.data)
        expected = self._expected(customer)
        if expected is not None:
            assert body(answer)["code"] == expected
            return
        assert answer.status_code == 201, answer.text
        self._book(customer)
        order = body(self.shop.get(self.ids[customer], answer.headers["Location"]))
        assert Decimal(order["total_amount"]) == self.totals[-1]

    @invariant()
    def the_rows_are_those_of_the_model(self) -> None:
        stocks = {row["id"]: row["stock"] for row in self.shop.rows("products")}
        assert stocks == {key: one.stock for key, one in self.model_products.items()}
        uses = {row["id"]: row["times_used"] for row in self.shop.rows("vouchers")}
        assert uses == {key: len(one.used_by) for key, one in self.model_vouchers.items()}
        totals = sorted(row["total_amount"] for row in self.shop.rows("orders"))
        assert totals == sorted(self.totals)
        assert Ledger(self.shop.app).problems() == []

    def _expected(self, customer: int) -> str | None:
        """The code of the refusal, or None."""
        cart = self.carts[customer]
        if not cart.items:
            return "empty_cart"
        for key, quantity in cart.items.items():
            product = self.model_products[key]
            if not product.active or (product.stock is not None and product.stock < quantity):
                return "item_unavailable"
        if cart.voucher is not None and self.model_vouchers[cart.voucher].refuses(customer):
            return "voucher_not_applicable"
        return None

    def _book(self, customer: int) -> None:
        cart = self.carts[customer]
        subtotal = Decimal(0)
        for key, quantity in cart.items.items():
            product = self.model_products[key]
            subtotal += product.price * quantity
            if product.stock is not None:
                product.stock -= quantity
        discount = Decimal(0)
        if cart.voucher is not None:
            voucher = self.model_vouchers[cart.voucher]
            voucher.used_by.append(customer)
            discount = min(voucher.amount, subtotal)
        self.totals.append(subtotal - discount)
        self.carts[customer] = ModelCart()

    def _change_product(self, product: int, **values: Any) -> None:
        model = self.shop.models.Product
        with self.shop.session() as session:
            session.execute(sa.update(model).where(model.id == product).values(values))

    def _cart(self, session: Any, customer: int) -> Any:
        query = sa.select(self.shop.models.Cart).filter_by(customer_id=self.ids[customer])
        return session.scalars(query).one()


def test_the_shop_behaves_like_the_model(shop: Shop) -> None:
    class Machine(ShopMachine):
        pass

    Machine.shop = shop
    run_state_machine_as_test(Machine, settings=SETTINGS)
