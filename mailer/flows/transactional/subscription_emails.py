"""The emails about a subscription: what each says, in the subscriber's language. ``templates/subscription.*`` is the layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailer.core import i18n, tokens
from mailer.core.i18n import Say
from mailer.core.message import unsubscribe_header, unsubscribe_mailto
from mailer.core.settings import Settings
from mailer.core.tokens import Secrets
from mailer.store.transactional.transactional_emails import ClaimedEmail


@dataclass(frozen=True)
class DigestEntry:
    """A link in a list, with a line about it."""

    title: str
    url: str
    text: str = ""


@dataclass(frozen=True)
class SubscriptionEmail:
    """An email's text. ``before`` and ``after`` are the sentences around its one button."""

    lang: str
    subject: str
    preheader: str
    title: str
    before: tuple[str, ...]
    link: str = ""
    label: str = ""
    instead: str = ""  # above the bare address, in plain text
    after: tuple[str, ...] = ()
    entries: tuple[DigestEntry, ...] = ()
    unsubscribe_url: str = ""
    unsubscribe_label: str = ""
    why: str = ""  # below the postal address
    canary: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _EmailContext:
    settings: Settings
    site: str
    email: ClaimedEmail
    lang: str
    say: Say

    def url(self, path: str) -> str:
        return f"{self.settings.api_url}/{path}"

    @property
    def secrets(self) -> Secrets:
        return self.settings.need_secrets()

    @property
    def canary(self) -> str:
        """A link that no person sees: only a link scanner opens it."""
        return self.url(f"canary/{tokens.canary_token(self.secrets, self.email.subscriber_id, self.email.id)}")

    def page(self, full_access: bool = False) -> str:
        """Return the link to the preferences page; ``full_access`` lasts for a day."""
        if full_access:
            return self.url(f"reader/{tokens.page_token(self.secrets, self.email.recipient, self.email.created_at)}")
        return self.url(f"reader/{tokens.unsubscribe_token(self.secrets, self.email.recipient)}")

    def paid_page(self) -> str:
        """Return the link to the page about payments."""
        return self.url(f"paid/{tokens.paid_token(self.secrets, self.email.recipient, self.email.created_at)}")


def compose_email(settings: Settings, site_name: str, email: ClaimedEmail) -> SubscriptionEmail:
    """Return the text of a claimed email. Raises KeyError for an unknown topic."""
    lang = i18n.choose(email.lang)
    context = _EmailContext(settings, site_name, email, lang, i18n.translator(lang))
    return _TOPICS[email.topic](context)


def compose_billing_email(settings: Settings, site_name: str, email: ClaimedEmail) -> SubscriptionEmail:
    """Return the text of an email about payments, with a link to the subscriber's page or to a gift."""
    facts, lang = email.facts, email.facts.get("lang") or "en"
    context = _EmailContext(settings, site_name, email, lang, i18n.translator(lang))
    gift, label = facts.get("gift"), facts["label"]
    link = context.url(f"gift/{tokens.gift_token(context.secrets, email.recipient, gift)}") if gift else context.paid_page()
    return SubscriptionEmail(
        lang=lang,
        subject=facts["subject"],
        preheader=facts["sentences"][0],
        title=facts["subject"],
        before=tuple(facts["sentences"]),
        link=link if label else "",
        label=label,
        instead=f"{label}:",
        why=context.say(
            "You’re getting this email because you have or were given a paid subscription to %(site)s.", site=site_name
        ),
    )


def _confirmation(context: _EmailContext) -> SubscriptionEmail:
    if context.email.facts.get("paid"):
        return _confirmation_after_payment(context)
    say, email = context.say, context.email
    token = tokens.confirm_token(context.secrets, email.recipient, email.id, email.created_at)
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Confirm your subscription to %(site)s", site=context.site),
        preheader=say("Just one click, and the next issue is yours."),
        title=say("Please confirm your subscription"),
        before=(
            say(
                "Someone, hopefully you, signed up to get %(site)s at this address. Confirm, and you’ll get the next issue.",
                site=context.site,
            ),
            *([say("Topics: %(tags)s", tags=", ".join(email.facts["tags"]))] if email.facts.get("tags") else []),
        ),
        link=context.url(f"confirm/{token}"),
        label=say("Confirm subscription"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(context), say("If this wasn’t you, just ignore this email. You won’t be subscribed.")),
        canary=context.canary,
    )


def _confirmation_after_payment(context: _EmailContext) -> SubscriptionEmail:
    say, email = context.say, context.email
    token = tokens.confirm_token(context.secrets, email.recipient, email.id, email.created_at)
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Confirm your email address for %(site)s", site=context.site),
        preheader=say("Just one click, and the next issue is yours."),
        title=say("Please confirm your email address"),
        before=(say("Thank you for your payment. Confirm your address, and you’ll get %(site)s by email.", site=context.site),),
        link=context.url(f"confirm/{token}"),
        label=say("Confirm address"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(context), say("If you didn’t pay for a subscription, just ignore this email.")),
        canary=context.canary,
    )


def _topics(context: _EmailContext) -> SubscriptionEmail:
    say, email = context.say, context.email
    token = tokens.confirm_token(context.secrets, email.recipient, email.id, email.created_at)
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Confirm your topics for %(site)s", site=context.site),
        preheader=say("You’ll get these topics once you confirm."),
        title=say("Please confirm your topics"),
        before=(
            say("Someone, hopefully you, asked to get more topics from %(site)s at this address.", site=context.site),
            say("Topics: %(tags)s", tags=", ".join(email.facts["tags"])),
        ),
        link=context.url(f"confirm/{token}"),
        label=say("Confirm topics"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(context), say("If you didn’t ask for this, just ignore this email. Nothing will change.")),
        canary=context.canary,
    )


