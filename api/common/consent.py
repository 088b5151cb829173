"""What a person agrees to by subscribing and by confirming: shown beside the button, and stored as evidence of the consent."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from mailer.core.characters import name_sender
from mailer.core.i18n import N_, Say
from mailer.core.settings import Settings

# Translators: this text is stored as evidence of the consent, so it names the newsletter, the sender and how to unsubscribe
SUBSCRIBING = N_(
    "By subscribing you agree to get %(site)s by email from %(sender)s. First we’ll send you one email to confirm your address."
    " You can unsubscribe at any time with the link in every issue."
)
# Translators: this text is stored as evidence of the consent, as the one for subscribing
CONFIRMING = N_(
    "By confirming you agree to get %(site)s by email from %(sender)s. You can unsubscribe at any time with the link in every"
    " issue."
)


@dataclass(frozen=True)
class Consent:
    """A text about consent, with the link to the privacy page: ``html`` to show it, ``text`` to store it."""

    sentences: str
    label: str
    url: str

    @property
    def html(self) -> Markup:
        """The text with its link."""
        return Markup('{} <a href="{}">{}</a>').format(self.sentences, self.url, self.label)

    @property
    def text(self) -> str:
        """The same as plain text, with the link's address."""
        return f"{self.sentences} {self.label}: {self.url}"


def make_consent(settings: Settings, site_name: str, say: Say, wording: str = SUBSCRIBING) -> Consent:
    """Return the text in the language of ``say``."""
    sentences = say(wording, site=site_name, sender=name_sender(settings.sender, site_name))
    return Consent(sentences, say("Privacy policy"), settings.privacy_page)
