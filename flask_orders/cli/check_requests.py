"""Check routes, payment endpoint, customers and CSRF protection, for `flask orders check`.

It tries them, in requests of the app's own that run none of the shop's views, and none of its
before_request functions except Flask-WTF's.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from flask import Flask, request, url_for
from werkzeug.exceptions import BadRequest, HTTPException
from werkzeug.routing import BuildError, Rule

from ..current_customer import CurrentCustomer, ask, is_signed_in
from ..service import OrderService, components_of

# An id that no order has.
ORDER_ID = UUID(int=7 << 76 | 2 << 62)


def check_payment(app: Flask, endpoint: str | None) -> Iterator[str]:
    """Build the payment URL as `checkout` does, and follow it if it leads into this app.

    A URL that the app's url_build_error_handlers make is another system's, and not followed.
    """
    if endpoint is None:
        yield (
            "checkout has nowhere to redirect to: set ORDERS_PAYMENT_ENDPOINT to the name of your "
            "payment endpoint, such as 'payments.pay'"
        )
        return
    with _order_request(app):
        _preprocess_url_values(app)
        try:
            url = url_for(endpoint, order_id=ORDER_ID)
        except BuildError:
            yield _unbuildable(app, endpoint)
            return
        except (AttributeError, LookupError):
            # A url_defaults function reads what a before_request function of the shop's puts into
            # `g`. Those are not run here, since they may write, and no guess is reported.
            return
        rules = _rules(app, endpoint)
        if rules:
            yield from _follow(app, endpoint, rules, url)


def check_routes(app: Flask) -> Iterator[str]:
    """Follow the blueprint's own URLs, which another route or a missing host may hide."""
    for rule in _order_rules(app, "POST"):
        if not rule.suitable_for({"order_id": ORDER_ID}, "POST"):
            continue  # below a prefix with a variable of the shop's
        with _order_request(app, rule):
            found, path = request.endpoint, request.path
        if found is None:
            yield f"no request reaches {rule.endpoint!r} ({path}): {_unreachable_fix(app)}"
        elif found != rule.endpoint:
            yield (
                f"a POST to {path} leads to {found!r} and not to {rule.endpoint!r}: give "
                "register_blueprint(orders_bp, url_prefix=...) another prefix"
            )


def _unreachable_fix(app: Flask) -> str:
    if app.url_map.host_matching:
        return (
            "the app matches hosts and the orders have none; use subdomain_matching, or give the "
            "rules of the app a host by an app.url_rule_class of its own"
        )
    return "for a subdomain set SERVER_NAME, and Flask(..., subdomain_matching=True)"


def check_customers(app: Flask, orders: OrderService) -> Iterator[str]:
    """Look for what names the customers: `current_customer=`, or else Flask-JWT-Extended."""
    source = components_of(orders).options["current_customer"]
    if source is not None:
        yield from _check_visitor(app, orders, source)
    elif "flask-jwt-extended" not in app.extensions:
        yield (
            "no customer can sign in: call JWTManager(app), of Flask-JWT-Extended, or pass "
            "register_blueprint(orders_bp, current_customer=...), with Flask-Login current_user"
        )
    elif (
        "cookies" in app.config["JWT_TOKEN_LOCATION"] and not app.config["JWT_COOKIE_CSRF_PROTECT"]
    ):
        yield (
            "another site's page can order in a customer's name, since the JWT is in a cookie: "
            "set JWT_COOKIE_CSRF_PROTECT = True"
        )


def _check_visitor(app: Flask, orders: OrderService, source: CurrentCustomer) -> Iterator[str]:
    """Ask who the customer is in a request without credentials."""
    with _order_request(app):
        try:
            visitor = ask(source)
        except Exception:
            # It may read what a before_request function of the shop's puts into `g`.
            return
        finally:
            orders.session.rollback()
        is_known = is_signed_in(visitor)
    if is_known:
        yield (
            "current_customer= names a customer in a request without credentials, in whose name "
            "everybody could order: let it give None if nobody is signed in"
        )
    elif orders.models.Customer is None and not isinstance(visitor, bool | None):
        yield (
            "current_customer= gives objects, and the shop has no class of customers: pass their "
            "class, as in declare_models(db, customer=User), or let it give the customer's key"
        )


def check_csrf(app: Flask, orders: OrderService) -> Iterator[str]:
    """Report Flask-WTF's CSRFProtect where it only hinders: a JWT has a protection of its own."""
    refused = _endpoints_with_csrf(app)
    if refused and components_of(orders).options["current_customer"] is None:
        yield (
            f"CSRFProtect refuses every POST to {', '.join(refused)}: call "
            "csrf.exempt(orders_bp). A JWT in a cookie has its own protection, "
            "JWT_COOKIE_CSRF_PROTECT"
        )


def csrf_notes(app: Flask, orders: OrderService) -> Iterator[str]:
    """Say what a client needs where CSRFProtect may protect a session's cookie."""
    if components_of(orders).options["current_customer"] is not None and _endpoints_with_csrf(app):
        header, *_ = app.config["WTF_CSRF_HEADERS"]
        yield (
            f"CSRFProtect demands its token in the header {header} of every POST to the orders, "
            "which is right where a cookie says who the customer is; where a token in a header "
            "does, call csrf.exempt(orders_bp)"
        )


