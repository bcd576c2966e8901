"""Order in a new shop by the README's lines, with nothing installed but the wheel."""

import re
import sys
from decimal import Decimal
from pathlib import Path

from flask import Flask
from flask_jwt_extended import JWTManager, create_access_token
from flask_sqlalchemy import SQLAlchemy

from flask_orders import current_orders

README = Path(sys.argv[1]).read_text()
lines, *_rest = re.findall(r"(?s)```python\n(.*?)```", README)
body = {
    "action": "checkout",
    "billing_address": {
        "street_address": "123 Main St",
        "postal_code": 12345,
        "city": "Anytown",
        "state": "CA",
        "country": "Canada",
    },
}

app, db, jwt = Flask("shop"), SQLAlchemy(), JWTManager()
app.config.update(SQLALCHEMY_DATABASE_URI="sqlite://", JWT_SECRET_KEY="x" * 32)
app.add_url_rule("/pay/<order_id>/", "payments.pay", lambda order_id: order_id)
exec(lines)
with app.app_context():
    db.create_all()
    shop = current_orders.models
    tea = shop.Product(sku="TEA", name="Assam", price=Decimal("9.50"), stock=10)
    db.session.add(shop.Cart(customer_id="ann", items=[shop.CartItem(product=tea, quantity=2)]))
    db.session.commit()
    token = {"Authorization": f"Bearer {create_access_token('ann')}"}
answer = app.test_client().post("/api/v1/i/orders/", json=body, headers=token)
assert answer.status_code == 303, answer.text
print(answer.headers["Location"])
