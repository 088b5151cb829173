"""Pages about payment: buying a plan, gifts, the subscriber's own plan. A GET only shows; a POST changes something."""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import urlsplit

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse

from api.common.content_policy import allow
from api.common.dependencies import AppContext, Context, client_ip
from api.common.language import PageLanguage, get_language
from api.common.render import HEADERS, render_message, render_page
from api.web import forms, paid_issue_page, preferences_page
from api.web.forms import NOT_ACCEPTED, Form, FormAge
from api.web.link_request import PRESS_AGAIN
from api.web.paid_issue_page import make_private
from mailer.core import log, tokens
from mailer.core.errors import PostmergeError, TooManyRequests
from mailer.core.i18n import N_
from mailer.flows.billing import checkout, gifts, paid_content, subscription_changes
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.billing.checkout import CheckoutOrder
from mailer.flows.subscribers import preferences, signup_limits
from mailer.flows.subscribers.preferences import LinkOwner
from mailer.flows.subscribers.signup import TokenResult
from mailer.payments.plans import Plans

router = APIRouter(include_in_schema=False)
router.include_router(paid_issue_page.router)
logger = log.get("paid")

AWAY = N_("Our payment provider isn’t responding right now. Nothing has changed. Please try again in a minute.")
STALE_LINK = N_(
    "This link is more than a day old. To change your card, resume, withdraw or see your private links, get a new one."
)
_NEEDS_FRESH_LINK = ("card", "withdraw", "resume", "stay")  # whatever moves money; stopping it never does


@router.get("/join")
def show_plans(context: Context, request: Request) -> Response:
    """Show the plans; ``?t=`` identifies a subscriber by their private link."""
    link = request.query_params.get("t", "")
    return _show_plans(context, get_language(request), CheckoutOrder("", "", subscriber_id=_find_id(context, link)), link=link)


@router.post("/join")
def start_checkout(context: Context, form: Form, request: Request) -> Response:
    """Redirect to Stripe's checkout page."""
    language, link, token = get_language(request, _text(form.get("lang"))), _text(form.get("t")), _text(form.get("token"))
    order = CheckoutOrder(
        plan=_text(form.get("plan")), form=token, amount=_text(form.get("amount")),
        subscriber_id=_find_id(context, link),
        recipient=_text(form.get("recipient")).strip()[:320], giver=_text(form.get("giver")), lang=language.lang,
    )  # fmt: skip
    if forms.check_post(context, request, token) is not FormAge.GOOD:
        return _show_plans(context, language, order, NOT_ACCEPTED, note=language.say(PRESS_AGAIN), link=link)
    try:
        signup_limits.admit_checkout(context.database, client_ip(request))
        return RedirectResponse(checkout.start_checkout(context.database, context.settings, order), 303, HEADERS)
    except PostmergeError as error:
        status, said = _explain(language, error, 429 if isinstance(error, TooManyRequests) else 422)
        return _show_plans(context, language, order, status, error=said, link=link, field=getattr(error, "field", ""))


@router.get("/join/thanks")
def show_thanks(context: Context, request: Request) -> Response:
    """Thank the buyer on return from Stripe. What was bought arrives by email: this page proves nothing."""
    language = get_language(request)
    sentences = [
        language.say("As soon as your payment is confirmed, usually within a minute, we’ll email you everything you need.")
    ]
    return _message_with_archive(context, language, language.say("Thank you"), sentences)


@router.get("/gift/{token}")
def show_gift(context: Context, token: str, request: Request) -> Response:
    """Ask whether to accept a gift."""
    language = get_language(request)
    if tokens.read_gift(context.settings.need_secrets(), token) is None:
        return _invalid_link(context, language)
    title, label = language.say("You’ve received a gift subscription"), language.say("Accept gift")
    sentences = [language.say("It starts when you accept it. You won’t be charged, and it doesn’t renew.")]
    return _ask_confirmation(context, language, title, sentences, label)


