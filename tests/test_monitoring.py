"""What the library's log says for machines, and how the example shop is watched."""

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

from example_app.monitoring import monitoring, watch
from flask_orders.signals import order_placed

from .support.overtaken import overtaken_order
from .support.shops import Shop, make_shop


def events(caplog: pytest.LogCaptureFixture, *names: str) -> list[tuple[Any, ...]]:
    """The fields with these names of each record."""
    return [tuple(getattr(record, name, None) for name in names) for record in caplog.records]


def test_a_refusal_is_an_event_with_its_code(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flask_orders")
    customer = shop.customer()
    shop.cart(customer, {shop.product(stock=0): 1})
    assert shop.post(customer).status_code == 409
    assert shop.post(shop.customer()).status_code == 400
    found = events(caplog, "event", "code")
    assert found == [("refused", "item_unavailable"), ("refused", "empty_cart")]


def test_a_conflict_is_an_event_with_order_and_attempt(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    caplog.set_level(logging.INFO, "flask_orders")
    assert overtaken_order(shop).status_code == 201
    (order_id,) = (str(row["id"]) for row in shop.rows("orders") if row["sequence"] == 3)
    (found,) = events(caplog, "event", "attempt", "order_id", "conflict")
    assert found[:3] == ("conflict", 1, order_id)
    assert found[3].startswith("IntegrityError ")


def test_a_receiver_that_fails_is_an_event(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_app: object, **_order: Any) -> None:
        raise RuntimeError

    customer = shop.customer()
    shop.cart(customer, {shop.product(): 1})
    with order_placed.connected_to(fail):
        assert shop.post(customer).status_code == 201
    assert events(caplog, "event", "signal") == [("receiver_failed", "order-placed")]


@pytest.fixture
def watched(sqlite_file: URL) -> Iterator[Shop]:
    shop = make_shop(sqlite_file, ORDERS_OUTBOX=True)
    watch(shop.app)
    shop.app.register_blueprint(monitoring)
    yield shop
    shop.close()


def metrics(shop: Shop) -> dict[str, float]:
    answer = shop.app.test_client().get("/metrics")
    assert answer.status_code == 200
    lines = [line for line in answer.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_the_metrics_of_the_example_shop(watched: Shop) -> None:
    customer = watched.customer()
    watched.cart(customer, {watched.product("10.00"): 1})
    assert watched.post(customer).status_code == 201
    assert watched.post(customer).status_code == 400
    (order,) = watched.rows("orders")
    with watched.service() as orders:
        orders.cancel(order["id"])
        orders.record_payment(order["id"], "pay-1", Decimal(10))
    found = metrics(watched)
    assert found["orders_placed_total"] == 1
    assert found['orders_refused_total{code="empty_cart"}'] == 1
    assert found["orders_outbox_events"] == 3
    assert found["orders_refunds_due"] == 1
    with watched.session() as session:
        session.execute(sa.update(watched.models.OutboxEvent).values(due=None))
    found = metrics(watched)
    assert (found["orders_outbox_events"], found["orders_outbox_set_aside"]) == (0, 3)


def test_healthz_says_if_the_outbox_lags(watched: Shop) -> None:
    client = watched.app.test_client()
    assert client.get("/healthz").json == {
        "status": "ok",
        "events": 0,
        "seconds": 0,
        "set_aside": 0,
    }
    customer = watched.customer()
    watched.cart(customer, {watched.product(): 1})
    watched.post(customer)
    assert client.get("/healthz").status_code == 200
    with watched.session() as session:
        created = datetime.now(UTC) - timedelta(seconds=301)
        session.execute(sa.update(watched.models.OutboxEvent).values(created=created))
    answer = client.get("/healthz")
    assert answer.status_code == 503
    assert answer.json is not None
    assert answer.json["status"] == "no relay delivers the outbox"
    assert metrics(watched)["orders_outbox_age_seconds"] >= 301
