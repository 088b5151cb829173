"""Pages about money: joining, giving, one's own subscription, reading what was paid for. A GET shows; a POST changes."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api import forms, paid_feed
from api.desk import Desk, Here, client_ip
from api.forms import Age, Form
from api.pages import ONCE_MORE
from api.render import HEADERS, message, page
from mailer import tokens
from mailer.errors import PostmergeError, Unavailable
from mailer.flows import checkout, gifts, paying, reading
from mailer.flows.checkout import Order
from mailer.flows.paid_mails import day
from mailer.flows.signup import Result
from mailer.plans import load, money

router = APIRouter(include_in_schema=False)

AWAY = "Stripe, which takes the payments, does not answer just now. Nothing was changed: please try again in a minute."
_PRIVATE = {**HEADERS, "Cache-Control": "private, no-store"}


@router.get("/join")
def join_form(desk: Here, request: Request) -> Response:
    """What can be bought; ``?t=`` names a reader by their own link."""
    return _join(desk, Order("", "", reader=_reader(desk, request.query_params.get("t", ""))))


@router.post("/join")
def join(desk: Here, form: Form) -> Response:
    """On to Stripe's page."""
    secret, token = desk.settings.need_secret(), _text(form.get("token"))
    order = Order(
        plan=_text(form.get("plan")), form=token, amount=_text(form.get("amount")), reader=_reader(desk, _text(form.get("t"))),
        recipient=_text(form.get("recipient")).strip()[:320], giver=_text(form.get("giver")),
    )  # fmt: skip
    if forms.age(secret, token) is not Age.GOOD:
        return _join(desk, order, note=ONCE_MORE.replace("Subscribe", "the button"))
    try:
        return RedirectResponse(checkout.begin(desk.database, desk.settings, order), 303, HEADERS)
    except PostmergeError as error:
        return _join(desk, order, 503 if isinstance(error, Unavailable) else 422, error=_sentence(error))


@router.get("/join/thanks")
def thanks(desk: Here) -> Response:
    """Back from Stripe's page. What was bought comes by mail: this page proves nothing."""
    sentences = ["As soon as Stripe tells us, in a minute at most, you get a mail with all that you need."]
    return message(desk, "Thank you", sentences, href=desk.home, label="On to the archive")


@router.get("/gift/{token}")
def gift_form(desk: Here, token: str) -> Response:
    """A page with a button."""
    if tokens.read_gift(desk.settings.need_secret(), token) is None:
        return _no_link(desk)
    return page(
        desk, "paid_ask.html", title="Somebody gave you this newsletter", sentences=[_GIFT], label="Yes, I accept the gift"
    )


_GIFT = "Nothing is charged to you, and nothing goes on by itself when it ends. It begins when you accept."


@router.post("/gift/{token}")
def gift(desk: Here, token: str, request: Request) -> Response:
    """Accept; twice does no harm."""
    result, until = gifts.accept(desk.database, desk.settings, token, client_ip(request))
    if result is Result.INVALID:
        return _no_link(desk)
    sentences = [f"You read everything until {day(until)}. The next issue comes by mail."]
    return message(desk, "It is yours", sentences, href=desk.home, label="On to the archive")


@router.get("/paid/{token}")
def own(desk: Here, token: str) -> Response:
    """A reader's own page: what they have, until when, and what they can do."""
    return _own(desk, token)


@router.get("/paid/{token}/leave")
def leave_form(desk: Here, token: str) -> Response:
    """The second of the two presses, with the date on it."""
    shown = _look(desk, token)
    if shown is None or shown.running is None:
        return _no_link(desk)
    sentences = [f"Nothing more is charged, and you read everything until {day(shown.running.period_end)}."]
    return page(desk, "paid_ask.html", title="Leave the paid subscription?", sentences=sentences, label="Yes, leave")


@router.get("/paid/{token}/withdraw")
def withdraw_form(desk: Here, token: str) -> Response:
    """The EU's withdrawal, with what it means on it."""
    shown = _look(desk, token)
    if shown is None or shown.withdraw_until is None:
        return _no_link(desk)
    sentences = [
        f"You can withdraw from this contract until {day(shown.withdraw_until)}, without a reason.",
        "It ends at once, and all that you have paid for it goes back to your card. A mail confirms it.",
    ]
    return page(desk, "paid_ask.html", title="Withdraw from the contract?", sentences=sentences, label="Confirm withdrawal")


@router.post("/paid/{token}/{verb}")
def act(desk: Here, token: str, verb: str) -> Response:
    """Pause, go on, leave, stay, withdraw, renew the private links, or on to Stripe's page for the card."""
    subscriber = _reader(desk, token)
    if not subscriber:
        return _no_link(desk)
    try:
        return _act(desk, token, subscriber, verb)
    except PostmergeError as error:
        return _own(desk, token, 503 if isinstance(error, Unavailable) else 409, error=_sentence(error))


def _act(desk: Desk, token: str, subscriber: int, verb: str) -> Response:
    database, settings = desk.database, desk.settings
    if verb == "card":
        back = f"{settings.api_url}/paid/{token}"
        return RedirectResponse(checkout.portal(database, settings, subscriber, back), 303, HEADERS)
    if verb == "links":
        reading.renew(database, settings, subscriber)
        return _own(desk, token, note="Your private links are new; the old ones hold no more.")
    if verb == "withdraw":
        back_money = paying.withdraw(database, settings, subscriber)
        desk.ring()
        return _own(desk, token, note=_withdrawn(desk, back_money))
    verbs = {"pause": paying.pause, "resume": paying.resume, "leave": paying.leave, "stay": paying.stay}
    if verb not in verbs:
        return _no_link(desk)
    verbs[verb](database, settings, subscriber)
    desk.ring()
    offer = load(settings.plans) if verb == "leave" else None
    return _own(desk, token, note=_DONE[verb], offer=offer.offer_after_leaving if offer else "")