@router.post("/gift/{token}")
def accept_gift(context: Context, token: str, request: Request) -> Response:
    """Accept a gift; repeating it changes nothing."""
    language = get_language(request)
    try:
        result, until = gifts.accept_gift(context.database, context.settings, token, client_ip(request))
    except PostmergeError as error:
        status, said = _explain(language, error, 409)
        return _message_with_archive(context, language, language.say("That didn’t work"), [said], status)
    if result is TokenResult.INVALID:
        return _invalid_link(context, language)
    sentences = [language.say("You’ll get the next issue by email.")]
    if until:
        date = Localizer(language.lang).day(until)
        sentences = [language.say("You have full access until %(date)s. You’ll get the next issue by email.", date=date)]
    return _message_with_archive(context, language, language.say("Gift accepted"), sentences)


@router.get("/paid/{token}")
def show_own_plan(context: Context, token: str, request: Request) -> Response:
    """Show the subscriber's plan, its end, and the possible actions."""
    return _show_own_plan(context, request, token)


@router.get("/paid/{token}/leave")
def show_cancel_plan(context: Context, token: str, request: Request) -> Response:
    """Ask whether to cancel the plan, with the date of its end."""
    shown = _find_plan(context, token)
    language = get_language(request, shown.lang if shown else "")
    if shown is None or shown.running is None:
        return _invalid_link(context, language)
    sentences = [language.say("You won’t be charged again.")]
    if end := shown.running.period_end:
        date = Localizer(language.lang).day(end)
        sentences = [language.say("You won’t be charged again, and you’ll keep full access until %(date)s.", date=date)]
    # Translators: German law (§ 312k BGB) wants „Jetzt kündigen“ on this button
    label = language.say("Cancel now")
    return _ask_confirmation(
        context, language, language.say("Cancel your paid subscription?"), sentences, label,
        contract=_describe_contract(language, shown), back=f"/paid/{token}",
    )  # fmt: skip


@router.get("/paid/{token}/withdraw")
def show_withdrawal(context: Context, token: str, request: Request) -> Response:
    """Ask whether to withdraw (an EU right), with the consequences."""
    shown, owner = _find_plan(context, token), _find_owner(context, token)
    language = get_language(request, shown.lang if shown else "")
    if owner is None or shown is None or shown.withdraw_until is None:
        return _invalid_link(context, language)
    if not owner.has_full_access:
        return _show_own_plan(context, request, token, 409, error=language.say(STALE_LINK))
    date = Localizer(language.lang).day(shown.withdraw_until)
    sentences = [
        language.say("You can withdraw from this contract until %(date)s, without giving a reason.", date=date),
        language.say(
            "The contract ends immediately, and we’ll refund everything you’ve paid for it to your card."
            " We’ll confirm this by email."
        ),
    ]
    # Translators: Art. 11a of Directive 2011/83/EU wants this function and label; 24 languages have it in the Official Journal
    label = language.say("Confirm withdrawal")
    return _ask_confirmation(
        context, language, language.say("Withdraw from the contract?"), sentences, label,
        contract=_describe_contract(language, shown), back=f"/paid/{token}",
    )  # fmt: skip


@router.post("/paid/{token}/{verb}")
def change_plan(context: Context, token: str, verb: str, request: Request) -> Response:
    """Pause, resume, cancel, keep, withdraw, renew the private links, or redirect to Stripe's page for the card."""
    owner, shown = _find_owner(context, token), _find_plan(context, token)
    language = get_language(request, shown.lang if shown else "")
    if owner is None or shown is None:
        return _invalid_link(context, language)
    if verb in _NEEDS_FRESH_LINK and not owner.has_full_access:
        return _show_own_plan(context, request, token, 409, error=language.say(STALE_LINK))
    try:
        return _change_plan(context, request, language, token, owner, verb)
    except PostmergeError as error:
        status, said = _explain(language, error, 409)
        return _show_own_plan(context, request, token, status, error=said)


