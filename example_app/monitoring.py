"""Metrics for Prometheus at /metrics, and /healthz for a load balancer or an alarm.

What happens is counted by the library's signals, and by the events of its log for what has no
signal: refusals and conflicts. What there is now (the outbox, refunds that are due) is read when it
is asked for. With several worker processes use prometheus_client's multiprocess mode.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Flask, Response, current_app
from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from flask_orders import current_orders
from flask_orders.signals import order_placed

monitoring = Blueprint("monitoring", __name__)

# Seconds. Older than this, an event waits for a relay that is not running.
LONGEST_DELAY = 300

EXTENSION = "shop_metrics"


class Metrics:
    """The metrics of one app."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(name, text, registry=self.registry)

        self.placed = counter("orders_placed", "Orders placed.")
        self.refused = counter("orders_refused", "Requests refused, by the problem's code.", "code")
        self.conflicts = counter("orders_conflicts", "Conflicts that led to a retry.")
        self.outbox_events = gauge("orders_outbox_events", "Events that are not delivered.")
        self.outbox_age = gauge("orders_outbox_age_seconds", "The age of the oldest of them.")
        self.set_aside = gauge("orders_outbox_set_aside", "Events that are no longer tried.")
        self.refunds_due = gauge("orders_refunds_due", "Payments of which a refund is due.")

    def count_order(self, _app: Flask, **_order: Any) -> None:
        """Count a placed order (receives `order_placed`)."""
        self.placed.inc()

    def count_record(self, record: logging.LogRecord) -> None:
        """Count an event of the log that has no signal."""
        fields = vars(record)
        if fields.get("event") == "refused":
            self.refused.labels(fields["code"]).inc()
        elif fields.get("event") == "conflict":
            self.conflicts.inc()


class CountEvents(logging.Handler):
    """Passes the library's log to the metrics of the app that has written it."""

    def emit(self, record: logging.LogRecord) -> None:
        metrics = current_app.extensions.get(EXTENSION) if current_app else None
        if metrics is not None:
            metrics.count_record(record)


def watch(app: Flask) -> None:
    """Count what happens in the app."""
    metrics = app.extensions[EXTENSION] = Metrics()
    order_placed.connect(metrics.count_order, sender=app)
    log = logging.getLogger("flask_orders")
    log.setLevel(logging.INFO)
    if not any(isinstance(handler, CountEvents) for handler in log.handlers):
        log.addHandler(CountEvents())


@monitoring.get("/metrics")
def show_metrics() -> Response:
    """Return the metrics, for Prometheus; let no customer reach it."""
    metrics: Metrics = current_app.extensions[EXTENSION]
    events, age, set_aside = undelivered()
    metrics.outbox_events.set(events)
    metrics.outbox_age.set(age)
    metrics.set_aside.set(set_aside)
    metrics.refunds_due.set(len(current_orders.refunds_due()))
    return Response(generate_latest(metrics.registry), mimetype="text/plain")


@monitoring.get("/healthz")
def show_health() -> tuple[dict[str, Any], int]:
    """Return 503 if the database is unavailable, or events wait for a relay."""
    try:
        events, age, set_aside = undelivered()
    except SQLAlchemyError:
        current_orders.session.rollback()
        return {"status": "the database is unavailable"}, 503
    outbox = {"events": events, "seconds": age, "set_aside": set_aside}
    if age > LONGEST_DELAY:
        return {"status": "no relay delivers the outbox", **outbox}, 503
    return {"status": "ok", **outbox}, 200


def undelivered() -> tuple[int, int, int]:
    """Return how many events the outbox has, the age of the oldest in seconds, and how many more
    are set aside.
    """
    session, model = current_orders.session, current_orders.models.OutboxEvent
    # Those that are set aside have no `due`.
    count = select(func.count(), func.min(model.created)).select_from(model)
    events, oldest = session.execute(count.where(model.due.is_not(None))).one()
    set_aside, _ = session.execute(count.where(model.due.is_(None))).one()
    session.commit()
    age = 0 if oldest is None else int((datetime.now(UTC) - oldest).total_seconds())
    return events, age, set_aside
