"""Pages about money: joining, giving, one's own subscription. A GET shows; a POST changes."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.common.dependencies import Desk, Here, client_ip
from api.common.language import Tongue, tongue
from api.common.render import HEADERS, message, page
from api.web import forms, paid_issue_page
from api.web.forms import Age, Form
from api.web.paid_issue_page import private
from mailer.core import log, tokens
from mailer.core.errors import PostmergeError
from mailer.flows.billing import checkout, gifts, paid_content, plan_changes
from mailer.flows.billing.billing_text import Voice
from mailer.flows.billing.checkout import Order
from mailer.flows.subscribers.signup import Result
from mailer.payments.plans import Plans

router = APIRouter(include_in_schema=False)
router.include_router(paid_issue_page.router)
events = log.get("paid")

AWAY = "Stripe, which takes the payments, does not answer just now. Nothing was changed: please try again in a minute."
PRESS_AGAIN = "Press the button once more, so that we see that a person is asking."


@router.get("/join")
def join_form(desk: Here, request: Request) -> Response:
    """What can be bought; ``?t=`` names a reader by their own link."""
    return _join(desk, tongue(request), Order("", "", reader=_reader(desk, request.query_params.get("t", ""))))


@router.post("/join")
def join(desk: Here, form: Form, request: Request) -> Response:
    """On to Stripe's page."""
    here, secret, token = tongue(request, _text(form.get("lang"))), desk.settings.need_secret(), _text(form.get("token"))
    order = Order(
        plan=_text(form.get("plan")), form=token, amount=_text(form.get("amount")), reader=_reader(desk, _text(form.get("t"))),
        recipient=_text(form.get("recipient")).strip()[:320], giver=_text(form.get("giver")), lang=here.lang,
    )  # fmt: skip
    if forms.age(secret, token) is not Age.GOOD:
        return _join(desk, here, order, note=here.say(PRESS_AGAIN))
    try:
        return RedirectResponse(checkout.begin(desk.database, desk.settings, order), 303, HEADERS)
    except PostmergeError as error:
        status, said = _trouble(here, error, 422)
        return _join(desk, here, order, status, error=said)


@router.get("/join/thanks")
def thanks(desk: Here, request: Request) -> Response:
    """Back from Stripe's page. What was bought comes by mail: this page proves nothing."""
    here = tongue(request)
    sentences = [here.say("As soon as Stripe tells us, in a minute at most, you get a mail with all that you need.")]
    return _archive(desk, here, here.say("Thank you"), sentences)


@router.get("/gift/{token}")
def gift_form(desk: Here, token: str, request: Request) -> Response:
    """A page with a button."""
    here = tongue(request)
    if tokens.read_gift(desk.settings.need_secret(), token) is None:
        return _no_link(desk, here)
    title, label = here.say("Somebody gave you this newsletter"), here.say("Yes, I accept the gift")
    sentences = [here.say("It begins when you accept. Nothing is charged to you, and nothing goes on by itself when it ends.")]
    return _ask(desk, here, title, sentences, label)


@router.post("/gift/{token}")
def gift(desk: Here, token: str, request: Request) -> Response:
    """Accept; twice does no harm."""
    here = tongue(request)
    try:
        result, until = gifts.accept(desk.database, desk.settings, token, client_ip(request))
    except PostmergeError as error:
        status, said = _trouble(here, error, 409)
        return _archive(desk, here, here.say("Not yet"), [said], status)
    if result is Result.INVALID:
        return _no_link(desk, here)
    date = Voice(here.lang).day(until)
    sentences = [here.say("You read everything until %(date)s. The next issue comes by mail.", date=date)]
    return _archive(desk, here, here.say("It is yours"), sentences)


@router.get("/paid/{token}")
def own(desk: Here, token: str, request: Request) -> Response:
    """A reader's own page: what they have, until when, and what they can do."""
    return _own(desk, request, token)


@router.get("/paid/{token}/leave")
def leave_form(desk: Here, token: str, request: Request) -> Response:
    """The second of the two presses, with the date on it."""
    shown = _look(desk, token)
    here = tongue(request, shown.lang if shown else "")
    if shown is None or shown.running is None:
        return _no_link(desk, here)
    date = Voice(here.lang).day(shown.running.period_end)
    sentences = [here.say("Nothing more is charged, and you read everything until %(date)s.", date=date)]
    return _ask(desk, here, here.say("Leave the paid subscription?"), sentences, here.say("Yes, leave"))


@router.get("/paid/{token}/withdraw")
def withdraw_form(desk: Here, token: str, request: Request) -> Response:
    """The EU's withdrawal, with what it means on it."""
    shown = _look(desk, token)
    here = tongue(request, shown.lang if shown else "")
    if shown is None or shown.withdraw_until is None:
        return _no_link(desk, here)
    date = Voice(here.lang).day(shown.withdraw_until)
    sentences = [
        here.say("You can withdraw from this contract until %(date)s, without a reason.", date=date),
        here.say("It ends at once, and all that you have paid for it goes back to your card. A mail confirms it."),
    ]
    return _ask(desk, here, here.say("Withdraw from the contract?"), sentences, here.say("Confirm withdrawal"))


@router.post("/paid/{token}/{verb}")
def act(desk: Here, token: str, verb: str, request: Request) -> Response:
    """Pause, go on, leave, stay, withdraw, renew the private links, or on to Stripe's page for the card."""
    subscriber, shown = _reader(desk, token), _look(desk, token)
    here = tongue(request, shown.lang if shown else "")
    if not subscriber or shown is None:
        return _no_link(desk, here)
    try:
        return _act(desk, request, here, token, subscriber, verb)
    except PostmergeError as error:
        status, said = _trouble(here, error, 409)
        return _own(desk, request, token, status, error=said)