def _change_plan(
    context: AppContext, request: Request, language: PageLanguage, token: str, owner: LinkOwner, verb: str
) -> Response:
    database, settings, subscriber = context.database, context.settings, owner.subscriber_id
    if verb == "card":
        back = f"{settings.api_url}/paid/{token}"
        return RedirectResponse(checkout.open_portal(database, settings, subscriber, back), 303, HEADERS)
    if verb == "links":
        preferences.renew_links(database, owner, paid=True)
        return preferences_page.confirm_renewal(context, language)
    if verb == "link":
        preferences.send_fresh_link(database, owner, paid=True)
        context.wake_transactional()
        note = language.say(
            "If your address can get our emails, we’ve sent you the link. No email yet? Try again in ten minutes."
        )
        return _show_own_plan(context, request, token, note=note)
    if verb == "withdraw":
        shown = _find_plan(context, token)
        currency = shown.running.currency if shown and shown.running else ""
        back_money = subscription_changes.withdraw_from_contract(database, settings, subscriber)
        context.wake_transactional()
        said = _confirm_withdrawal(language, back_money, currency)  # the refund has ended the link to the page
        return _message_with_archive(context, language, language.say("Your withdrawal is confirmed"), [said])
    verbs = {
        "pause": subscription_changes.pause_subscription,
        "resume": subscription_changes.resume_subscription,
        "leave": subscription_changes.cancel_subscription,
        "stay": subscription_changes.undo_cancellation,
    }
    if verb not in verbs:
        return _invalid_link(context, language)
    verbs[verb](database, settings, subscriber)
    context.wake_transactional()
    offer = _find_plans(context) if verb == "leave" else None
    return _show_own_plan(
        context, request, token, note=_confirm_change(language, verb), offer=offer.offer_after_leaving if offer else ""
    )


def _confirm_change(language: PageLanguage, verb: str) -> str:
    say = language.say
    return {
        "pause": say("Your subscription is paused. You won’t be charged."),
        "resume": say("Your subscription continues."),
        "leave": say("Your subscription is cancelled. You won’t be charged again."),
        "stay": say("Your subscription continues as before."),
    }[verb]


def _confirm_withdrawal(language: PageLanguage, back: int, currency: str) -> str:
    if back:
        amount = Localizer(language.lang).money(back, currency)
        return language.say(
            "You’ve withdrawn from the contract. We’ll refund %(money)s to your card and confirm this by email.", money=amount
        )
    return language.say("You’ve withdrawn from the contract. You hadn’t been charged. We’ll confirm this by email.")


def _show_own_plan(
    context: AppContext, request: Request, token: str, status: int = 200, note: str = "", error: str = "", offer: str = ""
) -> Response:
    shown, owner = _find_plan(context, token), _find_owner(context, token)
    language = get_language(request, shown.lang if shown else "")
    if shown is None or owner is None:
        return _invalid_link(context, language)
    fresh, voice = owner.has_full_access, Localizer(language.lang)
    links = paid_content.get_link_token(context.database, context.settings, owner.subscriber_id) if fresh else ""
    response = render_page(
        context, "paid.html", status, language.lang, shown=shown, token=token, links=links, note=note, error=error, offer=offer,
        voice=voice, plans=_find_plans(context), fresh=fresh,
    )  # fmt: skip
    return make_private(_allow_stripe(context, response))


