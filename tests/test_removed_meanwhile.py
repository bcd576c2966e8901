"""A product, voucher, customer or address is deleted or deactivated in the middle of a request.

ORDERS_TEST_LONG stops it before each of them, on each database in each of its modes; otherwise it
is before every third, on fewer. `pytest -rP` shows the numbers.
"""

import itertools
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from sqlalchemy import delete, update
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from flask_orders import Models
from flask_orders.testing import Ledger

from .support.database import Rows, rows_of
from .support.effort import LONG
from .support.pacing import Paced, change_meanwhile
from .support.raced import VARIANTS, RacedShop, Tally
from .support.requests import SAVE
from .support.responses import outcomes
from .support.shops import Shop, until_done

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("each_writer")]

STRIDE = 1 if LONG else 3
SHORT = ("sqlite-wal", "postgresql", "mariadb-repeatable-read", "mysql-repeatable-read")
RACED = VARIANTS if LONG else SHORT

# With the address that was used last, and with the same as it was given then.
SAVED = {"action": "save_order"}

REFERENCES = {"product_id", "offer_id", "voucher_id", "billing_address_id", "customer_id"}


@dataclass
class Scene:
    """A customer who has ordered before, and what the next order is to be made of."""

    customer: int
    product: int
    other: int
    ledger: Ledger

    @classmethod
    def of(cls, shop: RacedShop) -> "Scene":
        customer, product, other = shop.customer(), shop.product("10.00"), shop.product("5.00")
        shop.cart(customer, {other: 1})
        shop.settle()
        assert shop.post(customer, SAVE).status_code == 201
        shop.offer("10%", product)
        voucher = shop.voucher("V", "1.00", usage="once_per_customer")
        shop.fill(customer, {product: 2, other: 1}, voucher)
        shop.settle()
        return cls(customer, product, other, Ledger(shop.app))

    def note(self, change: "Change", is_ordered: bool) -> None:
        """What has become of the units in the cart, other than by ordering."""
        if change is product_deleted:
            self.ledger.put(self.product, -2)
            self.ledger.put(None, 2)
        if change is customer_deleted and not is_ordered:
            self.ledger.put(self.product, -2)
            self.ledger.put(self.other, -1)


Change = Callable[[Session, Models, Scene], object]


def product_deleted(session: Session, models: Models, scene: Scene) -> None:
    session.execute(delete(models.Product).where(models.Product.id == scene.product))


def product_deactivated(session: Session, models: Models, scene: Scene) -> None:
    product = models.Product
    session.execute(update(product).where(product.id == scene.product).values(active=False))


def voucher_deleted(session: Session, models: Models, _scene: Scene) -> None:
    session.execute(delete(models.Voucher))


def voucher_deactivated(session: Session, models: Models, _scene: Scene) -> None:
    session.execute(update(models.Voucher).values(active=False))


def customer_deleted(session: Session, models: Models, _scene: Scene) -> None:
    assert models.Customer is not None
    session.execute(delete(models.Customer))


def address_deleted(session: Session, models: Models, _scene: Scene) -> None:
    session.execute(delete(models.Address))


CASES: list[tuple[Change, dict[str, Any], set[object]]] = [
    (product_deleted, SAVED, {201, "item_unavailable"}),
    (product_deactivated, SAVED, {201, "item_unavailable"}),
    (voucher_deleted, SAVED, {201, "voucher_not_applicable"}),
    (voucher_deactivated, SAVED, {201, "voucher_not_applicable"}),
    (customer_deleted, SAVED, {201, 401}),
    (address_deleted, SAVED, {201, "billing_address_required"}),
    (address_deleted, SAVE, {201}),
]


@pytest.mark.parametrize("raced_session_shop", RACED, indirect=True)
@pytest.mark.parametrize(
    ("change", "request_", "expected"),
    CASES,
    ids=[f"{case[0].__name__}{' and given again' * (case[1] is SAVE)}" for case in CASES],
)
def test_all_or_nothing_is_ordered(
    raced_shop: RacedShop,
    tally: Tally,
    change: Change,
    request_: dict[str, Any],
    expected: set[object],
) -> None:
    shop, found = raced_shop, Counter[object]()
    for at in itertools.count(1, STRIDE):
        shop.clear()
        scene = Scene.of(shop)
        changed_alone = everything_if(shop, change, scene)

        was_paused, answer = change_at(shop, change, scene, request_, at)

        is_ordered = answer.status_code == 201
        scene.note(change, is_ordered)
        tally.note(scene.ledger, at)
        found += outcomes([answer])
        if is_ordered:
            assert_it_is_ordered_for_ever(shop, scene, change)
        else:
            assert shop.everything() == changed_alone, at
        if not was_paused:
            break
    assert found.keys() <= expected
    tally.count(*found.elements())
    tally.report()


def everything_if(shop: Shop, change: Change, scene: Scene) -> Rows:
    """What the database would hold if the change were all that happens."""
    with Session(shop.engine) as session:
        change(session, shop.models, scene)
        tables = shop.db.metadata.tables.items()
        return {name: rows_of(session, table) for name, table in tables}


def change_at(
    shop: RacedShop, change: Change, scene: Scene, request: dict[str, Any], at: int
) -> tuple[bool, TestResponse]:
    """Whether the request has come to its `at`-th statement, and its answer."""
    node = shop.nodes[-1]
    paused = Paced(partial(node.post, scene.customer, request, key="k-1"), at)
    making = partial(until_done, partial(apply, shop, change, scene))
    change_meanwhile(node.engine, paused, making)
    return paused.was_paused, paused.answer


def apply(shop: Shop, change: Change, scene: Scene) -> None:
    with shop.session() as session:
        change(session, shop.models, scene)


def assert_it_is_ordered_for_ever(shop: Shop, scene: Scene, change: Change) -> None:
    orders, items = copied(shop)
    _before, order = sorted(orders, key=lambda row: int(row["sequence"]))
    units = [item["quantity"] for item in items if item["order_id"] == order["id"]]
    assert sorted(units) == [1, 2]
    # 2 x 9.00 and 5.00, and the voucher.
    assert order["total_amount"] == (22 if order["voucher_code"] else 23)
    assert order["voucher_code"] or change is voucher_deleted
    for later in (product_deleted, voucher_deleted, address_deleted, customer_deleted):
        apply(shop, later, scene)
    assert copied(shop) == [orders, items]


def copied(shop: Shop) -> list[list[dict[str, Any]]]:
    """The orders and their items, without what refers to something else."""
    return [
        [{name: row[name] for name in row.keys() - REFERENCES} for row in shop.rows(table)]
        for table in ("orders", "order_items")
    ]
