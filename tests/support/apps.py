"""The smallest apps with the library installed, for tests that bring classes or settings."""

from collections.abc import Mapping
from typing import Any

from flask import Flask
from flask_jwt_extended import JWTManager
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import URL

from flask_orders import orders_bp

JWT_SECRET_KEY = "only for the tests, and long enough for HS256"


def text_of(url: URL | str) -> str:
    """Return a database's URL with its password, as the configuration takes it."""
    return url if isinstance(url, str) else url.render_as_string(hide_password=False)


def new_db(base: Any = None) -> Any:
    """Return a `db` on which every class names its table."""
    return SQLAlchemy(disable_autonaming=True, **({} if base is None else {"model_class": base}))


def install(
    db: SQLAlchemy,
    url: URL | str = "sqlite://",
    *,
    config: Mapping[str, Any] | None = None,
    flask: Mapping[str, Any] | None = None,
    jwt: bool = True,
    **options: Any,
) -> Flask:
    """Return an app of this `db` with the blueprint.

    Args:
        config: further settings of the app.
        flask: arguments of `Flask`.
        jwt: whether customers have JWTs.
        options: arguments of `register_blueprint`.
    """
    app = Flask("shop", **(flask or {}))
    app.config.update(
        {
            "SQLALCHEMY_DATABASE_URI": text_of(url),
            "JWT_SECRET_KEY": JWT_SECRET_KEY,
            **(config or {}),
        }
    )
    if jwt:
        JWTManager(app)
    db.init_app(app)
    app.register_blueprint(orders_bp, **options)
    return app


def make_app(url: URL | str, **config: Any) -> tuple[Flask, SQLAlchemy]:
    """Return a new shop by the README's five lines, and its `db`."""
    db = SQLAlchemy()
    return install(db, url, config=config), db
