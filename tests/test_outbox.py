"""The outbox: which events are stored, and that relays deliver them after any failure.

`flask --app "tests.test_outbox:relaying_app(...)" orders relay` is the process that is killed here.
ORDERS_TEST_LONG kills thirty of them, and relays more events concurrently; otherwise it is two.
"""

import itertools
import json
import logging
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
import time_machine
from flask import Flask
from sqlalchemy.engine import URL, make_url

from flask_orders import BillingAddress, current_orders
from flask_orders.outbox import CLAIM, LONGEST_PAUSE, deliver_next
from flask_orders.service import components_of
from flask_orders.signals import outbox_event
from flask_orders.testing import InjectedFault, fault, run_concurrently

from .support import servers
from .support.effort import LONG
from .support.requests import ADDRESS, CHECKOUT
from .support.shops import Shop, make_shop

ROUNDS = 10 if LONG else 1
KILLED_TOGETHER = 3 if LONG else 2
ORDERS_AT_ONCE = 100 if LONG else 8
MOST_STATEMENTS = 40

# What must not be in an event.
PERSONAL = [str(value) for value in ADDRESS.values() if value != "CA"] + ["@example.com"]

Event = dict[str, Any]
# What a receiver was given: an order, and what has happened to it.
Heard = list[tuple[str, str]]


@pytest.fixture(scope="module")
def url(server_url: URL) -> Iterator[URL]:
    with servers.fresh_database(server_url) as found:
        yield found


@pytest.fixture(scope="module")
def module_shop(url: URL) -> Iterator[Shop]:
    shop = make_shop(url, ORDERS_OUTBOX=True)
    yield shop
    shop.close()


@pytest.fixture
def shop(module_shop: Shop) -> Shop:
    """A shop with an outbox, and nothing in it."""
    module_shop.clear()
    return module_shop


def test_it_is_off_by_default(database: URL) -> None:
    shop = make_shop(database)
    place(shop)
    assert outbox(shop) == []
    shop.close()


def test_every_event_is_stored_as_a_cloud_event(shop: Shop) -> None:
    delivered, cancelled = place(shop), place(shop)
    pay(shop, delivered, "ref-1")
    with shop.service() as orders:
        orders.deliver(delivered)
        orders.cancel(cancelled)
    pay(shop, cancelled, "ref-2")

    events = outbox(shop)
    assert [(UUID(event["subject"]), event["type"]) for event in events] == [
        (delivered, "flask-orders.order-placed"),
        (cancelled, "flask-orders.order-placed"),
        (delivered, "flask-orders.order-paid"),
        (delivered, "flask-orders.order-delivered"),
        (cancelled, "flask-orders.order-cancelled"),
        (cancelled, "flask-orders.payment-unexpected"),
    ]
    for event, row in zip(events, shop.rows("order_outbox"), strict=True):
        assert_is_cloud_event(event)
        assert event["id"] == str(row["event_id"])
        assert event["type"] == row["type"]
        assert not [value for value in PERSONAL if value in row["body"]]
    order = next(row for row in shop.rows("orders") if row["id"] == cancelled)
    assert events[-1]["data"] == {
        "order": {
            "id": str(cancelled),
            "number": order["number"],
            "status": "cancelled",
            "currency": "USD",
            "total_amount": "10.00",
            "customer": {"id": order["customer_id"]},
        },
        "payment": {"reference": "ref-2", "amount": "10.00", "currency": "USD"},
    }


def test_a_zero_total_order_is_placed_and_paid(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product("0.00"): 1})
    shop.post(customer, CHECKOUT)
    deliveries = [(kind_of(event), event["data"]["order"]["status"]) for event in outbox(shop)]
    assert deliveries == [("order-placed", "awaiting_payment"), ("order-paid", "paid")]


def test_a_conversion_that_fails_leaves_no_event(shop: Shop) -> None:
    for at in range(1, MOST_STATEMENTS):
        shop.clear()
        customer = shop.customer()
        shop.cart(customer, {shop.product(): 1})
        with fault(shop.engine, at) as sent:
            answer = shop.post(customer)
        if len(sent) < at:
            assert at > 10, sent
            return
        assert answer.status_code in (201, 500)
        assert len(outbox(shop)) == len(shop.rows("orders")) == (answer.status_code == 201), at
    raise AssertionError("a request sends more statements than this test can count")


