"""The emails about a subscription: what each says, in the subscriber's language. ``templates/letter.*`` is the layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mailer.core import i18n, tokens
from mailer.core.i18n import Say
from mailer.core.message import leave_header, leave_mailto
from mailer.core.settings import Settings
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
    def secret(self) -> str:
        return self.settings.need_secret()

    @property
    def canary(self) -> str:
        """A link that no person sees: only a link scanner opens it."""
        return self.url(f"canary/{tokens.canary_token(self.secret, self.mail.subscriber_id, self.mail.id)}")

    def page(self, fresh: bool = False) -> str:
        """Return the link to the preferences page; ``fresh`` gives full access, for a day."""
        subscriber = self.mail.subscriber_id
        if fresh:
            return self.url(f"reader/{tokens.page_token(self.secret, subscriber, self.mail.created_at)}")
        return self.url(f"reader/{tokens.leave_token(self.secret, subscriber)}")


def compose_email(settings: Settings, site_name: str, mail: ClaimedEmail) -> SubscriptionEmail:
    """Return the text of a claimed email. Raises KeyError for an unknown topic."""
    lang = i18n.choose(mail.lang)
    desk = _EmailContext(settings, site_name, mail, lang, i18n.translator(lang))
    return _TOPICS[mail.topic](desk)


def _confirmation(desk: _EmailContext) -> SubscriptionEmail:
    say, mail = desk.say, desk.mail
    token = tokens.confirm_token(desk.secret, mail.subscriber_id, mail.id, mail.created_at)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Confirm your subscription to %(site)s", site=desk.site),
        preheader=say("One press of a button, and the next issue comes to you."),
        title=say("Was it you?"),
        before=(
            say(
                "Somebody, hopefully you, asked for %(site)s to be sent to this address."
                " Say yes, and the next issue comes to you.",
                site=desk.site,
            ),
            *([say("Topics: %(tags)s", tags=", ".join(mail.facts["tags"]))] if mail.facts.get("tags") else []),
        ),
        link=desk.url(f"confirm/{token}"),
        label=say("Confirm my subscription"),
        otherwise=say("If the button does nothing, open this address:"),
        instead=say("To confirm, open this page and press the button:"),
        after=(_describe_expiry(desk), say("If it was not you, do nothing: without your yes nothing more is sent.")),
        canary=desk.canary,
    )


def _topics(desk: _EmailContext) -> SubscriptionEmail:
    say, mail = desk.say, desk.mail
    token = tokens.confirm_token(desk.secret, mail.subscriber_id, mail.id, mail.created_at)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Confirm your topics for %(site)s", site=desk.site),
        preheader=say("You get these topics once you confirm."),
        title=say("Was it you?"),
        before=(
            say("Someone, hopefully you, asked for more topics of %(site)s at this address.", site=desk.site),
            say("Topics: %(tags)s", tags=", ".join(mail.facts["tags"])),
        ),
        link=desk.url(f"confirm/{token}"),
        label=say("Confirm my topics"),
        otherwise=say("If the button does nothing, open this address:"),
        instead=say("To confirm, open this page and press the button:"),
        after=(_describe_expiry(desk), say("If you did not ask for it, do nothing: nothing changes.")),
        canary=desk.canary,
    )


def _describe_expiry(desk: _EmailContext) -> str:
    days = max(1, desk.settings.confirm_expiry.days)
    if days == 1:
        return desk.say("The link holds for one day.")
    return desk.say("The link holds for %(days)s days.", days=days)


def _page(desk: _EmailContext) -> SubscriptionEmail:
    say = desk.say
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Your subscription to %(site)s", site=desk.site),
        preheader=say("The link to your own page, as you asked."),
        title=say("Your own page"),
        before=(say("There you can choose topics and how often, pause, leave, see all that is kept about you, and erase it."),),
        link=desk.page(fresh=True),
        label=say("Open my page"),
        otherwise=say("If the button does nothing, open this address:"),
        instead=say("Open this address:"),
        after=(say("The link holds for one day."), say("If you did not ask for it, do nothing: nothing changes.")),
        canary=desk.canary,
    )


def _pause_over(desk: _EmailContext) -> SubscriptionEmail:
    say = desk.say
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Your pause is over: %(site)s comes to you again", site=desk.site),
        preheader=say("The next issue comes by mail."),
        title=say("Your pause is over"),
        before=(say("You had paused %(site)s. From today you get the issues again.", site=desk.site),),
        link=desk.page(),
        label=say("Pause longer, change, or leave"),
        otherwise=say("If the button does nothing, open this address:"),
        instead=say("To pause longer, change something, or leave:"),
        canary=desk.canary,
    )


def _new_address(desk: _EmailContext) -> SubscriptionEmail:
    say, mail = desk.say, desk.mail
    token = tokens.address_token(desk.secret, mail.subscriber_id, mail.id, mail.created_at)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Confirm your new address for %(site)s", site=desk.site),
        preheader=say("One press of a button, and the issues come to this address."),
        title=say("Is this your address?"),
        before=(say("A reader of %(site)s, hopefully you, wants to get the issues at this address.", site=desk.site),),
        link=desk.url(f"address/{token}"),
        label=say("Yes, send them here"),
        otherwise=say("If the button does nothing, open this address:"),
        instead=say("To confirm, open this page and press the button:"),
        after=(_describe_expiry(desk), say("If it was not you, do nothing: without your yes nothing more is sent.")),
        canary=desk.canary,
    )


def _address_changed(desk: _EmailContext) -> SubscriptionEmail:
    say = desk.say
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("Your address for %(site)s was changed", site=desk.site),
        preheader=say("This is the last mail to this address."),
        title=say("Your address was changed"),
        before=(
            say(
                "From now on %(site)s goes to %(address)s. This is the last mail to this address.",
                site=desk.site,
                address=desk.mail.facts["new"],
            ),
        ),
        after=(say("If it was not you, answer this mail and say so."),),
        canary=desk.canary,
    )


def _digest(desk: _EmailContext) -> SubscriptionEmail:
    say, facts = desk.say, desk.mail.facts
    token = tokens.leave_token(desk.secret, desk.mail.subscriber_id)
    entries = tuple(DigestEntry(one["title"], one["url"], one.get("text", "")) for one in facts["issues"])
    number = len(entries)
    return SubscriptionEmail(
        lang=desk.lang,
        subject=say("%(site)s: the month in one mail", site=desk.site),
        preheader=entries[0].title if entries else "",
        title=say("The month in one mail"),
        before=(
            say("One issue came out since the last digest.")
            if number == 1
            else say("%(number)s issues came out since the last digest.", number=number),
        ),
        entries=entries,
        leave=desk.page(),
        leave_label=say("Change what you get, pause, or leave"),
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
