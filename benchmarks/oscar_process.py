"""django-oscar on its own database, in a process with the Python of oscar's environment.

`python oscar_process.py DSN ORDERS` creates the shop, prints "ready", and then places an order for
each line of its standard input, `{"items": 5, "counted": false}`: it prints a line with the seconds
and, if `counted`, the number of statements.

An order is timed from the basket's key to the committed order: read the basket, apply the offer
and the voucher, compute the total, save the billing address, OrderCreator.place_order, submit the
basket. All of it in one transaction, which oscar leaves to the host application, without HTTP.
"""
# mypy: disable-error-code="import-not-found, import-untyped"

import itertools
import json
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from time import perf_counter
from typing import Any

import django
from django.conf import settings
from django.core.management import call_command

PRODUCTS = 2_000

APPS = {
    "address": "Address",
    "analytics": "Analytics",
    "basket": "Basket",
    "catalogue": "Catalogue",
    "catalogue.reviews": "CatalogueReviews",
    "checkout": "Checkout",
    "communication": "Communication",
    "customer": "Customer",
    "dashboard": "Dashboard",
    "dashboard.catalogue": "CatalogueDashboard",
    "dashboard.communications": "CommunicationsDashboard",
    "dashboard.offers": "OffersDashboard",
    "dashboard.orders": "OrdersDashboard",
    "dashboard.pages": "PagesDashboard",
    "dashboard.partners": "PartnersDashboard",
    "dashboard.ranges": "RangesDashboard",
    "dashboard.reports": "ReportsDashboard",
    "dashboard.reviews": "ReviewsDashboard",
    "dashboard.shipping": "ShippingDashboard",
    "dashboard.users": "UsersDashboard",
    "dashboard.vouchers": "VouchersDashboard",
    "offer": "Offer",
    "order": "Order",
    "partner": "Partner",
    "payment": "Payment",
    "search": "Search",
    "shipping": "Shipping",
    "voucher": "Voucher",
    "wishlists": "Wishlists",
}


def configure(dsn: str) -> None:
    """Configure Django with oscar's defaults, as in its documentation."""
    from oscar import defaults
    from psycopg.conninfo import conninfo_to_dict

    database = conninfo_to_dict(dsn)
    settings.configure(
        **{name: getattr(defaults, name) for name in dir(defaults) if name.startswith("OSCAR_")},
        SECRET_KEY="none is kept",
        SITE_ID=1,
        USE_TZ=True,
        DEFAULT_AUTO_FIELD="django.db.models.AutoField",
        INSTALLED_APPS=[
            *(f"django.contrib.{name}" for name in ("auth", "contenttypes", "sessions", "sites")),
            "django.contrib.flatpages",
            "oscar.config.Shop",
            *(f"oscar.apps.{module}.apps.{name}Config" for module, name in APPS.items()),
            "treebeard",
            "django_tables2",
            "haystack",
        ],
        HAYSTACK_CONNECTIONS={
            "default": {"ENGINE": "haystack.backends.simple_backend.SimpleEngine"}
        },
        DATABASES={
            "default": {
                "ENGINE": "django.db.backends.postgresql",
                "NAME": database["dbname"],
                "USER": database["user"],
                "PASSWORD": database.get("password", ""),
                "HOST": database["host"],
                "PORT": database.get("port", ""),
            }
        },
    )
    django.setup()
    call_command("migrate", verbosity=0)


