"""The emails about a subscription: what each says, in the subscriber's language. ``templates/letter.*`` is the layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailer.core import i18n, tokens
from mailer.core.i18n import Say
from mailer.core.message import leave_header, leave_mailto
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
    otherwise: str = ""  # above the bare address, in HTML
    instead: str = ""  # above the bare address, in plain text
    after: tuple[str, ...] = ()
    entries: tuple[DigestEntry, ...] = ()
    leave: str = ""
    leave_label: str = ""
    canary: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _EmailContext:
    settings: Settings
    site: str
    mail: ClaimedEmail
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
        return self.url(f"canary/{tokens.canary_token(self.secrets, self.mail.subscriber_id, self.mail.id)}")

    def page(self, fresh: bool = False) -> str:
        """Return the link to the preferences page; ``fresh`` gives full access, for a day."""
        subscriber = self.mail.subscriber_id
        if fresh:
            return self.url(f"reader/{tokens.page_token(self.secrets, subscriber, self.mail.created_at)}")
        return self.url(f"reader/{tokens.leave_token(self.secrets, subscriber)}")


def compose_email(settings: Settings, site_name: str, mail: ClaimedEmail) -> SubscriptionEmail:
    """Return the text of a claimed email. Raises KeyError for an unknown topic."""
    lang = i18n.choose(mail.lang)
    desk = _EmailContext(settings, site_name, mail, lang, i18n.translator(lang))
    return _TOPICS[mail.topic](desk)


def _confirmation(desk: _EmailContext) -> SubscriptionEmail:
    say, mail = desk.say, desk.mail
    token = tokens.confirm_token(desk.secrets, mail.subscriber_id, mail.id, mail.created_at)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Confirm your subscription to %(site)s", site=desk.site),
        preheader=say("Just one click, and the next issue is yours."),
        title=say("Please confirm your subscription"),
        before=(
            say(
                "Someone, hopefully you, signed up to get %(site)s at this address. Confirm, and you’ll get the next issue.",
                site=desk.site,
            ),
            *([say("Topics: %(tags)s", tags=", ".join(mail.facts["tags"]))] if mail.facts.get("tags") else []),
        ),
        link=desk.url(f"confirm/{token}"),
        label=say("Confirm subscription"),
        otherwise=say("If the button doesn’t work, open this link:"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(desk), say("If this wasn’t you, just ignore this email. You won’t be subscribed.")),
        canary=desk.canary,
    )


def _topics(desk: _EmailContext) -> SubscriptionEmail:
    say, mail = desk.say, desk.mail
    token = tokens.confirm_token(desk.secrets, mail.subscriber_id, mail.id, mail.created_at)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Confirm your topics for %(site)s", site=desk.site),
        preheader=say("You’ll get these topics once you confirm."),
        title=say("Please confirm your topics"),
        before=(
            say("Someone, hopefully you, asked to get more topics from %(site)s at this address.", site=desk.site),
            say("Topics: %(tags)s", tags=", ".join(mail.facts["tags"])),
        ),
        link=desk.url(f"confirm/{token}"),
        label=say("Confirm topics"),
        otherwise=say("If the button doesn’t work, open this link:"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(desk), say("If you didn’t ask for this, just ignore this email. Nothing will change.")),
        canary=desk.canary,
    )


def _describe_expiry(desk: _EmailContext) -> str:
    days = max(1, desk.settings.confirm_expiry.days)
    if days == 1:
        return desk.say("The link is valid for one day.")
    return desk.say("The link is valid for %(days)s days.", days=days)


def _page(desk: _EmailContext) -> SubscriptionEmail:
    say = desk.say
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Your subscription to %(site)s", site=desk.site),
        preheader=say("Here’s the link to your page that you asked for."),
        title=say("Your page"),
        before=(
            say(
                "There you can choose your topics and how often you get email, pause, unsubscribe, and see or delete your data."
            ),
        ),
        link=desk.page(fresh=True),
        label=say("Open my page"),
        otherwise=say("If the button doesn’t work, open this link:"),
        instead=say("Open this link:"),
        after=(
            say("The link is valid for one day."),
            say("If you didn’t ask for this, just ignore this email. Nothing will change."),
        ),
        canary=desk.canary,
    )


def _pause_over(desk: _EmailContext) -> SubscriptionEmail:
    say = desk.say
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Your pause is over: %(site)s is back in your inbox", site=desk.site),
        preheader=say("You’ll get the next issue by email."),
        title=say("Your pause is over"),
        before=(say("You paused %(site)s. Starting today, you’ll get its issues again.", site=desk.site),),
        link=desk.page(),
        label=say("Manage subscription"),
        otherwise=say("If the button doesn’t work, open this link:"),
        instead=say("To pause for longer, change something or unsubscribe:"),
        canary=desk.canary,
    )


def _new_address(desk: _EmailContext) -> SubscriptionEmail:
    say, mail = desk.say, desk.mail
    token = tokens.address_token(desk.secrets, mail.subscriber_id, mail.id, mail.created_at)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Confirm your new address for %(site)s", site=desk.site),
        preheader=say("Just one click, and your issues will go to this address."),
        title=say("Is this your address?"),
        before=(say("A reader of %(site)s, hopefully you, asked to get issues at this address instead.", site=desk.site),),
        link=desk.url(f"address/{token}"),
        label=say("Confirm new address"),
        otherwise=say("If the button doesn’t work, open this link:"),
        instead=say("To confirm, open this page and click the button:"),
        after=(_describe_expiry(desk), say("If you didn’t ask for this, just ignore this email. Nothing will change.")),
        canary=desk.canary,
    )


def _address_changed(desk: _EmailContext) -> SubscriptionEmail:
    say = desk.say
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Your address for %(site)s has been changed", site=desk.site),
        preheader=say("This is the last email to this address."),
        title=say("Your address has been changed"),
        before=(
            say(
                "From now on, we’ll send %(site)s to %(address)s. This is the last email to this address.",
                site=desk.site,
                address=desk.mail.facts["new"],
            ),
        ),
        after=(say("If this wasn’t you, reply to this email and let us know."),),
        canary=desk.canary,
    )


def _digest(desk: _EmailContext) -> SubscriptionEmail:
    say, facts = desk.say, desk.mail.facts
    token = tokens.leave_token(desk.secrets, desk.mail.subscriber_id)
    entries = tuple(DigestEntry(one["title"], one["url"], one.get("text", "")) for one in facts["issues"])
    number = len(entries)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("%(site)s: your monthly digest", site=desk.site),
        preheader=entries[0].title if entries else "",
        title=say("Your monthly digest"),
        before=(
            say("One issue has come out since your last digest.")
            if number == 1
            else say("%(number)s issues have come out since your last digest.", number=number),
        ),
        entries=entries,
        leave=desk.page(),
        leave_label=say("Manage your subscription or unsubscribe"),
        canary=desk.canary,
        headers={
            "List-Unsubscribe": leave_header(
                desk.url(f"leave/{token}"), leave_mailto(desk.settings.unsubscribe_address, token)
            ),
            "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        },
    )


_TOPICS: dict[str, Callable[[_EmailContext], SubscriptionEmail]] = {
    "": _confirmation,
    "topics": _topics,
    "page": _page,
    "pause over": _pause_over,
    "new address": _new_address,
    "address changed": _address_changed,
    "digest": _digest,
}
