"""A shop whose cart items have options, which have files; other rows point to the items too."""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy.engine import URL, make_url

from flask_orders import ConfigurationError
from flask_orders.testing import run_concurrently

from . import hosts
from .hosts.drivers import Buyer, running
from .hosts.driving.item_options import ItemOptions
from .support.database import counted, nothing_changed
from .support.effort import rounds
from .support.responses import outcomes

THREADS = 6


@pytest.fixture(scope="module")
def module_host(server_url: URL) -> Iterator[Any]:
    with running("item_options", server_url) as host:
        yield host


def test_installing_costs_twenty_lines_and_eight_parts_at_most() -> None:
    assert hosts.added_lines("item_options") <= 20
    assert hosts.parts("item_options") <= 8


def test_nothing_is_wrong_with_it(host: ItemOptions) -> None:
    framed(host, host.customer())
    assert host.problems() == []


def framed(host: ItemOptions, buyer: Buyer) -> int:
    """Put a print with two options into the cart, and another as a gift with it."""
    options = {"frame": "oak", "border": "white"}
    item = host.put_with(buyer, host.product(), options=options, paper="gloss")
    host.put_with(buyer, host.product(), gift_of=item)
    return item


def test_options_and_files_go_with_the_item_and_the_order_keeps_a_copy(host: ItemOptions) -> None:
    buyer, other = host.customer(), host.customer()
    framed(host, other)
    kept = {name: host.rows(name) for name in ("cart_items", "item_options", "option_files")}
    framed(host, buyer)

    assert host.order(buyer).status_code == 201

    assert {name: host.rows(name) for name in kept} == kept
    items = sorted(host.rows("order_items"), key=lambda row: int(row["position"]))
    assert [(item["paper"], item["options"]) for item in items] == [
        ("gloss", {"frame": "oak", "border": "white"}),
        ("matt", {}),
    ]


def test_rows_that_no_cascade_names_stay_without_the_item(host: ItemOptions) -> None:
    """Orders of the old system, and another customer's gift with the item."""
    buyer, other = host.customer(), host.customer()
    item = framed(host, buyer)
    host.insert("old_orders", item_id=item, note="telephone")
    gift = host.put_with(other, host.product(), gift_of=item)
    assert host.order(buyer).status_code == 201
    assert [(row["item_id"], row["note"]) for row in host.rows("old_orders")] == [
        (None, "telephone")
    ]
    (left,) = host.rows("cart_items")
    assert (left["id"], left["gift_of_id"]) == (gift, None)


def test_a_refused_order_leaves_options_and_files(host: ItemOptions) -> None:
    buyer = host.customer()
    framed(host, buyer)
    host.withdraw(host.rows("prints")[0]["id"])
    with nothing_changed(host):
        assert host.order(buyer).status_code == 409


@rounds(3)
def test_simultaneous_clicks_copy_the_options_once(host: ItemOptions, round_: int) -> None:
    buyer = host.customer()
    item = framed(host, buyer)
    host.insert("old_orders", item_id=item, note="telephone")
    answers = run_concurrently(*[lambda: host.order(buyer)] * THREADS)
    assert set(outcomes(answers)) <= {201, "empty_cart"}
    assert len(host.rows("orders")) == 1
    assert [row["options"] for row in host.rows("order_items") if row["options"]] == [
        {"frame": "oak", "border": "white"}
    ]
    assert host.rows("item_options") == host.rows("option_files") == host.rows("cart_items") == []


def test_gifts_in_a_circle(host: ItemOptions) -> None:
    buyer = host.customer()
    first = host.put_with(buyer, host.product())
    second = host.put_with(buyer, host.product(), gift_of=first)
    host.update("cart_items", first, gift_of_id=second)
    assert host.order(buyer).status_code == 201
    assert host.rows("cart_items") == []


def test_twenty_items_send_no_more_statements_than_two(host: ItemOptions) -> None:
    """With the options, their files, and the receiver that copies them."""
    assert statements_for(host, 2) == statements_for(host, 20)


def statements_for(host: ItemOptions, count: int) -> int:
    buyer = host.customer()
    for _ in range(count):
        host.put_with(buyer, host.product(), options={"frame": "oak"})
    with counted(host.engine) as statements:
        assert host.order(buyer).status_code == 201
    return len(statements)


CASCADE = 'options: Mapped[list["ItemOption"]] = relationship(cascade="all, delete-orphan")'


@pytest.mark.parametrize(
    ("line", "other", "problem"),
    [
        (
            "item_id: Mapped[int | None] = mapped_column(ForeignKey(CartItem.id))",
            "item_id: Mapped[int] = mapped_column(ForeignKey(CartItem.id))",
            "rows of 'old_orders' point to CartItem by item_id",
        ),
        (
            CASCADE,
            'options: Mapped[list["ItemOption"]] = relationship()',
            "rows of 'item_options' point to CartItem by item_id",
        ),
        (
            'files: Mapped[list["OptionFile"]] = relationship(cascade="all, delete-orphan")',
            'files: Mapped[list["OptionFile"]] = relationship()',
            "rows of 'option_files' point to ItemOption by option_id",
        ),
    ],
)
def test_what_can_be_neither_deleted_nor_detached_is_named_by_check(
    database: URL, line: str, other: str, problem: str
) -> None:
    wrong = ItemOptions(database, replacing={line: other})
    wrong.create_all()
    (found,) = wrong.problems()
    assert problem in found
    assert "give the foreign key ON DELETE, make it nullable, or name it in the cascade" in found
    wrong.close()


@pytest.mark.parametrize(
    ("line", "other", "error"),
    [
        ("    paper: Mapped[str] = mapped_column(String(20))  #", "    #", r"no column 'paper'"),
        (
            "copy=(CartItem.paper,)",
            "copy=(CartItem.options,)",
            r"copy: CartItem.options is no .* receiver",
        ),
        ("copy=(CartItem.paper,)", "copy=(CartItem.quantity,)", r"no column 'quantity' of their"),
    ],
)
def test_a_copy_without_a_column_is_refused_at_the_start(line: str, other: str, error: str) -> None:
    with pytest.raises(ConfigurationError, match=error):
        ItemOptions(make_url("sqlite://"), replacing={line: other})
