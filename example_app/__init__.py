"""The example shop: a small, complete shop on flask_orders, to click through and to copy from.

From a clone: `flask --app example_app run`, also `demo`, `seed` and `db`.
"""

from pathlib import Path

from flask import Flask
from flask_migrate import Migrate

from flask_orders import orders_bp
from flask_orders.signals import payment_unexpected

from .accounts import accounts, jwt
from .admin import add_admin
from .carts import carts
from .config import settings
from .database import open_before_first_request, seed_command
from .demo import demo_command
from .errors import return_errors_as_json
from .models import db
from .monitoring import monitoring, watch
from .pages import pages
from .payments import log_refund_due, payments
from .sandbox import sandbox
from .shop import shop
from .show import add_show


def create_app(instance_path: str | None = None) -> Flask:
    """Return the shop's app.

    Args:
        instance_path: the absolute path of the folder for the SQLite file and the keys; by
            default `instance` beside this package.
    """
    app = Flask(__name__, instance_path=instance_path)
    app.config.from_mapping(settings(Path(app.instance_path)))
    app.url_map.strict_slashes = False
    db.init_app(app)
    jwt.init_app(app)
    Migrate(app, db, directory=str(Path(__file__).with_name("migrations")))
    app.register_blueprint(orders_bp)
    for blueprint in (accounts, shop, carts, pages):
        app.register_blueprint(blueprint)
    if app.config["PAYMENTS"] == "stripe":
        # Needs an extra of its own.
        from .stripe_payments import add_stripe

        add_stripe(app)
    else:
        app.register_blueprint(payments)
        app.register_blueprint(sandbox)
        app.cli.add_command(demo_command)
    payment_unexpected.connect(log_refund_due, sender=app)
    add_admin(app)
    app.register_blueprint(monitoring)
    watch(app)
    app.cli.add_command(seed_command)
    return_errors_as_json(app)
    open_before_first_request(app)
    # For show only: leave it out of a real shop.
    add_show(app)
    return app