def test_a_rollback_by_the_shop_leaves_no_event(shop: Shop) -> None:
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    with shop.app.app_context():
        session = shop.db.session
        address = BillingAddress("123 Main St", "12345", "Anytown", "", "CA")
        current_orders.convert(customer, billing_address=address)
        session.rollback()
        assert outbox(shop) == []
        made = current_orders.convert(customer, billing_address=address)
        with session.begin_nested() as savepoint:
            current_orders.cancel(made.id)
            savepoint.rollback()
        session.commit()
    assert [kind_of(event) for event in outbox(shop)] == ["order-placed"]


def test_a_relay_delivers_in_order_and_deletes(shop: Shop) -> None:
    order_ids = live(shop, 3)
    with heard() as deliveries:
        assert relay(shop) == "Events delivered: 9.\n"
        assert relay(shop) == "Events delivered: 0.\n"
    assert_complete(deliveries, order_ids)
    assert len(deliveries) == 9
    assert outbox(shop) == []


def test_the_delivered_event_is_the_stored_event(shop: Shop) -> None:
    live(shop, 1)
    kept, delivered = outbox(shop), []

    def receive(app: Flask, event: Event) -> None:
        assert app is shop.app
        delivered.append(event)

    with outbox_event.connected_to(receive):
        relay(shop)
    assert delivered == kept


def test_without_receivers_it_says_what_to_do(shop: Shop) -> None:
    live(shop, 1)
    result = shop.app.test_cli_runner().invoke(args=["orders", "relay", "--once"])
    assert result.exit_code == 1
    assert "connect a function to flask_orders.signals.outbox_event" in result.output
    assert len(outbox(shop)) == 3


