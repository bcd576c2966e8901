"""A poster shop whose pages are HTML: one row for each poster that is picked, no carts.

Customers fill the order form in, print it and send it by post so far.
"""

import uuid
from typing import Any

from flask import Blueprint, Flask, abort, redirect, render_template_string, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_wtf import CSRFProtect
from marshmallow import ValidationError  # + flask_orders
from werkzeug.security import check_password_hash, generate_password_hash

import flask_orders as fo  # + flask_orders

# Few rounds: the passwords of its customers are the tests' own.
HASH = "pbkdf2:sha256:1000"

db = SQLAlchemy()
migrate = Migrate()
logins = LoginManager()
csrf = CSRFProtect()
shop = Blueprint("shop", __name__)


class User(UserMixin, db.Model):
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)
    picks = db.relationship("Pick", backref="user")


class Poster(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    name = db.Column(db.String(200), nullable=False)
    price = db.Column(db.Float, nullable=False)
    active = db.Column(db.Boolean, nullable=False, default=True)


class Pick(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    user_id = db.Column(db.Integer, db.ForeignKey("user.id"), nullable=False, index=True)
    poster_id = db.Column(db.Integer, db.ForeignKey("poster.id"), nullable=False)
    poster = db.relationship("Poster", lazy="joined")


fo.declare_models(db, customer=User, cart=User, product=fo.mapping.product(  # + flask_orders
    Poster, sku=None, stock=None, price=fo.mapping.from_float(Poster.price)),  # + flask_orders
    cart_item=fo.mapping.cart_item(Pick, quantity=1))  # fmt: skip  # + flask_orders

FIELDS = ("street_address", "postal_code", "city", "state", "country")

CSRF = '<input type="hidden" name="csrf_token" value="{{ csrf_token() }}">'

SIGN_IN = f"<form method=post>{CSRF}<input name=email><input name=password></form>"

POSTERS = f"""
{{% for poster in posters %}}
<form method=post action="{{{{ url_for("shop.pick", poster_id=poster.id) }}}}">{CSRF}
{{{{ poster.name }}}}: ${{{{ "%.2f" % poster.price }}}} <button>Pick</button></form>
{{% endfor %}}
"""

PICKED = """
{% for name, count in counts.items() %}<p>{{ count }} x {{ name }}</p>{% endfor %}
"""

CHECKOUT = (
    f"<form method=post>{CSRF}<h1>Order form {{{{ number }}}}</h1><p>{{{{ message }}}}</p>"
    '<input type="hidden" name="key" value="{{ request.form.key or number }}">'  # + flask_orders
    "{% for name in fields %}"
    '<label>{{ name }} <input name="{{ name }}" value="{{ request.form[name] }}"></label>'
    "{% for text in errors[name] %}<em>{{ text }}</em>{% endfor %}"
    "{% endfor %}<button>Order</button></form>"
)


@logins.user_loader
def load_user(key: str) -> User | None:
    return db.session.get(User, int(key))


@shop.route("/register", methods=["GET", "POST"])
def register() -> ResponseReturnValue:
    if request.method == "GET":
        return render_template_string(SIGN_IN)
    password = generate_password_hash(request.form["password"], HASH)
    user = User(email=request.form["email"], password=password)
    db.session.add(user)
    db.session.commit()
    return redirect(url_for("shop.sign_in"))


@shop.route("/sign-in", methods=["GET", "POST"])
def sign_in() -> ResponseReturnValue:
    if request.method == "GET":
        return render_template_string(SIGN_IN)
    user = User.query.filter_by(email=request.form["email"]).first()
    if user is None or not check_password_hash(user.password, request.form["password"]):
        abort(403)
    login_user(user)
    return redirect(url_for("shop.posters"))


@shop.get("/posters")
def posters() -> ResponseReturnValue:
    found = Poster.query.filter_by(active=True).order_by(Poster.name)
    return render_template_string(POSTERS, posters=found)


@shop.post("/posters/<int:poster_id>")
@login_required
def pick(poster_id: int) -> ResponseReturnValue:
    db.session.add(Pick(user_id=current_user.id, poster=db.get_or_404(Poster, poster_id)))
    db.session.commit()
    return redirect(url_for("shop.posters"))


@shop.get("/picked")
@login_required
def picked() -> ResponseReturnValue:
    names = [one.poster.name for one in current_user.picks]
    counts = {name: names.count(name) for name in names}
    return render_template_string(PICKED, counts=counts)


def order_form(message: str, **errors: list[str]) -> str:
    number = uuid.uuid4()
    return render_template_string(
        CHECKOUT, fields=FIELDS, number=number, message=message, errors=errors
    )


@shop.get("/checkout")
@login_required
def check_out() -> ResponseReturnValue:
    return order_form("Fill the form in.")


@shop.post("/checkout/print")
@login_required
def print_form() -> ResponseReturnValue:
    missing = {name: ["Please fill this in."] for name in FIELDS if not request.form.get(name)}
    return order_form("Print the form, and send it to us.", **missing)


@shop.post("/checkout")  # + flask_orders
@login_required  # + flask_orders
def buy() -> ResponseReturnValue:  # + flask_orders
    try:  # + flask_orders
        home = fo.BillingAddressSchema().load(request.form, unknown="exclude")  # + flask_orders
        placed = fo.current_orders.place(current_user.id, billing_address=home,  # + flask_orders
            idempotency_key=request.form["key"])  # fmt: skip  # + flask_orders
    except ValidationError as error:  # + flask_orders
        return order_form("Correct the form.", **error.messages_dict), 400  # + flask_orders
    except fo.OrdersError as error:  # + flask_orders
        return order_form(error.detail), error.status  # + flask_orders
    return redirect(url_for("shop.pay", order_id=placed.order_id), 303)  # + flask_orders


@shop.get("/pay/<uuid:order_id>")
@login_required
def pay(order_id: uuid.UUID) -> ResponseReturnValue:
    return {"order": str(order_id), "pay": "by cheque"}


def create_app(url: str, **config: Any) -> Flask:
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = url
    app.config["SECRET_KEY"] = "the secret of the shop for posters"
    app.config["ORDERS_PAYMENT_ENDPOINT"] = "shop.pay"  # + flask_orders
    app.config.update(config)
    db.init_app(app)
    migrate.init_app(app, db, directory=app.config.get("MIGRATIONS", "migrations"))
    logins.init_app(app)
    csrf.init_app(app)
    app.register_blueprint(shop)
    app.register_blueprint(fo.orders_bp, current_customer=current_user)  # + flask_orders
    return app
