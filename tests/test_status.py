"""The table of transitions, and that everything about a status follows from it."""

import ast
import itertools
import re
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

import flask_orders
from flask_orders import OrdersError
from flask_orders.keys import new_key
from flask_orders.lifecycle import Transition
from flask_orders.models.contract import table
from flask_orders.service import components_of
from flask_orders.signals import SIGNALS
from flask_orders.status import (
    CUSTOMER,
    EXPIRY,
    PAYMENT,
    RELEASED,
    SHOP,
    STATUSES,
    TRANSITIONS,
    is_permitted,
)
from flask_orders.testing import Ledger

from .support.docs import page_text
from .support.shops import Shop

PACKAGE = Path(flask_orders.__file__).parent
ACTORS = (CUSTOMER, SHOP, EXPIRY, PAYMENT)


def test_the_rules_that_lead_to_one_status_agree() -> None:
    """Its signal, its error and whether stock and voucher are held belong to the status."""
    for target in STATUSES[1:]:
        rules = [rule for rule in TRANSITIONS if rule.target == target]
        assert len({(rule.signal, rule.error, rule.holds) for rule in rules}) == 1
        assert len({rule.source for rule in rules}) == len(rules)


def test_every_rule_is_about_known_statuses_and_actors() -> None:
    for rule in TRANSITIONS:
        assert rule.source in STATUSES
        assert rule.actors
        assert set(rule.actors) <= set(ACTORS)


def test_no_transition_leads_back_to_an_order_that_holds_stock() -> None:
    """A transition releases stock and voucher; none of them deducts or redeems again."""
    assert [rule for rule in TRANSITIONS if rule.source in RELEASED and rule.holds] == []


def test_a_status_fits_into_its_columns(shop: Shop) -> None:
    orders, events = table(shop.models.Order).c, table(shop.models.OrderEvent).c
    for column in (orders.status, events.from_status, events.to_status):
        assert isinstance(column.type, sa.String)
        assert max(map(len, STATUSES)) <= (column.type.length or 0)


def test_each_status_has_a_signal_of_its_own() -> None:
    assert set(SIGNALS) == set(STATUSES[1:])
    assert len({signal.name for signal in SIGNALS.values()}) == len(SIGNALS)


@pytest.mark.parametrize("target", STATUSES[1:])
def test_the_table_decides(shop: Shop, target: str) -> None:
    """For each status and actor: the transition or its error, the signal, stock and voucher."""
    for source, actor in itertools.product(STATUSES, ACTORS):
        shop.clear()
        customer, product = shop.customer(), shop.product("10.00", stock=5)
        shop.cart(customer, {product: 2}, shop.voucher("ONE", "1.00", usage="once_per_customer"))
        order_id = UUID(shop.order(customer)["id"])
        bring_to(shop, order_id, source)
        ledger, before = Ledger(shop.app), shop.everything()
        sent: list[object] = []

        def receive(_app: object, order: object, sent: list[object] = sent) -> None:
            sent.append(order)

        with SIGNALS[target].connected_to(receive):
            error = take(shop, order_id, target, actor)

        case = (source, target, actor)
        is_changed = is_permitted(*case)
        status = target if is_changed else source
        errors = [rule.error for rule in TRANSITIONS if rule.target == target]
        assert (type(error) in errors) == (status != target), case
        assert shop.rows("orders")[0]["status"] == status, case
        assert (shop.everything() == before) == (not is_changed), case
        assert len(sent) == is_changed, case
        units, uses = (5, 0) if status in RELEASED else (3, 1)
        assert shop.rows("products")[0]["stock"] == units, case
        assert shop.rows("vouchers")[0]["times_used"] == uses, case
        assert len(shop.rows("voucher_redemptions")) == uses, case
        # Of a transition without its payment the audit would say so.
        assert [one for one in ledger.problems() if not one.startswith("I9")] == [], case


def take(shop: Shop, order_id: UUID, target: str, actor: str) -> OrdersError | None:
    """Ask for the transition; return its error."""
    try:
        with shop.service() as orders:
            components_of(orders).lifecycle.change(Transition(new_key(), order_id, actor), target)
    except OrdersError as error:
        return error
    return None


def bring_to(shop: Shop, order_id: UUID, status: str) -> None:
    """Take a new order to the status, by the first rules that lead there."""
    if status == STATUSES[0]:
        return
    rule = next(rule for rule in TRANSITIONS if rule.target == status)
    bring_to(shop, order_id, rule.source)
    assert take(shop, order_id, status, rule.actors[0]) is None


def test_the_docs_have_the_transitions_of_the_table() -> None:
    page = page_text("lifecycle")
    documented = set()
    for chain in re.findall(r"`\w+`(?: -> `\w+`)+", page):
        documented |= set(itertools.pairwise(re.findall(r"\w+", chain)))
    assert documented == {(rule.source, rule.target) for rule in TRANSITIONS}
    for rule in TRANSITIONS:
        assert f"`{rule.signal.replace('-', '_')}`" in page_text("reference/signals")
        assert f"`{rule.error('').code}`" in page_text("reference/errors")


def test_nothing_but_the_table_knows_which_status_releases() -> None:
    """No module compares with `cancelled`, or spells a status; queries use `RELEASED`."""
    for path in PACKAGE.rglob("*.py"):
        # The other one has the names of a shop's own columns.
        if path.name in ("status.py", "check_left_out.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            place = f"{path.name}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Compare):
                compared = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
                assert "CANCELLED" not in compared, place
            if isinstance(node, ast.Constant):
                assert node.value not in STATUSES, place
