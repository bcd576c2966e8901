"""The loop of a whole transaction: what is retried, what is not, and which loops are refused."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError

from flask_orders import ConfigurationError, Conflict, current_orders
from flask_orders.db import retrying as module
from flask_orders.db.retrying import Attempt
from flask_orders.errors import TryAgain

from .support.shops import Shop


@pytest.fixture
def shop_in_context(shop: Shop) -> Iterator[Shop]:
    with shop.app.app_context():
        yield shop


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between attempts, which don't take any time."""
    taken: list[float] = []
    monkeypatch.setattr("flask_orders.db.retrying.time.sleep", taken.append)
    return taken


def emails(shop: Shop) -> list[str]:
    return [row["email"] for row in shop.rows("customers")]


def add(shop: Shop, email: str) -> None:
    assert shop.models.Customer is not None
    shop.db.session.add(shop.models.Customer(email=email))


def loop(body: Callable[[Attempt], None]) -> None:
    """Run a loop with this body."""
    for attempt in current_orders.retrying():
        body(attempt)


@contextmanager
def commits_that_fail(shop: Shop, count: int) -> Iterator[None]:
    """Raise a conflict in the place of the next COMMITs."""
    left = [Conflict()] * count

    def fail(_session: Any) -> None:
        if left:
            raise left.pop()

    session = shop.db.session()
    event.listen(session, "before_commit", fail)
    try:
        yield
    finally:
        event.remove(session, "before_commit", fail)


def test_the_work_is_committed_and_the_loop_ends(shop_in_context: Shop) -> None:
    numbers = []
    for attempt in current_orders.retrying():
        numbers.append(attempt.number)
        with attempt, attempt.transaction():
            add(shop_in_context, "a")
    assert numbers == [1]
    assert emails(shop_in_context) == ["a"]


def test_a_conflict_undoes_the_attempt_and_leads_to_the_next(
    shop_in_context: Shop, pauses: list[float]
) -> None:
    for attempt in current_orders.retrying():
        with attempt, attempt.transaction():
            add(shop_in_context, f"attempt {attempt.number}")
            shop_in_context.db.session.flush()
            if attempt.number < 3:
                raise Conflict
    assert emails(shop_in_context) == ["attempt 3"]
    assert len(pauses) == 2
    assert all(0.005 <= pause <= 0.02 for pause in pauses)


def test_any_other_error_undoes_the_attempt_and_is_raised(shop_in_context: Shop) -> None:
    numbers = []

    def fail(attempt: Attempt) -> None:
        numbers.append(attempt.number)
        with attempt, attempt.transaction():
            add(shop_in_context, "a")
            shop_in_context.db.session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loop(fail)
    assert numbers == [1]
    shop_in_context.db.session.commit()
    assert emails(shop_in_context) == []


@pytest.mark.usefixtures("pauses")
@pytest.mark.parametrize("inside", ["both blocks", "the outer block"])
def test_no_value_is_returned_of_a_commit_that_failed(shop_in_context: Shop, inside: str) -> None:
    def returned() -> int:
        for attempt in current_orders.retrying():
            with attempt:
                with attempt.transaction():
                    add(shop_in_context, f"attempt {attempt.number}")
                    if inside == "both blocks":
                        return attempt.number
                return attempt.number
        raise AssertionError("the loop ended without a value")

    with commits_that_fail(shop_in_context, 2):
        assert returned() == 3
    assert emails(shop_in_context) == ["attempt 3"]


def conflict(attempt: Attempt) -> None:
    with attempt, attempt.transaction():
        raise Conflict


