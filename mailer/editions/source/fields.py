"""The fields of an issue's front matter: what each does, and its default. The reference is generated from this list."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Field:
    """One field. ``without`` describes the default; ``kind`` groups the fields in the reference."""

    name: str
    does: str
    without: str
    kind: str = "issue"

    @property
    def shown(self) -> str:
        """The name as people write it."""
        return "-".join(part.capitalize() for part in self.name.split("-"))


FIELDS = (
    Field("title", "The heading, and the email's subject.", "An error."),
    Field("date", "The date shown, and the order of issues; in the site's time zone unless it names its own.", "An error."),
    Field("send", "Asks for the issue to be sent: `yes`, `no`, or a time with its zone.", "The issue is not sent."),
    Field("audience", "Who gets it: a rule over subscribers' tags and segments.", "`everyone`."),
    Field("from", "Another sender of the email, as `Name <address@your.domain>`.", "The newsletter's sender."),
    Field("reply-to", "Where replies to this issue go, as an address or `Name <address>`.", "Where the newsletter's go."),
    Field("subject", "Another subject for the email.", "The title."),
    Field("preheader", "The grey line that inboxes show after the subject.", "The first words of the text."),
    Field("summary", "The sentence in lists, in feeds, and for search engines.", "The preheader."),
    Field("cover", "The picture in lists, feeds and on cards that show links: a file below `content/`.", "No picture."),
    Field("cover-alt", "What the cover shows, for people who do not see it.", "The cover counts as decoration."),
    Field("image", "Another picture for the API: a file below `content/`, or an address.", "The cover, else the share card."),
    Field("tags", "Topics, separated by commas; each has a page and a feed.", "No topics."),
    Field("lang", "The language, such as `de` or `ar`; it also sets the direction of the text.", "The site's language."),
    Field("slug", "Another address than the file's name.", "The file's name; its folder's name for `index.md`."),
    Field("id", "Another key than the slug; set it once, and never change it.", "The slug."),
    Field("edition", "1, 2, 3…: a higher number is the only way to send an issue again.", "1."),
    Field("formerly", "Names or addresses that the issue had before, separated by commas; they lead to it.", "None."),
    Field("corrected", "When it was corrected, and what was wrong; the page and the feeds show it.", "Nothing is shown."),
    Field("status", "`draft` leaves the issue out altogether.", "`published`."),
    Field(
        "after", "In a sequence: how long after the step before it this one is due, as `3d`, `12h`, `0`.", "An error.", "step"
    ),
    Field("access", "`premium`: only paid subscribers may read it; `open`: all of it is free.", "`open`.", "paid"),
    Field("free-from", "The day from which everybody may read it.", "Never.", "paid"),
    Field("teaser", "The text that stands in place of the paid part.", "A sentence of ours.", "paid"),
    Field("audio", "A recording: a file below `content/`, or an address with `Audio-Size:`.", "No episode.", "audio"),
    Field("audio-size", "The recording's size in bytes, for a recording at another address.", "The file's size.", "audio"),
    Field("audio-duration", "The recording's length, such as `32:10`.", "Not shown.", "audio"),
    Field("modified", "The day of the last change.", "Not shown.", "Pelican"),
    Field("category", "Pelican's category.", "Pelican's default.", "Pelican"),
    Field(
        "author",
        "Who wrote it, as named in `POSTMERGE_AUTHORS`; the page, the email and the feeds show it.",
        "`AUTHOR`, if it is described there.",
    ),
    Field("authors", "The same for several people, separated by commas.", "As for `Author:`."),
    Field("keywords", "Keywords for search engines.", "None.", "Pelican"),
    Field("template", "Another template of the theme for this page.", "`article`.", "Pelican"),
    Field("translation", "`true` marks a translation.", "Found by name and language.", "Pelican"),
    Field("translation_id", "What translations share, where `ARTICLE_TRANSLATION_ID` names it.", "—", "Pelican"),
    Field("number", "The issue's number, for themes that show it.", "Not shown.", "Pelican"),
    Field("save_as", "Not used for an issue: set `Slug:`.", "—", "Pelican"),
    Field("url", "Not used for an issue: set `Slug:`.", "—", "Pelican"),
)
KNOWN = {field.name for field in FIELDS}