def _describe_expiry(context: _EmailContext) -> str:
    return _valid_for(context, max(1, context.settings.confirm_expiry.days))


def _valid_for(context: _EmailContext, days: int) -> str:
    return context.say.ngettext("The link is valid for one day.", "The link is valid for %(number)s days.", days)


def _preferences_link(context: _EmailContext) -> SubscriptionEmail:
    say, paid = context.say, context.email.facts.get("paid")
    paid_text = say("There you can see your plan, pause or cancel it, change your card, and find your private links.")
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Your subscription to %(site)s", site=context.site),
        preheader=say("Here’s the link to your page that you asked for."),
        title=say("Your page"),
        before=(
            paid_text
            if paid
            else say(
                "There you can choose your topics and how often you get email, pause, unsubscribe, and see or delete your data."
            ),
        ),
        link=context.paid_page() if paid else context.page(full_access=True),
        label=say("Open my page"),
        instead=say("Open this link:"),
        after=(
            _valid_for(context, 1),
            say("If you didn’t ask for this, just ignore this email. Nothing will change."),
        ),
        canary=context.canary,
    )


def _pause_over(context: _EmailContext) -> SubscriptionEmail:
    say = context.say
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Your pause is over: %(site)s is back in your inbox", site=context.site),
        preheader=say("You’ll get the next issue by email."),
        title=say("Your pause is over"),
        before=(say("You paused %(site)s. Starting today, you’ll get its issues again.", site=context.site),),
        link=context.page(),
        label=say("Manage subscription"),
        instead=say("To pause for longer, change something or unsubscribe:"),
        canary=context.canary,
    )


def _new_address(context: _EmailContext) -> SubscriptionEmail:
    say, email = context.say, context.email
    token = tokens.address_token(context.secrets, email.recipient, email.id, email.created_at)
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Confirm your new address for %(site)s", site=context.site),
        preheader=say("Just one click, and your issues will go to this address."),
        title=say("Is this your address?"),
        before=(say("A reader of %(site)s, hopefully you, asked to get issues at this address instead.", site=context.site),),
        link=context.url(f"address/{token}"),
        label=say("Confirm new address"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(context), say("If you didn’t ask for this, just ignore this email. Nothing will change.")),
        canary=context.canary,
    )


def _address_changed(context: _EmailContext) -> SubscriptionEmail:
    say = context.say
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Your address for %(site)s has been changed", site=context.site),
        preheader=say("This is the last email to this address."),
        title=say("Your address has been changed"),
        before=(
            say(
                "From now on, we’ll send %(site)s to %(address)s. This is the last email to this address.",
                site=context.site,
                address=context.email.facts["new"],
            ),
        ),
        after=(say("If this wasn’t you, reply to this email and let us know."),),
        canary=context.canary,
    )


def _still_paying(context: _EmailContext) -> SubscriptionEmail:
    say = context.say
    return SubscriptionEmail(
        lang=context.lang,
        subject=say("Your paid subscription to %(site)s continues", site=context.site),
        preheader=say("You’ve unsubscribed from the emails, not from what you pay for."),
        title=say("Your paid subscription continues"),
        before=(
            say("You’ve unsubscribed, so you won’t get any more issues of %(site)s by email.", site=context.site),
            say("This only stops the emails. You’ll keep paying and keep full access until you cancel."),
        ),
        link=context.paid_page(),
        label=say("Cancel subscription"),
        instead=say("To cancel your paid subscription, open this page:"),
        after=(say("If you’d like to keep it, you don’t need to do anything."),),
        canary=context.canary,
    )


def _digest(context: _EmailContext) -> SubscriptionEmail:
    say, facts = context.say, context.email.facts
    token = tokens.unsubscribe_token(context.secrets, context.email.recipient)
    is_weekly = facts.get("frequency") == "weekly"
    entries = tuple(DigestEntry(one["title"], one["url"], one.get("text", "")) for one in facts["issues"])
    return SubscriptionEmail(
        lang=context.lang,
        subject=(
            say("%(site)s: your weekly digest", site=context.site)
            if is_weekly
            else say("%(site)s: your monthly digest", site=context.site)
        ),
        preheader=entries[0].title if entries else "",
        title=say("Your weekly digest") if is_weekly else say("Your monthly digest"),
        before=(
            say.ngettext(
                "One issue has come out since your last digest.",
                "%(number)s issues have come out since your last digest.",
                len(entries),
            ),
        ),
        entries=entries,
        unsubscribe_url=context.page(),
        unsubscribe_label=say("Manage your subscription or unsubscribe"),
        canary=context.canary,
        headers={
            "List-Unsubscribe": unsubscribe_header(
                context.url(f"leave/{token}"), unsubscribe_mailto(context.settings.unsubscribe_address, token)
            ),
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )


_TOPICS: dict[str, Callable[[_EmailContext], SubscriptionEmail]] = {
    "": _confirmation,
    "topics": _topics,
    "page": _preferences_link,
    "pause over": _pause_over,
    "new address": _new_address,
    "address changed": _address_changed,
    "still paying": _still_paying,
    "digest": _digest,
}