def test_after_the_last_attempt_it_gives_up_without_a_pause(
    shop_in_context: Shop, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    shop_in_context.app.config["ORDERS_RETRIES"] = 3
    with caplog.at_level(logging.INFO, "flask_orders"), pytest.raises(TryAgain):
        loop(conflict)
    assert len(pauses) == 2
    assert "gave up after 3 attempts; the last conflict: Conflict at\n" in caplog.text
    assert caplog.text.count("conflict: Conflict\n") == 3
    del shop_in_context.app.config["ORDERS_RETRIES"]


def test_no_attempt_begins_after_the_deadline(
    shop_in_context: Shop,
    pauses: list[float],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(module, "DEADLINE", 0)
    with caplog.at_level(logging.INFO, "flask_orders"), pytest.raises(TryAgain):
        loop(conflict)
    assert "gave up after 1 attempts" in caplog.text
    assert pauses == []


def test_what_is_committed_is_not_repeated(shop_in_context: Shop) -> None:
    """A conflict below the transaction is the caller's: the work is done."""

    def conflict_below(attempt: Attempt) -> None:
        with attempt:
            with attempt.transaction():
                add(shop_in_context, f"attempt {attempt.number}")
            raise Conflict

    with pytest.raises(Conflict):
        loop(conflict_below)
    assert emails(shop_in_context) == ["attempt 1"]


def test_an_interrupt_is_raised_whatever_error_it_follows(shop_in_context: Shop) -> None:
    def interrupt(attempt: Attempt) -> None:
        with attempt, attempt.transaction():
            add(shop_in_context, "a")
            shop_in_context.db.session.flush()
            add(shop_in_context, "a")
            try:
                shop_in_context.db.session.flush()
            except IntegrityError as error:
                raise KeyboardInterrupt from error

    with pytest.raises(KeyboardInterrupt):
        loop(interrupt)
    shop_in_context.db.session.commit()
    assert emails(shop_in_context) == []


def test_the_transaction_sees_what_was_committed_after_the_read(shop_in_context: Shop) -> None:
    if shop_in_context.engine.dialect.name == "sqlite":
        pytest.skip("on SQLite an open read keeps other connections from writing")
    session, customer = shop_in_context.db.session, shop_in_context.models.Customer
    assert customer is not None
    count = sa.select(sa.func.count()).select_from(customer)
    for attempt in current_orders.retrying():
        with attempt:
            assert session.execute(count).scalar_one() == 0
            shop_in_context.customer()
            with attempt.transaction():
                assert session.execute(count).scalar_one() == 1


def ignore(_shop: Shop, _attempt: Attempt) -> None:
    """A loop without `with attempt:`."""


def only_the_transaction(shop: Shop, attempt: Attempt) -> None:
    with attempt.transaction():
        add(shop, "a")


@pytest.mark.parametrize("body", [ignore, only_the_transaction])
def test_a_loop_that_never_enters_its_attempt_is_refused(
    shop_in_context: Shop, body: Callable[[Shop, Attempt], None]
) -> None:
    with pytest.raises(RuntimeError, match="below it `with attempt:`"):
        loop(partial(body, shop_in_context))
    assert emails(shop_in_context) == []


def outside(shop: Shop, attempt: Attempt) -> None:
    with attempt:
        add(shop, "a")


def sent_outside(shop: Shop, attempt: Attempt) -> None:
    with attempt:
        add(shop, "a")
        shop.db.session.flush()


def before(shop: Shop, attempt: Attempt) -> None:
    with attempt:
        add(shop, "a")
        with attempt.transaction():
            pass


def sent_before(shop: Shop, attempt: Attempt) -> None:
    assert shop.models.Customer is not None
    with attempt:
        shop.db.session.execute(sa.insert(shop.models.Customer).values(email="a"))
        with attempt.transaction():
            pass


def after(shop: Shop, attempt: Attempt) -> None:
    with attempt:
        with attempt.transaction():
            pass
        add(shop, "a")


@pytest.mark.parametrize("body", [outside, sent_outside, before, sent_before, after])
def test_changes_outside_the_transaction_are_refused_and_undone(
    shop_in_context: Shop, body: Callable[[Shop, Attempt], None]
) -> None:
    with pytest.raises(RuntimeError, match=r"write inside `with attempt\.transaction\(\):`"):
        loop(partial(body, shop_in_context))
    shop_in_context.db.session.commit()
    assert emails(shop_in_context) == []


def test_a_second_transaction_in_one_attempt_is_refused(shop_in_context: Shop) -> None:
    def twice(attempt: Attempt) -> None:
        with attempt:
            for email in "ab":
                with attempt.transaction():
                    add(shop_in_context, email)

    with pytest.raises(RuntimeError, match="Write two loops"):
        loop(twice)
    assert emails(shop_in_context) == ["a"]


def test_what_the_shop_has_pending_is_refused_and_stays(shop_in_context: Shop) -> None:
    add(shop_in_context, "mine")
    with pytest.raises(ConfigurationError, match="Customer"):
        next(current_orders.retrying())
    shop_in_context.db.session.commit()
    assert emails(shop_in_context) == ["mine"]