class Oscar:
    """The shop: products in stock, a site offer on all of them, and a voucher for all customers."""

    def __init__(self, orders: int) -> None:
        from django.contrib.auth.models import User
        from oscar.apps.voucher.models import Voucher
        from oscar.core.loading import get_class, get_model

        self.model, self.load = get_model, get_class
        # Every run buys the same products.
        self.random = random.Random(1)
        self.user = User.objects.create(username="customer", email="c@example.com")
        self.country = get_model("address", "Country").objects.create(
            iso_3166_1_a2="CA", iso_3166_1_a3="CAN", printable_name="Canada", name="Canada"
        )
        self.records = self._stock()
        self._offer("Site", 5)
        self.voucher = Voucher.objects.create(
            name="Voucher",
            code="VOUCHER",
            usage=Voucher.MULTI_USE,
            start_datetime="2000-01-01T00:00Z",
            end_datetime="2100-01-01T00:00Z",
        )
        self.voucher.offers.add(self._offer("Voucher", 10))
        self._history(orders)

    def _stock(self) -> list[Any]:
        product_class = self.model("catalogue", "ProductClass").objects.create(name="Things")
        product = self.model("catalogue", "Product")
        products = product.objects.bulk_create(
            product(product_class=product_class, title=f"Product {n}", upc=f"SKU-{n}", slug=str(n))
            for n in range(PRODUCTS)
        )
        partner = self.model("partner", "Partner").objects.create(name="Partner")
        record = self.model("partner", "StockRecord")
        records: list[Any] = record.objects.bulk_create(
            record(
                product=one,
                partner=partner,
                partner_sku=one.upc,
                price_currency="USD",
                price=1 + Decimal(n % 9000) / 100,
                num_in_stock=10_000_000,
            )
            for n, one in enumerate(products)
        )
        return records

    def _offer(self, kind: str, percent: int) -> Any:
        """Create a percentage off everything; both kinds apply to a line, as the library's do."""
        all_products = self.model("offer", "Range").objects.create(
            name=kind, includes_all_products=True
        )
        condition = self.model("offer", "Condition").objects.create(
            range=all_products, type="Count", value=1
        )
        benefit = self.model("offer", "Benefit").objects.create(
            range=all_products, type="Percentage", value=percent
        )
        return self.model("offer", "ConditionalOffer").objects.create(
            name=kind,
            offer_type=kind,
            condition=condition,
            benefit=benefit,
            exclusive=False,
            max_basket_applications=1,
        )

    def _history(self, orders: int) -> None:
        """Load orders of one line each."""
        order, line = self.model("order", "Order"), self.model("order", "Line")
        columns = {
            "user": self.user,
            "date_placed": datetime.now(UTC),
            "currency": "USD",
            "total_incl_tax": 10,
            "total_excl_tax": 10,
        }
        made = order.objects.bulk_create(
            (order(number=f"H{n}", **columns) for n in range(orders)), batch_size=5000
        )
        prices: dict[str, Any] = {
            f"{name}_{tax}_tax": 10
            for name in ("line_price", "line_price_before_discounts", "unit_price")
            for tax in ("incl", "excl")
        }
        line.objects.bulk_create(
            (
                line(order=one, product=record.product, num_allocated=1, **prices)
                for one, record in zip(made, itertools.cycle(self.records), strict=False)
            ),
            batch_size=5000,
        )

    def fill(self, items: int) -> int:
        """Fill a basket and apply the voucher; return its key."""
        basket = self.model("basket", "Basket").objects.create(owner=self.user)
        line = self.model("basket", "Line")
        line.objects.bulk_create(
            line(
                basket=basket,
                line_reference=f"{record.product_id}_{record.id}",
                product_id=record.product_id,
                stockrecord=record,
                quantity=1 + record.id % 3,
                price_currency="USD",
                price_excl_tax=record.price,
                price_incl_tax=record.price,
            )
            for record in self.random.sample(self.records, items)
        )
        basket.vouchers.add(self.voucher)
        key: int = basket.id
        return key

    def place(self, basket_id: int) -> Any:
        """Place the basket's order."""
        basket = self.model("basket", "Basket").objects.get(id=basket_id)
        basket.strategy = self.load("partner.strategy", "Selector")().strategy(user=self.user)
        self.load("offer.applicator", "Applicator")().apply(basket, self.user)
        method = self.load("shipping.methods", "FixedPrice")(
            charge_excl_tax=Decimal("1.25"), charge_incl_tax=Decimal("1.25")
        )
        charge = method.calculate(basket)
        total = self.load("checkout.calculators", "OrderTotalCalculator")().calculate(
            basket, charge
        )
        address = self.model("order", "BillingAddress").objects.create(
            line1=f"{basket_id} Main St", line4="Anytown", postcode="12345", country=self.country
        )
        order = self.load("order.utils", "OrderCreator")().place_order(
            basket=basket,
            total=total,
            shipping_method=method,
            shipping_charge=charge,
            user=self.user,
            billing_address=address,
        )
        basket.submit()
        return order


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the statements that are sent meanwhile."""
    from django.db import connection

    statements: list[str] = []

    def note(execute: Callable[..., Any], sql: str, params: Any, many: Any, context: Any) -> Any:
        statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements


def main(dsn: str, orders: int) -> None:
    configure(dsn)
    from django.db import connection, transaction

    shop = Oscar(orders)
    connection.cursor().execute("VACUUM ANALYZE")
    print("ready", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        basket_id = shop.fill(asked["items"])
        if asked["counted"]:
            with counted() as statements, transaction.atomic():
                shop.place(basket_id)
            answer: dict[str, float] = {
                "statements": sum("SAVEPOINT" not in one for one in statements)
            }
        else:
            started = perf_counter()
            with transaction.atomic():
                shop.place(basket_id)
            answer = {"seconds": perf_counter() - started}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