def _show_plans(
    context: AppContext,
    language: PageLanguage,
    order: CheckoutOrder,
    status: int = 200,
    note: str = "",
    error: str = "",
    link: str = "",
    field: str = "",
) -> Response:
    try:
        plans = checkout.load_plans_on_sale(context.settings)
    except PostmergeError as broken:
        return _message_with_archive(
            context, language, language.say("That didn’t work"), [_explain(language, broken, 503)[1]], 503
        )
    if plans is None:
        return _show_nothing_on_sale(context, language, 200 if status == 200 else 422)
    subscriber_token = link if order.subscriber_id else ""  # the same link, so that the page makes no old one fresh
    form_token = tokens.form_token(context.settings.need_secrets(), datetime.now(UTC))
    response = render_page(
        context, "join.html", status, language.lang, plans=plans, order=order, token=form_token, note=note, error=error,
        field=field, subscriber_token=subscriber_token, voice=Localizer(language.lang),
    )  # fmt: skip
    return _allow_stripe(context, response)


def _show_nothing_on_sale(context: AppContext, language: PageLanguage, status: int) -> Response:
    title = language.say("This newsletter is free")
    sentence = language.say("Every issue is free, so there’s nothing to pay for.")
    if checkout.has_paid_issues(context.database):
        title = language.say("Get full access")
        sentence = language.say("Paid subscriptions aren’t available right now. You can get the free issues by email.")
    label = language.say("Subscribe for free")
    return render_message(context, title, [sentence], status, language.lang, href="/subscribe", label=label)


def _find_plans(context: AppContext) -> Plans | None:
    """The plans on sale; None while they cannot be read, so that the subscriber's own page still works."""
    try:
        return checkout.load_plans_on_sale(context.settings)
    except PostmergeError:
        return None


def _allow_stripe(context: AppContext, response: Response) -> Response:
    """Allow forms of this page to redirect to Stripe (Chrome applies form-action to redirects too)."""
    base = urlsplit(context.settings.stripe_base)
    own_base = f" {base.scheme}://{base.netloc}" if base.netloc else ""
    allow(response, form_action=f"https://checkout.stripe.com https://billing.stripe.com{own_base}")
    return response


def _find_plan(context: AppContext, token: str) -> subscription_changes.SubscriptionPage | None:
    owner = _find_owner(context, token)
    return subscription_changes.get_page(context.database, context.settings, owner.subscriber_id) if owner else None


def _find_owner(context: AppContext, token: str) -> LinkOwner | None:
    return paid_content.identify(context.database, context.settings, token) if token else None


def _find_id(context: AppContext, token: str) -> int:
    """The id of the subscriber whose link this is; 0 for anybody else."""
    owner = _find_owner(context, token)
    return owner.subscriber_id if owner else 0


def _ask_confirmation(
    context: AppContext,
    language: PageLanguage,
    title: str,
    sentences: list[str],
    label: str,
    contract: str = "",
    back: str = "",
) -> Response:
    """Ask before something is changed; ``back`` is the address of the way out."""
    facts = {"title": title, "sentences": sentences, "label": label, "contract": contract, "back": back}
    return render_page(context, "paid_ask.html", 200, language.lang, **facts)


def _describe_contract(language: PageLanguage, shown: subscription_changes.SubscriptionPage) -> str:
    assert shown.running
    return Localizer(language.lang).contract(shown.running, shown.plan, shown.email)


def _message_with_archive(
    context: AppContext, language: PageLanguage, title: str, sentences: list[str], status: int = 200
) -> Response:
    return render_message(
        context, title, sentences, status, language.lang, href=context.home, label=language.say("Go to the archive")
    )


def _invalid_link(context: AppContext, language: PageLanguage) -> Response:
    say = language.say
    sentences = [say("Part of it is probably missing, or it’s out of date. Open it from our latest email.")]
    return render_message(
        context, say("This link doesn’t work"), sentences, 404, language.lang, href="/reader", label=say("Get a new link")
    )


def _explain(language: PageLanguage, error: PostmergeError, status: int) -> tuple[int, str]:
    """The status and the sentence for a subscriber; what only the operator can fix is logged."""
    if said := Localizer(language.lang).sentence(error):
        return status, said
    logger.error("paid.page_failed", error=str(error))
    return 503, language.say(AWAY)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