_DONE = {
    "pause": "Your subscription rests: nothing is charged.",
    "resume": "Your subscription goes on.",
    "leave": "You have left: nothing more is charged.",
    "stay": "You stay: it goes on as before.",
}


def _withdrawn(desk: Desk, back: int) -> str:
    plans = load(desk.settings.plans)
    sum_back = f"{money(back, plans.currency)} goes back to your card." if plans and back else "Nothing had been charged."
    return f"You have withdrawn. {sum_back} A mail confirms it."


@router.get("/read/{token}")
def read_all(desk: Here, token: str) -> Response:
    """The issues that paying readers can read in full."""
    reader = reading.enter(desk.database, desk.settings, token)
    if reader is None:
        return _closed(desk)
    return _private(page(desk, "paid_issues.html", issues=reading.issues(desk.database, reader.lang), token=token))


@router.get("/read/{token}/feed.xml")
def feed(desk: Here, token: str) -> Response:
    """A reader's private feed with the full text."""
    reader = reading.enter(desk.database, desk.settings, token)
    if reader is None:
        return _closed(desk)
    base = f"{desk.settings.api_url}/read/{token}"
    data = paid_feed.atom(desk.site_name, base, reading.issues(desk.database, reader.lang))
    return Response(data, 200, _PRIVATE, "application/atom+xml")


@router.get("/read/{token}/{key:path}")
def read(desk: Here, token: str, key: str) -> Response:
    """One issue in full."""
    reader = reading.enter(desk.database, desk.settings, token)
    if reader is None:
        return _closed(desk)
    found = reading.issue(desk.database, key, reader.lang)
    if found is None:
        return message(
            desk, "There is no such issue", ["Nothing was mailed under this name."], 404, href=desk.home, label="The archive"
        )
    response = page(desk, "paid_issue.html", issue=found, token=token)
    policy = HEADERS["Content-Security-Policy"].replace("img-src 'self' data:", "img-src 'self' data: https: http:")
    response.headers["Content-Security-Policy"] = policy
    return _private(response)


def _own(desk: Desk, token: str, status: int = 200, note: str = "", error: str = "", offer: str = "") -> Response:
    shown = _look(desk, token)
    if shown is None:
        return _no_link(desk)
    subscriber = _reader(desk, token)
    links = reading.own_links(desk.database, desk.settings, subscriber)
    response = page(
        desk, "paid.html", status, shown=shown, token=token, links=links, note=note, error=error, offer=offer, day=day,
        price=money, plans=checkout.on_sale(desk.settings), now=datetime.now(UTC),
    )  # fmt: skip
    return _private(_to_stripe(desk, response))


def _join(desk: Desk, order: Order, status: int = 200, note: str = "", error: str = "") -> Response:
    plans = checkout.on_sale(desk.settings)
    if plans is None:
        sentences = ["Every issue is free: there is nothing to pay for."]
        return message(
            desk,
            "Nothing is sold here",
            sentences,
            200 if status == 200 else 422,
            href="/subscribe",
            label="Subscribe for free",
        )
    secret = desk.settings.need_secret()
    reader = tokens.paid_token(secret, order.reader) if order.reader else ""
    fresh = tokens.form_token(secret, datetime.now(UTC))
    response = page(
        desk, "join.html", status, plans=plans, order=order, token=fresh, reader=reader, note=note, error=error, price=money
    )
    return _to_stripe(desk, response)


def _to_stripe(desk: Desk, response: Response) -> Response:
    """A form of this page leads on to Stripe, which the policy has to allow (Chrome checks redirects of forms too)."""
    base = urlsplit(desk.settings.stripe_base)
    own_base = f" {base.scheme}://{base.netloc}" if base.netloc else ""
    allowed = f"form-action 'self' https://checkout.stripe.com https://billing.stripe.com{own_base}"
    policy = response.headers["Content-Security-Policy"].replace("form-action 'self'", allowed)
    response.headers["Content-Security-Policy"] = policy
    return response


def _private(response: Response) -> Response:
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _look(desk: Desk, token: str) -> paying.Page | None:
    subscriber = _reader(desk, token)
    return paying.look(desk.database, desk.settings, subscriber) if subscriber else None


def _reader(desk: Desk, token: str) -> int:
    claim = tokens.read_paid(desk.settings.need_secret(), token) if token else None
    return claim[0] if claim and claim[1] == 0 else 0


def _no_link(desk: Desk) -> Response:
    sentences = ["It was probably cut off on its way, or what it was for is over: open it from the newest mail."]
    return message(desk, "This link does not hold", sentences, 404)


def _closed(desk: Desk) -> Response:
    sentences = ["It is for paying readers, and this link does not hold any more: open your page from one of our mails."]
    return message(desk, "This is closed", sentences, 403, href="/join", label="How to read all of it")


def _sentence(error: PostmergeError) -> str:
    return AWAY if isinstance(error, Unavailable) else str(error)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
