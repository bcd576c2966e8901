"""Record what a customer's last request did, and put the drawer into every page."""

from flask import Flask, Response, g, request
from flask.typing import ResponseReturnValue

from .drawer import drawer
from .exchanges import Exchange, request_text, response_text
from .memory import EXTENSION_KEY, Memory, memory, visitor
from .repeating import INNER
from .rows import changes, rows_of
from .tricks import ORDERING, TRICKS

# What a customer uses. Signing in is not shown: its form has the password.
SHOWN = ("pages", "carts", "orders", "sandbox")
NOT_SHOWN = ("pages.sign_in", "pages.sign_out")

END = "</body>"


def record(app: Flask) -> None:
    """Look at every request before and after it."""
    app.extensions[EXTENSION_KEY] = Memory()
    app.before_request(look_before)
    app.after_request(look_after)


def look_before() -> ResponseReturnValue | None:
    """Remember the rows as they are, and play the trick that is armed."""
    customer_id = visitor() if _is_shown() else None
    if customer_id is None:
        return None
    # Kept, so that the view and the drawer can both read it.
    request.get_data()
    g.show_customer_id, g.show_before = customer_id, rows_of(customer_id)
    armed = memory().armed.pop(customer_id) if request.endpoint in ORDERING else None
    played = TRICKS[armed].play(customer_id) if armed is not None else None
    if played is None:
        return None
    g.show_note = played.note
    return played.response


def look_after(response: Response) -> Response:
    """Remember what the request did, and put the drawer at the end of a page."""
    if "show_before" in g:
        changed = changes(g.show_before, rows_of(g.show_customer_id))
        texts = request_text(request), response_text(response)
        memory().exchanges.put(g.show_customer_id, Exchange(*texts, changed, g.get("show_note")))
    if response.mimetype == "text/html" and request.blueprint in SHOWN:
        page = response.get_data(as_text=True)
        response.set_data(page.replace(END, drawer() + END))
    return response


def _is_shown() -> bool:
    is_change = request.method not in ("GET", "HEAD", "OPTIONS")
    is_own = request.blueprint in SHOWN and request.endpoint not in NOT_SHOWN
    return is_change and is_own and INNER not in request.environ