def _endpoints_with_csrf(app: Flask) -> list[str]:
    """Let CSRFProtect, if the app has one, judge a POST to each orders endpoint."""
    # The function that it registers, called as Flask calls it: it respects WTF_CSRF_ENABLED,
    # WTF_CSRF_CHECK_DEFAULT, WTF_CSRF_METHODS and every exemption.
    protections = [
        function
        for function in app.before_request_funcs.get(None, ())
        if getattr(function, "__module__", None) == "flask_wtf.csrf"
    ]
    return sorted(
        rule.endpoint for rule in _order_rules(app, "POST") if _is_refused(app, rule, protections)
    )


def _is_refused(app: Flask, rule: Rule, protections: list[Any]) -> bool:
    with _order_request(app, rule):
        try:
            for protect in protections:
                protect()
        except BadRequest:
            return True
    return False


def _unbuildable(app: Flask, endpoint: str) -> str:
    rules = _rules(app, endpoint)
    if not rules:
        return f"ORDERS_PAYMENT_ENDPOINT {endpoint!r} is no endpoint: `flask routes` lists yours"
    needed = sorted(set.intersection(*(set(rule.arguments) for rule in rules)) - {"order_id"})
    return (
        f"no URL can be built for the payment endpoint {endpoint!r}, which needs "
        f"{', '.join(needed) or 'other values'} besides order_id: give it a route such as "
        "'/pay/<uuid:order_id>', or the rest by app.url_defaults"
    )


def _follow(app: Flask, endpoint: str, rules: list[Rule], url: str) -> Iterator[str]:
    taking = [rule for rule in rules if "order_id" in rule.arguments]
    parts = urlsplit(url)
    found: tuple[str, Any] | None = None
    # An absolute URL is on another host or subdomain; a rule that only builds is a front end's.
    if not parts.netloc and not any(rule.build_only for rule in taking):
        found = _match(app, parts.path)
    if not taking or (found and found[0] == endpoint and not _is_order_id(found[1])):
        yield (
            f"the payment endpoint {endpoint!r} does not take order_id: "
            "give it a route such as '/pay/<uuid:order_id>'"
        )
    elif found and found[0] != endpoint:
        yield (
            f"the URL of the payment endpoint {endpoint!r}, {parts.path}, leads to {found[0]!r}: "
            "give one of them another route"
        )
    elif all(rule.methods is not None and "GET" not in rule.methods for rule in taking):
        yield (
            f"the payment endpoint {endpoint!r} takes no GET, which a browser sends after the "
            "redirect (303) of checkout: add methods=['GET', ...] to its route"
        )


def _match(app: Flask, path: str) -> tuple[str, Any] | None:
    """Return the endpoint and the order_id that a path of this app leads to, or None."""
    adapter = app.create_url_adapter(request)
    assert adapter is not None  # noqa: S101 - there is a request
    try:
        endpoint, values = adapter.match(path.removeprefix(request.script_root), method="GET")
    except HTTPException:
        # A redirect leads there in the end; a converter that looks the order up has found none.
        return None
    return endpoint, values.get("order_id")


def _is_order_id(value: Any) -> bool:
    # A converter of the shop's own may make anything of it, which only the shop can compare.
    return value is not None and (
        not isinstance(value, str | int) or str(value) in (str(ORDER_ID), ORDER_ID.hex)
    )


def _order_request(app: Flask, rule: Rule | None = None) -> AbstractContextManager[Any]:
    """Return the context of a POST to the orders, on a host that the app trusts."""
    values, host, path, options = {"order_id": ORDER_ID}, "", "/", dict[str, Any]()
    rules = [rule] if rule else _order_rules(app, "POST")
    usable = [candidate for candidate in rules if candidate.suitable_for(values, "POST")]
    built = usable[0].build(values, append_unknown=False) if usable else None
    if built is not None:
        subdomain, path = built
        if app.url_map.host_matching:
            host = subdomain
        elif subdomain and app.config["SERVER_NAME"]:
            options["subdomain"] = subdomain
    host = host or _trusted_host(app)
    if host:
        path = f"{app.config['PREFERRED_URL_SCHEME']}://{host}{path}"
    return app.test_request_context(path, method="POST", **options)


def _trusted_host(app: Flask) -> str:
    """Return a host that TRUSTED_HOSTS allows; without it, or with SERVER_NAME, none is needed."""
    trusted = app.config.get("TRUSTED_HOSTS")
    return "" if not trusted or app.config["SERVER_NAME"] else str(trusted[0]).lstrip(".")


def _preprocess_url_values(app: Flask) -> None:
    """Run the functions from which url_defaults functions learn the language, the tenant, ..."""
    for name in (None, *reversed(request.blueprints)):
        for function in app.url_value_preprocessors.get(name, ()):
            function(request.endpoint, request.view_args)


def _order_rules(app: Flask, method: str) -> list[Rule]:
    """Return the rules of the orders blueprint, under whatever names it is registered."""
    package = f"{__name__.partition('.')[0]}."
    names = {
        name for name, found in app.blueprints.items() if found.import_name.startswith(package)
    }
    return [
        rule
        for rule in app.url_map.iter_rules()
        if rule.endpoint.rpartition(".")[0] in names and method in (rule.methods or ())
    ]


def _rules(app: Flask, endpoint: str) -> list[Rule]:
    return [rule for rule in app.url_map.iter_rules() if rule.endpoint == endpoint]
