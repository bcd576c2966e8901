"""Registration: `register_blueprint(orders_bp)` sets an app up, once, whatever its prefixes."""

from collections.abc import Mapping
from typing import Any, cast

from flask import Blueprint, Flask
from flask.sansio.app import App
from flask_sqlalchemy import SQLAlchemy
from werkzeug.local import LocalProxy

from ..current_customer import check_current_customer
from ..db.after_commit import watch_commits
from ..db.dialects import dialect_of
from ..db.retrying import watch_changes
from ..errors import ConfigurationError
from ..models.declare import declared_models
from ..own_fields import SCHEMAS_KEY, Schemas, schemas_of
from ..pricing import check_pricing
from ..service import EXTENSION_KEY, OrderService, components_of
from ..settings import Settings
from .problems import watch_paths
from .requests import watch_arrivals
from .responses import order_url

# What `register_blueprint(orders_bp, ...)` takes beside Flask's own options.
OPTIONS = ("pricing", "saved_address", "current_customer")
SCHEMAS = ("request_schema", "order_schema")


class OrdersBlueprint(Blueprint):
    """A blueprint that declares its models and makes its service when it is registered."""

    def register(self, app: App, options: dict[str, Any]) -> None:
        """Set the app up.

        Options:
            pricing: the shop's own `Pricing`.
            saved_address: the shop's own source of a customer's saved address: called with the
                customer's key, it returns a `BillingAddress` or None.
            current_customer: names the request's customer in a shop without JWTs: a function or a
                proxy that gives the customer's key, its text, an object of the mapped class, or
                None if nobody is signed in.
            request_schema, order_schema: subclasses of `CreateOrderSchema` and `OrderSchema`, with
                fields of the shop's own.

        Raises:
            ConfigurationError: db.init_app(app) has not been called, a setting or an option is
                wrong, or the app has been given another value of an option by an earlier
                registration. An option that is left out keeps its value.
        """
        given = {name: options.pop(name, None) for name in OPTIONS}
        schemas = {name: options.pop(name, None) for name in SCHEMAS}
        first: OrderService | None = app.extensions.get(EXTENSION_KEY)
        if first is None:
            _set_up(cast(Flask, app), given, schemas)
            watch_paths(cast(Flask, app), self)
        else:
            _refuse_other_options(components_of(first).options, given)
            _refuse_other_options(schemas_of(cast(Flask, app)).options, schemas)
        super().register(app, options)


def _refuse_other_options(first: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for name, value in given.items():
        if value is not None and not _is_same(value, first[name]):
            raise ConfigurationError(
                f"register_blueprint(orders_bp, {name}=...) was called with another {name} before, "
                "or without one: an app has one order service, under whatever names it is "
                f"registered. Give {name}= to the first call, and the same or none to later ones."
            )


def _is_same(value: Any, first: Any) -> bool:
    # A proxy compares as the object that it stands for, of which there may be none now.
    is_proxy = isinstance(value, LocalProxy) or isinstance(first, LocalProxy)
    return value is first or (not is_proxy and bool(value == first))


def _set_up(app: Flask, options: Mapping[str, Any], schemas: Mapping[str, Any]) -> None:
    db: SQLAlchemy | None = app.extensions.get("sqlalchemy")
    if db is None:
        raise ConfigurationError("register_blueprint(orders_bp) needs db.init_app(app) first.")
    Settings.of(app.config)
    if options["current_customer"] is not None:
        check_current_customer(options["current_customer"])
    if options["pricing"] is not None:
        check_pricing(options["pricing"])
    models = declared_models(db)
    with app.app_context():
        engines = db.engines
    engine = engines.get(None)
    if engine is None:
        raise ConfigurationError(
            "Orders are in the app's default database: set SQLALCHEMY_DATABASE_URI, or the key "
            "None of SQLALCHEMY_BINDS."
        )
    # The shop's other databases may be read-only, or another application's.
    dialect_of(engine.dialect).prepare_engine(engine)
    watch_changes(db.session, engines.values())
    watch_commits(db.session)
    app.extensions[SCHEMAS_KEY] = Schemas(models, order_url, **schemas)
    app.extensions[EXTENSION_KEY] = OrderService(
        db.session, models, lambda: Settings.of(app.config), **options
    )
    watch_arrivals(app)
