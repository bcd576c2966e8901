"""A shop whose orders have fields of their own: a delivery address, a gift note, an invoice."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any

import sqlalchemy as sa
from flask import Flask
from marshmallow import (
    Schema,
    ValidationError,
    fields,
    post_load,
    pre_load,
    validate,
    validates_schema,
)
from sqlalchemy.engine import URL
from sqlalchemy.orm import Mapped, mapped_column

from flask_orders import declare_models
from flask_orders.models import OrderMixin
from flask_orders.schemas import CreateOrderSchema, Flattened, OrderSchema

from .apps import install, new_db
from .shops import Shop


class Wrapping(Enum):
    """How a gift is wrapped."""

    PAPER = "paper"
    BOX = "box"


class DeliverySchema(Schema):
    street = fields.String(
        required=True, attribute="delivery_street", validate=validate.Length(min=1, max=100)
    )
    city = fields.String(required=True, attribute="delivery_city", validate=validate.Length(max=60))


class CardSchema(Schema):
    text = fields.String(required=True)
    lines = fields.List(fields.String())


class GiftRequestSchema(CreateOrderSchema):
    not_stored = ("delivery_address", "accepts_terms")

    delivery_address = fields.Nested(DeliverySchema)
    gift_note = fields.String(data_key="giftNote", allow_none=True)
    card = fields.Nested(CardSchema, allow_none=True)
    wrapping = fields.Enum(Wrapping)
    tip = fields.Decimal(places=2, validate=validate.Range(min=0))
    deliver_on = fields.Date()
    points = fields.Integer(load_default=0)
    partner = fields.UUID()
    accepts_terms = fields.Boolean(validate=validate.Equal(True))

    @pre_load
    def strip(self, data: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        note = data.get("giftNote")
        return data | ({"giftNote": note.strip()} if isinstance(note, str) else {})

    @validates_schema
    def check_card(self, data: dict[str, Any], **_rest: Any) -> None:
        if data.get("card") and not data.get("wrapping"):
            raise ValidationError("A card goes with a wrapping only.", "wrapping")
        if data.get("points", 0) > 100:
            raise ValidationError("That is too generous.")

    @post_load
    def flatten(self, data: dict[str, Any], **_rest: Any) -> dict[str, Any]:
        # Another value at each request: it is no part of what was asked for.
        delivery: dict[str, str] = data.pop("delivery_address", {})
        return {**data, **delivery, "loaded": datetime.now(UTC).isoformat()}


class GiftOrderSchema(OrderSchema):
    in_preview = ("loyalty_points",)

    delivery_address = Flattened(DeliverySchema, attribute="delivery_city", allow_none=True)
    gift_note = fields.String(data_key="giftNote")
    card = fields.Nested(CardSchema)
    wrapping = fields.Enum(Wrapping)
    tip = fields.Decimal()
    deliver_on = fields.Date()
    invoice_number = fields.String()
    loyalty_points = fields.Method("count_points", metadata={"type": "integer"})

    def count_points(self, order: Any) -> int:
        return int(order.total_amount)


def gift_shop(url: URL, **options: Any) -> Shop:
    """Return the shop, with its tables.

    Args:
        url: the database's.
        options: further arguments of `register_blueprint`.
    """
    db = new_db()

    class Order(OrderMixin, db.Model):
        delivery_street: Mapped[str | None] = mapped_column(sa.String(100))
        delivery_city: Mapped[str | None] = mapped_column(sa.String(60))
        gift_note: Mapped[str | None] = mapped_column("note", sa.String(40))
        card: Mapped[dict[str, Any] | None] = mapped_column(sa.JSON)
        wrapping: Mapped[Wrapping | None] = mapped_column(sa.Enum(Wrapping, native_enum=False))
        tip: Mapped[Decimal | None] = mapped_column(sa.Numeric(6, 2))
        deliver_on: Mapped[date | None]
        points: Mapped[int]
        partner: Mapped[Any] = mapped_column(sa.Uuid, nullable=True)
        loaded: Mapped[str | None] = mapped_column(sa.String(40))
        invoice_number: Mapped[str | None] = mapped_column(sa.String(20))
        channel: Mapped[str] = mapped_column(sa.String(20), default="web")

    models = declare_models(db, order=Order)
    schemas = {"request_schema": GiftRequestSchema, "order_schema": GiftOrderSchema}
    app: Flask = install(
        db, url, config={"ORDERS_PAYMENT_ENDPOINT": "pay"}, **{**schemas, **options}
    )

    @app.get("/pay/<uuid:order_id>/")
    def pay(order_id: Any) -> str:
        return f"pay {order_id}"

    with app.app_context():
        db.create_all()
    return Shop(app, db, models)