def test_without_an_outbox_it_says_so_and_delivers_stored_events(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    live(shop, 1)
    with heard():
        monkeypatch.setitem(shop.app.config, "ORDERS_OUTBOX", False)
        assert relay(shop) == (
            "ORDERS_OUTBOX is not True: only events stored earlier are delivered.\n"
            "Events delivered: 3.\n"
        )
        monkeypatch.undo()
        assert relay(shop) == "Events delivered: 0.\n"


def test_a_receiver_that_raises_gets_the_event_again(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    failing, other = live(shop, 1)[0], live(shop, 1)[0]
    tries: list[datetime] = []

    def refuse(event: Event) -> None:
        if event["subject"] == str(failing) and len(tries) < 5:
            tries.append(datetime.now(UTC))
            raise RuntimeError(" ".join(PERSONAL))

    with caplog.at_level(logging.DEBUG), frozen() as clock, heard(refuse) as deliveries:
        assert relay(shop, failing=1) == "Events delivered: 3.\n"
        # The later events of that order have waited.
        assert deliveries == [(str(other), kind) for kind in KINDS]
        for pause in (2, 4, 8, 16):
            clock.shift(pause - 1)
            assert relay(shop) == "Events delivered: 0.\n"
            clock.shift(1)
            assert relay(shop, failing=1) == "Events delivered: 0.\n"
        clock.shift(32)
        assert relay(shop) == "Events delivered: 3.\n"

    pauses = [(later - one).total_seconds() for one, later in itertools.pairwise(tries)]
    assert pauses == [2, 4, 8, 16]
    assert deliveries[3:] == [(str(failing), kind) for kind in KINDS]
    assert outbox(shop) == []
    assert caplog.text.count("was not delivered") == 5
    assert "attempt 5: RuntimeError" in caplog.text
    assert not [value for value in PERSONAL if value in caplog.text]


def test_no_pause_is_longer_than_an_hour(shop: Shop) -> None:
    place(shop)
    with frozen() as clock, heard(fail):
        update_outbox(shop, attempts=20)
        relay(shop, failing=1)
        (row,) = shop.rows("order_outbox")
        assert row["due"] == datetime.now(UTC) + timedelta(seconds=LONGEST_PAUSE)
        clock.shift(LONGEST_PAUSE)
        relay(shop, failing=1)
        assert shop.rows("order_outbox")[0]["attempts"] == 22


def test_failing_events_do_not_delay_other_events(shop: Shop) -> None:
    """However many they are: what was tried least lately comes first."""
    failing = {str(key) for key in live(shop, 5)}
    last = live(shop, 1)

    def refuse(event: Event) -> None:
        if event["subject"] in failing:
            raise RuntimeError

    with heard(refuse) as deliveries:
        assert relay(shop, failing=5) == "Events delivered: 3.\n"
    assert_complete(deliveries, last)


def test_an_unreadable_event_does_not_delay_other_events(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    place(shop)
    update_outbox(shop, body="{")
    (unreadable,) = shop.rows("order_outbox")
    other = place(shop)
    with heard() as deliveries:
        result = shop.app.test_cli_runner().invoke(args=["orders", "relay", "--once"])
    assert deliveries == [(str(other), "order-placed")]
    assert result.exit_code == 1
    assert result.output == (
        f"- The event {unreadable['event_id']} was not delivered: JSONDecodeError. "
        "It is tried again later.\nEvents delivered: 1.\n"
    )
    assert [row["id"] for row in shop.rows("order_outbox")] == [unreadable["id"]]


def test_an_event_that_is_delivered_at_the_second_attempt_is_no_failure(shop: Shop) -> None:
    place(shop)
    tries = 0

    def fail_once(_event: Event) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            place(shop)
            raise RuntimeError
        update_outbox(shop, due=datetime.now(UTC))

    with heard(fail_once):
        assert relay(shop) == "Events delivered: 2.\n"


def test_later_events_of_a_failing_order_are_not_read_meanwhile(shop: Shop) -> None:
    live(shop, 1)
    with frozen(), heard(fail):
        relay(shop, failing=1)
        assert {row["due"] for row in shop.rows("order_outbox")} == {
            datetime.now(UTC) + timedelta(seconds=2)
        }


def test_an_event_that_fails_too_often_is_set_aside(shop: Shop) -> None:
    """Its order's later events go on, and it is sent again when it is asked for."""
    order, other = place(shop), place(shop)
    pay(shop, order, "ref-1")
    shop.app.config["ORDERS_OUTBOX_ATTEMPTS"] = 3
    poison = shop.rows("order_outbox")[0]["event_id"]
    placed, paid = (str(order), "order-placed"), (str(order), "order-paid")

    def fail_for_poison(event: Event) -> None:
        if event["id"] == str(poison):
            raise RuntimeError

    try:
        with frozen() as clock, heard(fail_for_poison) as deliveries:
            for _ in range(2):
                relay(shop, failing=1)
                clock.shift(LONGEST_PAUSE)
            assert deliveries == [(str(other), "order-placed")]
            said = relay(shop, failing=1, phrase=f"The event {poison} is set aside")
            assert said == "Events delivered: 1.\n"
            assert deliveries[1:] == [paid]
            [row] = shop.rows("order_outbox")
            assert (row["due"], row["attempts"]) == (None, 3)
            clock.shift(LONGEST_PAUSE)
            # It is not tried any more, but still named.
            relay(shop, failing=1, phrase=f"The event {poison} is set aside")
            assert shop.rows("order_outbox") == [row]
        with heard() as deliveries:
            said = relay(shop, "--retry")
        assert said == "Events to send again: 1.\nEvents delivered: 1.\n"
        assert deliveries == [placed]
        assert shop.rows("order_outbox") == []
    finally:
        del shop.app.config["ORDERS_OUTBOX_ATTEMPTS"]


def test_an_event_that_is_sent_again_has_all_its_attempts(shop: Shop) -> None:
    place(shop)
    update_outbox(shop, due=None, attempts=36)
    with heard(fail):
        relay(shop, "--retry", failing=1, phrase="It is tried again later.")
    assert [row["attempts"] for row in shop.rows("order_outbox")] == [1]


def test_a_receiver_that_commits(shop: Shop) -> None:
    live(shop, 2)
    with heard(lambda event: write(shop, event, commit=True)):
        assert relay(shop) == "Events delivered: 6.\n"
    assert len(written(shop)) == 6


def test_a_receiver_that_forgets_to_commit(shop: Shop) -> None:
    live(shop, 2)
    with heard(lambda event: write(shop, event, commit=False)):
        assert relay(shop) == "Events delivered: 6.\n"
    assert written(shop) == []
    assert outbox(shop) == []


def test_what_a_receiver_that_raises_has_written_is_rolled_back(shop: Shop) -> None:
    place(shop)

    def write_and_fail(event: Event) -> None:
        write(shop, event, commit=False)
        raise RuntimeError

    with heard(write_and_fail):
        assert relay(shop, failing=1) == "Events delivered: 0.\n"
    assert written(shop) == []
    assert len(outbox(shop)) == 1


def test_an_event_waits_for_its_relay_unclaimed(shop: Shop) -> None:
    """A slow receiver does not use up the time of the events behind."""
    order_ids = [place(shop) for _ in range(4)]
    others: Heard = []

    with frozen() as clock:

        def be_slow(_event: Event) -> None:
            clock.shift(CLAIM * 2 / 3)
            if len(deliveries) == 1:
                relay_from(shop, lambda event: others.append(delivery_of(event)))

        with heard(be_slow) as deliveries:
            relay(shop)

    assert Counter(deliveries + others) == Counter((str(key), "order-placed") for key in order_ids)
    assert len(others) == 2


def test_a_claim_expires_after_a_minute(shop: Shop) -> None:
    place(shop)
    with frozen() as clock, heard():
        with shop.app.app_context():
            assert claim(shop)
        clock.shift(59)
        assert relay(shop) == "Events delivered: 0.\n"
        clock.shift(1)
        assert relay(shop) == "Events delivered: 1.\n"


def test_later_events_of_an_order_wait_for_the_one_that_is_being_delivered(shop: Shop) -> None:
    orders, others = live(shop, 1), list[tuple[str, str]]()

    def relay_meanwhile(_event: Event) -> None:
        relay_from(shop, lambda event: others.append(delivery_of(event)))

    with heard(relay_meanwhile) as deliveries:
        relay(shop)
    assert others == []
    assert_complete(deliveries, orders)


def test_a_relay_that_was_too_slow_deletes_only_its_event(shop: Shop) -> None:
    """On SQLite the next event may have the id of the one that another relay has delivered."""
    slow, others = place(shop), list[tuple[str, str]]()
    made: list[UUID] = []

    def be_slow(_event: Event) -> None:
        if not made:
            update_outbox(shop, due=datetime.now(UTC))
            relay_from(shop, lambda event: others.append(delivery_of(event)))
            made.append(place(shop))

    with heard(be_slow) as deliveries:
        relay(shop)
    assert others == [(str(slow), "order-placed")]
    assert deliveries == [(str(slow), "order-placed"), (str(made[0]), "order-placed")]


def test_a_relay_that_was_too_slow_and_fails_leaves_the_claim_of_another(shop: Shop) -> None:
    place(shop)

    with frozen() as clock:

        def be_slow_and_fail(_event: Event) -> None:
            clock.shift(CLAIM)
            with shop.app.app_context():
                assert claim(shop)
            raise RuntimeError

        with heard(be_slow_and_fail):
            relay(shop, failing=1)
        (row,) = shop.rows("order_outbox")
        assert row["due"] == datetime.now(UTC) + timedelta(seconds=CLAIM)


def test_several_relays_concurrently(shop: Shop) -> None:
    """Four of them, while orders are placed and paid."""
    deliveries: Heard = []
    orders: list[UUID] = []
    working = threading.Event()
    working.set()

    def be_customers() -> None:
        try:
            for _ in range(ORDERS_AT_ONCE):
                orders.extend(live(shop, 1))
        finally:
            working.clear()

    def relay_meanwhile() -> None:
        while working.is_set():
            relay_from(shop, lambda event: deliveries.append(delivery_of(event)))
            time.sleep(0.001)
        relay_from(shop, lambda event: deliveries.append(delivery_of(event)))

    run_concurrently(be_customers, *[relay_meanwhile] * 4)
    assert_complete(deliveries, orders)
    assert len(deliveries) == 3 * ORDERS_AT_ONCE
    assert outbox(shop) == []


@pytest.mark.server
def test_several_processes_concurrently(shop: Shop, url: URL, tmp_path: Path) -> None:
    """And when there is nothing left to do, they end as soon as they are asked to."""
    orders = live(shop, ORDERS_AT_ONCE)

    def all_have_delivered() -> bool:
        orders.extend(live(shop, 1))
        return len({pid for pid, *_ in notes(tmp_path)}) == 3

    with ExitStack() as stack:
        relays = [stack.enter_context(relaying(url, tmp_path)) for _ in range(3)]
        wait_until(all_have_delivered, relays)
        wait_until(lambda: outbox(shop) == [], relays)
        for process in relays:
            process.send_signal(signal.SIGINT)
        outputs = [process.communicate(timeout=10)[0] for process in relays]
    assert [process.returncode for process in relays] == [0, 0, 0]
    deliveries = received(tmp_path)
    assert_complete(deliveries, orders)
    assert len(deliveries) == 3 * len(orders)
    assert sum(int(output.split()[-1].rstrip(".")) for output in outputs) == len(deliveries)


@pytest.mark.server
def test_a_killed_relay_loses_nothing(
    shop: Shop, url: URL, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    orders: list[UUID] = []
    working = threading.Event()
    working.set()

    def be_customers() -> None:
        while working.is_set():
            orders.extend(live(shop, 1))
            time.sleep(0.02)

    def kill_relays() -> None:
        try:
            with relaying(url, tmp_path):
                for _ in range(ROUNDS):
                    kill_some()
        finally:
            working.clear()

    def kill_some() -> None:
        with ExitStack() as stack:
            for victim in [
                stack.enter_context(relaying(url, tmp_path)) for _ in range(KILLED_TOGETHER)
            ]:
                wait_until_received_by(victim, tmp_path)
                time.sleep(random.uniform(0.0, 0.2))
                victim.kill()

    run_concurrently(be_customers, kill_relays)
    left = len(outbox(shop))
    # As if the time of what the killed ones had claimed were up.
    update_outbox(shop, due=datetime.now(UTC))
    with relaying(url, tmp_path, "--once") as last:
        assert last.wait(60) == 0

    deliveries = received(tmp_path)
    assert_complete(deliveries, orders)
    doubled, kills = len(deliveries) - len(set(deliveries)), ROUNDS * KILLED_TOGETHER + 1
    assert doubled <= kills
    assert outbox(shop) == []
    with capsys.disabled():
        name = shop.engine.dialect.name
        print(
            f"\n{name}: {kills} kills, {len(deliveries)} deliveries, {doubled} doubled, {left} left"
        )


@pytest.mark.server
def test_a_relay_that_is_asked_to_stop_finishes_its_event(
    shop: Shop, url: URL, tmp_path: Path
) -> None:
    live(shop, 1)
    with relaying(url, tmp_path, pause=0.3) as process:
        wait_until_received_by(process, tmp_path)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=10)
    assert (process.returncode, output) == (0, "Events delivered: 1.\n")
    assert len(received(tmp_path)) == 1
    # Nobody has to wait for the time of a claim to be up.
    assert [(kind_of_row(row), row["attempts"]) for row in shop.rows("order_outbox")] == [
        ("order-paid", 0),
        ("order-delivered", 0),
    ]


@pytest.mark.parametrize("cut", [False, True], ids=["exception", "cut"])
def test_a_fault_at_every_statement_of_a_relay_loses_nothing(shop: Shop, cut: bool) -> None:
    if cut and shop.engine.dialect.name == "sqlite":
        pytest.skip("a file can't be cut off")
    for at in range(1, MOST_STATEMENTS):
        shop.clear()
        order = place(shop)
        pay(shop, order, "ref-1")
        with heard() as deliveries:
            with fault(shop.engine, at, cut=cut) as sent:
                result = shop.app.test_cli_runner().invoke(args=["orders", "relay", "--once"])
            if cut:
                assert result.exit_code == 0, (at, result.output)
            elif len(sent) >= at:
                assert isinstance(result.exception, InjectedFault), at
            update_outbox(shop, due=datetime.now(UTC))
            relay(shop)
        assert_complete(deliveries, [order], KINDS[:2])
        assert len(deliveries) <= 3, at
        assert outbox(shop) == []
        if len(sent) < at:
            return
    raise AssertionError("a relay sends more statements than this test can count")


def test_a_relay_waits_for_an_unavailable_database(shop: Shop) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("a file is never unavailable")
    orders = [place(shop), place(shop)]
    stop = partial(os.kill, os.getpid(), signal.SIGTERM)
    at_last = threading.Timer(20, stop)

    def lose_the_database_first(_event: Event) -> None:
        if not deliveries:
            stack.enter_context(unreachable_once(shop.engine))
        else:
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
            stop()

    with ExitStack() as stack, heard(lose_the_database_first) as deliveries:
        at_last.start()
        stack.callback(at_last.cancel)
        result = shop.app.test_cli_runner().invoke(args=["orders", "relay"])

    assert result.exit_code == 0, result.output
    assert result.output.count("The database is unavailable.") == 1
    assert_complete(deliveries, orders, kinds=("order-placed",))
    # Nobody could note that the first one was delivered.
    assert [UUID(event["subject"]) for event in outbox(shop)] == orders[:1]


KINDS = ("order-placed", "order-paid", "order-delivered")


def place(shop: Shop) -> UUID:
    """Make an order of 10.00; its key."""
    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    return UUID(shop.post(customer).headers["Location"].split("/")[-2])


def pay(shop: Shop, order_id: UUID, reference: str) -> None:
    with shop.service() as orders:
        orders.record_payment(order_id, reference, Decimal("10.00"))


def live(shop: Shop, count: int) -> list[UUID]:
    """Make orders and let them take every step, three events each; their keys."""
    made = [place(shop) for _ in range(count)]
    for order_id in made:
        pay(shop, order_id, f"ref-{order_id}")
        with shop.service() as orders:
            orders.deliver(order_id)
    return made


def outbox(shop: Shop) -> list[Event]:
    return [json.loads(row["body"]) for row in shop.rows("order_outbox")]


def update_outbox(shop: Shop, **values: Any) -> None:
    with shop.session() as session:
        session.execute(sa.update(shop.models.OutboxEvent).values(values))


def kind_of(event: Event) -> str:
    return str(event["type"]).removeprefix("flask-orders.")


def kind_of_row(row: dict[str, Any]) -> str:
    return kind_of(json.loads(row["body"]))


def delivery_of(event: Event) -> tuple[str, str]:
    return event["subject"], kind_of(event)


@contextmanager
def heard(do: Callable[[Event], None] | None = None) -> Iterator[Heard]:
    """What is delivered meanwhile, to a receiver that does something first."""
    deliveries: Heard = []

    def receive(_app: Flask, event: Event) -> None:
        if do is not None:
            do(event)
        deliveries.append(delivery_of(event))

    with outbox_event.connected_to(receive):
        yield deliveries


def fail(_event: Event) -> None:
    raise RuntimeError


def relay(shop: Shop, *options: str, failing: int = 0, phrase: str = "") -> str:
    """Run `flask orders relay --once`; what it says, without the events that it names.

    It must name as many as are `failing`, with a phrase, and exit with 1 if there are any.
    """
    arguments = ["orders", "relay", "--once", *options]
    result = shop.app.test_cli_runner().invoke(args=arguments)
    assert result.exit_code == (1 if failing else 0), (result.output, result.exception)
    lines = result.output.splitlines(keepends=True)
    said = [line for line in lines if not line.startswith("- The event ")]
    assert len(lines) - len(said) == failing
    assert all(phrase in line for line in lines if line not in said)
    return "".join(said)


def relay_from(shop: Shop, deliver: Callable[[Event], None]) -> None:
    """The same, from any thread, and to one receiver."""
    with shop.app.app_context():
        outbox = components_of(current_orders).outbox
        while deliver_next(outbox, deliver, limit=current_orders.settings.retries):
            pass


def claim(shop: Shop) -> bool:
    """Claim the next event, as a relay that is killed afterwards; whether there was one."""
    for attempt in current_orders.retrying():
        with attempt, attempt.transaction():
            event = components_of(current_orders).outbox.claim()
    return event is not None


def write(shop: Shop, event: Event, *, commit: bool) -> None:
    """Write a row through the shop's session, as a receiver may."""
    assert shop.models.Customer is not None
    shop.db.session.add(shop.models.Customer(email=event["id"]))
    shop.db.session.flush()
    if commit:
        shop.db.session.commit()


def written(shop: Shop) -> list[str]:
    emails = [row["email"] for row in shop.rows("customers")]
    return [email for email in emails if "@" not in email]


@contextmanager
def frozen() -> "Iterator[time_machine.Traveller]":
    """Time stands still until it is moved, at a whole second, which is what databases keep."""
    now = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    with time_machine.travel(now, tick=False) as clock:
        yield clock


@contextmanager
def unreachable_once(engine: sa.Engine) -> Iterator[None]:
    """Cut all connections, and send the next one to a closed port."""
    nowhere: list[dict[str, Any]] = [{"host": "127.0.0.1", "port": 1}]

    def misdirect(
        dialect: sa.Dialect, _record: Any, arguments: Any, parameters: dict[str, Any]
    ) -> Any:
        # SQLAlchemy 2.0 hands out the same parameters each time.
        return dialect.connect(*arguments, **parameters | nowhere.pop()) if nowhere else None

    engine.dispose()
    sa.event.listen(engine, "do_connect", misdirect)
    try:
        yield
    finally:
        sa.event.remove(engine, "do_connect", misdirect)


def assert_complete(deliveries: Heard, orders: list[UUID], kinds: tuple[str, ...] = KINDS) -> None:
    """Nothing is missing, and what each order was first deliveries of is in order."""
    first: dict[str, list[str]] = {str(key): [] for key in orders}
    for order_id, kind in deliveries:
        if kind not in first[order_id]:
            first[order_id].append(kind)
    assert {order_id: tuple(found) for order_id, found in first.items()} == dict.fromkeys(
        first, kinds
    )


def assert_is_cloud_event(event: Event) -> None:
    """CloudEvents 1.0.2, sections 3.1 and 3.2 of the specification, and its JSON format."""
    assert event.keys() == {
        *("specversion", "id", "source", "type"),
        *("subject", "time", "datacontenttype", "data"),
    }
    texts = {name: value for name, value in event.items() if name != "data"}
    assert all(isinstance(value, str) and value for value in texts.values())
    assert event["specversion"] == "1.0"
    assert UUID(event["id"])
    assert event["source"].startswith("urn:")
    assert event["datacontenttype"] == "application/json"
    moment = datetime.strptime(event["time"], "%Y-%m-%dT%H:%M:%S%z")
    assert abs(moment - datetime.now(UTC)) < timedelta(minutes=1)
    assert isinstance(event["data"], dict)


@dataclass
class Notes:
    """A receiver in a process of its own, which leaves a line for each event in a file."""

    path: str
    pause: float
    file: int = field(init=False)

    def __post_init__(self) -> None:
        self.file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def __call__(self, _app: Flask, event: Event) -> None:
        order_id, kind = delivery_of(event)
        os.write(self.file, f"{os.getpid()} {order_id} {kind}\n".encode())
        time.sleep(self.pause)


def relaying_app(url: str, path: str, pause: float) -> Flask:
    """Return the app of a relay in a process of its own (`flask orders relay`)."""
    shop = make_shop(make_url(url), create_tables=False, ORDERS_OUTBOX=True)
    outbox_event.connect(Notes(path, pause), weak=False)
    return shop.app


@contextmanager
def relaying(
    url: URL, folder: Path, *options: str, pause: float = 0.005
) -> Iterator[subprocess.Popen[str]]:
    """A process that relays, and is killed in the end."""
    arguments = (url.render_as_string(hide_password=False), str(folder / "notes"), pause)
    app = f"{__name__}:relaying_app{arguments!r}"
    with subprocess.Popen(
        [sys.executable, "-m", "flask", "--app", app, "orders", "relay", *options],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def notes(folder: Path) -> list[list[str]]:
    path = folder / "notes"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def received(folder: Path) -> Heard:
    return [(order_id, kind) for _, order_id, kind in notes(folder)]


def wait_until_received_by(process: subprocess.Popen[str], folder: Path) -> None:
    wait_until(lambda: any(int(pid) == process.pid for pid, *_ in notes(folder)), [process])


def wait_until(is_true: Callable[[], bool], relays: list[subprocess.Popen[str]]) -> None:
    deadline = time.monotonic() + 30
    while not is_true():
        assert time.monotonic() < deadline
        assert [process.poll() for process in relays] == [None] * len(relays)
        time.sleep(0.01)
