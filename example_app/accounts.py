"""Customers: registration, sign-in for a token, and the user lookup of that token."""

from typing import Any

from flask import Blueprint, Response, abort, jsonify, request
from flask_jwt_extended import JWTManager, create_access_token
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from werkzeug.security import check_password_hash, generate_password_hash

from .models import Cart, Customer, db
from .schemas import RegisterSchema, SignInSchema

jwt = JWTManager()
accounts = Blueprint("accounts", __name__, url_prefix="/api/v1/i")


@jwt.user_lookup_loader
def find_customer(_header: dict[str, Any], token: dict[str, Any]) -> Customer | None:
    """Return the customer that a token names, or None (a 401) if the customer was deleted."""
    return db.session.get(Customer, int(token["sub"]))


@jwt.invalid_token_loader
def refuse_token(reason: str) -> tuple[Response, int]:
    """Return 401 for a malformed token; the extension's own status would be 422."""
    return jsonify(error=reason), 401


@accounts.post("/customers/")
def register() -> tuple[Response, int]:
    """Create a customer."""
    credentials: Any = RegisterSchema().load(request.get_json())
    customer = new_customer(credentials)
    return jsonify(id=customer.id, email=customer.email), 201


@accounts.post("/sign-in/")
def sign_in() -> Response:
    """Return an access token."""
    credentials: Any = SignInSchema().load(request.get_json())
    return jsonify(access_token=token_of(credentials))


def new_customer(credentials: dict[str, str]) -> Customer:
    """Create a customer with a cart, so that no customer ever has two carts."""
    password_hash = generate_password_hash(credentials["password"])
    customer = Customer(email=credentials["email"], password_hash=password_hash)
    try:
        db.session.add(customer)
        db.session.flush()
        db.session.add(Cart(customer_id=customer.id))
        db.session.commit()
    except IntegrityError:
        db.session.rollback()
        abort(409, f"{credentials['email']} is already registered; sign in instead.")
    return customer


def token_of(credentials: dict[str, str]) -> str:
    """Return an access token, or 401 for wrong credentials."""
    query = select(Customer).where(Customer.email == credentials["email"])
    customer = db.session.scalar(query)
    if customer is None or not check_password_hash(customer.password_hash, credentials["password"]):
        abort(401, "The e-mail address or password is incorrect.")
    token: str = create_access_token(identity=str(customer.id))
    return token