def _act(desk: Desk, request: Request, here: Tongue, token: str, subscriber: int, verb: str) -> Response:
    database, settings = desk.database, desk.settings
    if verb == "card":
        back = f"{settings.api_url}/paid/{token}"
        return RedirectResponse(checkout.portal(database, settings, subscriber, back), 303, HEADERS)
    if verb == "links":
        paid_content.renew(database, settings, subscriber)
        return _own(desk, request, token, note=here.say("Your private links are new; the old ones hold no more."))
    if verb == "withdraw":
        shown = _look(desk, token)
        currency = shown.running.currency if shown and shown.running else ""
        back_money = plan_changes.withdraw(database, settings, subscriber)
        desk.ring()
        return _own(desk, request, token, note=_withdrawn(here, back_money, currency))
    verbs = {"pause": plan_changes.pause, "resume": plan_changes.resume, "leave": plan_changes.leave, "stay": plan_changes.stay}
    if verb not in verbs:
        return _no_link(desk, here)
    verbs[verb](database, settings, subscriber)
    desk.ring()
    offer = _on_sale(desk) if verb == "leave" else None
    return _own(desk, request, token, note=_done(here, verb), offer=offer.offer_after_leaving if offer else "")


def _done(here: Tongue, verb: str) -> str:
    say = here.say
    return {
        "pause": say("Your subscription rests: nothing is charged."),
        "resume": say("Your subscription goes on."),
        "leave": say("You have left: nothing more is charged."),
        "stay": say("You stay: it goes on as before."),
    }[verb]


def _withdrawn(here: Tongue, back: int, currency: str) -> str:
    if back:
        amount = Voice(here.lang).money(back, currency)
        return here.say("You have withdrawn. %(money)s goes back to your card. A mail confirms it.", money=amount)
    return here.say("You have withdrawn. Nothing had been charged. A mail confirms it.")


def _own(
    desk: Desk, request: Request, token: str, status: int = 200, note: str = "", error: str = "", offer: str = ""
) -> Response:
    shown = _look(desk, token)
    here = tongue(request, shown.lang if shown else "")
    if shown is None:
        return _no_link(desk, here)
    links, voice = paid_content.own_links(desk.database, desk.settings, _reader(desk, token)), Voice(here.lang)
    response = page(
        desk, "paid.html", status, here.lang, shown=shown, token=token, links=links, note=note, error=error, offer=offer,
        voice=voice, plans=_on_sale(desk),
    )  # fmt: skip
    return private(_to_stripe(desk, response))


def _join(desk: Desk, here: Tongue, order: Order, status: int = 200, note: str = "", error: str = "") -> Response:
    try:
        plans = checkout.on_sale(desk.settings)
    except PostmergeError as broken:
        return _archive(desk, here, here.say("Not yet"), [_trouble(here, broken, 503)[1]], 503)
    if plans is None:
        sentences, status = [here.say("Every issue is free: there is nothing to pay for.")], 200 if status == 200 else 422
        title, label = here.say("Nothing is sold here"), here.say("Subscribe for free")
        return message(desk, title, sentences, status, here.lang, href="/subscribe", label=label)
    secret = desk.settings.need_secret()
    reader = tokens.paid_token(secret, order.reader) if order.reader else ""
    fresh = tokens.form_token(secret, datetime.now(UTC))
    response = page(
        desk, "join.html", status, here.lang, plans=plans, order=order, token=fresh, reader=reader, note=note, error=error,
        voice=Voice(here.lang),
    )  # fmt: skip
    return _to_stripe(desk, response)


def _on_sale(desk: Desk) -> Plans | None:
    """What can be bought; nothing while it cannot be read: a reader's own page works all the same."""
    try:
        return checkout.on_sale(desk.settings)
    except PostmergeError:
        return None


def _to_stripe(desk: Desk, response: Response) -> Response:
    """A form of this page leads on to Stripe, which the policy has to allow (Chrome checks redirects of forms too)."""
    base = urlsplit(desk.settings.stripe_base)
    own_base = f" {base.scheme}://{base.netloc}" if base.netloc else ""
    allowed = f"form-action 'self' https://checkout.stripe.com https://billing.stripe.com{own_base}"
    policy = response.headers["Content-Security-Policy"].replace("form-action 'self'", allowed)
    response.headers["Content-Security-Policy"] = policy
    return response


def _look(desk: Desk, token: str) -> plan_changes.Page | None:
    subscriber = _reader(desk, token)
    return plan_changes.look(desk.database, desk.settings, subscriber) if subscriber else None


def _reader(desk: Desk, token: str) -> int:
    claim = tokens.read_paid(desk.settings.need_secret(), token) if token else None
    return claim[0] if claim and claim[1] == 0 else 0


def _ask(desk: Desk, here: Tongue, title: str, sentences: list[str], label: str) -> Response:
    return page(desk, "paid_ask.html", 200, here.lang, title=title, sentences=sentences, label=label)


def _archive(desk: Desk, here: Tongue, title: str, sentences: list[str], status: int = 200) -> Response:
    return message(desk, title, sentences, status, here.lang, href=desk.home, label=here.say("On to the archive"))


def _no_link(desk: Desk, here: Tongue) -> Response:
    say = here.say
    sentences = [say("It was probably cut off on its way, or what it was for is over: open it from the newest mail.")]
    return message(desk, say("This link does not hold"), sentences, 404, here.lang)


def _trouble(here: Tongue, error: PostmergeError, status: int) -> tuple[int, str]:
    """The status and the sentence for a reader; what only the writer can mend is written down for them."""
    if said := Voice(here.lang).sentence(error):
        return status, said
    events.error("paid.page_failed", error=str(error))
    return 503, here.say(AWAY)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
