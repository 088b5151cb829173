"""Checks of an issue's front matter."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from zoneinfo import ZoneInfo

from mailer.checks.context import Context
from mailer.checks.document import Document
from mailer.checks.registry import Fix, Found, check
from mailer.core import i18n
from mailer.core.audience import parse, shown
from mailer.core.characters import ILLEGAL, OVERRIDES, name_character
from mailer.core.edition import Finding, SendIntent
from mailer.core.errors import BadInput
from mailer.core.i18n import code, locale
from mailer.editions.source import drafts, field_synonyms, front_matter, page_extras, paid_sections
from mailer.editions.source.fields import KNOWN
from mailer.editions.source.front_matter import NOWHERE
from mailer.editions.source.translations import wrong

_MAX_SUBJECT_CHARS = 70  # a desktop inbox shows about so many, a phone 35 to 45
_OLD, _FAR = timedelta(days=7), timedelta(days=366)
_MAX_NAMED_CHARACTERS = 20  # of one file that are reported by name
_NIGHT = range(6, 22)  # the hours outside the night
_MAX_DAYS_APART = 45  # between a date of last year and the issue's, a year ago
_DAY = re.compile(r"\b(20\d\d)-(\d\d)-(\d\d)\b|\b(\d{1,2})\. ?(\d{1,2})\. ?(20\d\d)\b")
_EDITION = re.compile(r"[0-9]{1,6}")
_FIELD = re.compile(r"^ {0,3}([A-Za-z0-9_-]+):", re.MULTILINE)


@check("encoding", "error", "A byte that is not UTF-8.")
def encoding(doc: Document, ctx: Context) -> Iterator[Found]:
    try:
        doc.data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = doc.data[: error.start].count(b"\n") + 1
        yield Found(doc.line_at(line), "The file is not UTF-8 here: save it as UTF-8.")


@check("head-unreadable", "error", "A line of the front matter that is not a field.")
def head_unreadable(doc: Document, ctx: Context) -> Iterator[Found]:
    if doc.source.odd:
        line, message = doc.source.odd
        yield Found(doc.line_at(line), message, level="error" if doc.source.broken else "warning")


@check("title-missing", "error", "An issue without `Title:`.")
def title_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    if not (doc.fields.get("title") or doc.implied.get("title", "")).strip():
        yield Found(
            doc.field_at("title"), "`Title:` is missing: add one at the beginning of the file, followed by an empty line."
        )


@check("title-double", "warning", "The text begins with the title, which the page shows above it anyway.")
def title_double(doc: Document, ctx: Context) -> Iterator[Found]:
    first = next(iter(doc.headings), None)
    if first and _same(first.text, doc.fields.get("title", "")) and not doc.prose[doc.body_at : first.at].strip():
        end = first.end + len(re.match(r"\n*", doc.text[first.end :])[0])  # type: ignore[index]
        yield Found(first.at, "This repeats the title: remove it.", Fix(first.at, end, ""))


@check("field-unknown", "warning", "A field with an unknown or misspelled name.")
def field_unknown(doc: Document, ctx: Context) -> Iterator[Found]:
    unused = list[tuple[int, str]]()
    for name, line in doc.source.lines.items():
        if name in KNOWN | front_matter.NOT_YET | field_synonyms.NAMES:
            continue
        at = doc.line_at(line)
        close = difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.72)
        if not close:
            unused.append((at, f"`{_read_title(name)}:`"))
            continue
        safe = close[0] not in doc.source.lines and doc.text[at : at + len(name)].lower() == name  # the last of two would win
        fix = Fix(at, at + len(name), _read_title(close[0])) if safe else None
        yield Found(at, f"Unknown field `{_read_title(name)}:`. Did you mean `{_read_title(close[0])}:`?", fix)
    if unused:
        names = ", ".join(name for _, name in unused)
        one = len(unused) == 1
        are, how = ("is not a Postmerge field and has", "it") if one else ("are not Postmerge fields and have", "them")
        message = f"{names} {are} no effect: remove {how} unless your theme uses {how}."
        yield Found(unused[0][0], message, level="note")


@check("field-double", "warning", "A field that occurs more than once; only the last one is used.")
def field_double(doc: Document, ctx: Context) -> Iterator[Found]:
    names = [(match[1].lower(), match.start(1)) for match in _FIELD.finditer(doc.text[: doc.body_at])]
    times = Counter(name for name, _ in names)
    for name, at in names:
        if times[name] > 1 and doc.place(at)[0] == doc.source.lines.get(name):
            yield Found(at, f"`{_read_title(name)}:` occurs {times[name]} times: keep one.")


@check("cover-missing", "error", "A `Cover:` that is not a file.")
def cover_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    try:
        page_extras.find_cover(doc.fields, doc.path, ctx.root)
    except BadInput as error:
        if not ctx.is_adopted:  # a theme of the site's own may know what it names
            yield Found(doc.field_at("cover"), str(error))


@check("date-unreadable", "error", "A date that is missing or invalid.")
def date_unreadable(doc: Document, ctx: Context) -> Iterator[Found]:
    if doc.is_page or doc.is_step or _read_date(doc, ctx):
        return
    text = doc.fields.get("date", "")
    what = f"`Date: {text}` is not a valid date" if text else "`Date:` is missing"
    yield Found(doc.field_at("date"), f"{what}: write it as `Date: 2026-11-24 09:00`.")


@check("date-old", "warning", "An issue to be sent that is dated more than 7 days ago.")
def date_old(doc: Document, ctx: Context) -> Iterator[Found]:
    dated = _read_date(doc, ctx)
    if doc.asks and dated and ctx.now - dated > _OLD and not _sent(doc, ctx) and not _send_at(doc):
        days = (ctx.now - dated).days
        yield Found(doc.field_at("date"), f"The issue is to be sent, but it is dated {days} days ago: correct `Date:`.")


@check("date-future", "warning", "A date more than a year in the future.")
def date_future(doc: Document, ctx: Context) -> Iterator[Found]:
    dated = _read_date(doc, ctx)
    if dated and dated - ctx.now > _FAR and not doc.is_page:
        yield Found(
            doc.field_at("date"), f"The date is {(dated - ctx.now).days} days in the future: correct the year in `Date:`."
        )


@check("send-unreadable", "error", "An invalid `Send:`, `Edition:`, `From:` or `Reply-To:`.")
def send_unreadable(doc: Document, ctx: Context) -> Iterator[Found]:
    if not doc.is_page:
        yield from (Found(doc.line_at(f.line), f.message) for f in _read_send(doc) if not f.message.startswith("The audience"))


@check("not-yet", "error", "An issue to be sent that is also marked as not ready, or is dated in the future.")
def not_yet(doc: Document, ctx: Context) -> Iterator[Found]:
    source = front_matter.Source(doc.shown, fields=dict(doc.fields), lines=doc.source.lines)
    send = SendIntent.NO if doc.is_page else front_matter.asked(front_matter.Source(doc.shown, dict(doc.fields))).send
    path = doc.path.relative_to(ctx.root) if doc.path.is_relative_to(ctx.root) else Path(doc.shown)
    drafts.judge(source, drafts.Candidate(doc.fields, path, ctx.zone, ctx.now), send)
    yield from (Found(doc.line_at(one.line), one.message) for one in source.findings)


@check("paid-text", "error", "A fence of paid text that is misspelled, misplaced, or never closed, or an invalid `Access:`.")
def paid_text(doc: Document, ctx: Context) -> Iterator[Found]:
    source = front_matter.Source(doc.shown, dict(doc.fields), dict(doc.source.lines), doc.source.body, doc.source.body_line)
    paid_sections.cut(source, {"lang": ctx.lang, **doc.fields}, ctx.now, "", ctx.gfm)
    yield from (Found(doc.line_at(one.line), one.message) for one in source.findings)


@check(
    "paid-unsold",
    "warning",
    "Paid text in an issue to be sent, while nothing is sold: a note if only the Stripe key is missing.",
)
def paid_unsold(doc: Document, ctx: Context) -> Iterator[Found]:
    whole = doc.fields.get("access", "").lower() in ("premium", "early")
    fence = re.search(r"^:::", doc.text, re.MULTILINE)
    if ctx.unsold and doc.asks and (whole or fence) and not _sent(doc, ctx):
        at = doc.field_at("access") if whole or not fence else fence.start()
        how = (
            "set STRIPE_SECRET_KEY where you publish"
            if ctx.unsold == "no key"
            else "write plans.toml, and set STRIPE_SECRET_KEY"
        )
        message = f"This issue has paid text, and nobody can pay for it yet: {how} before you send it."
        yield Found(at, message, level="note" if ctx.unsold == "no key" else "")


@check("character", "warning", "A character that is not allowed in pages, feeds, and emails.")
def character(doc: Document, ctx: Context) -> Iterator[Found]:
    if any(f"{NOWHERE} and was dropped" in one.message for one in doc.source.findings):
        for match in islice(ILLEGAL.finditer(doc.text), _MAX_NAMED_CHARACTERS):
            message = f"The character {name_character(match[0])} {NOWHERE} and is dropped: remove it."
            yield Found(match.start(), message, Fix(match.start(), match.end(), ""))
    for match in OVERRIDES.finditer(doc.text, 0, doc.body_at):
        message = f"The character {name_character(match[0])} changes the direction of the text and is dropped: remove it."
        yield Found(match.start(), message, Fix(match.start(), match.end(), ""))


@check("schedule-past", "warning", "A scheduled time in the past.")
def schedule_past(doc: Document, ctx: Context) -> Iterator[Found]:
    at = _send_at(doc)
    if at and at < ctx.now and not _sent(doc, ctx):
        yield Found(
            doc.field_at("send"), f"`Send: {doc.fields['send']}` is in the past: choose a later time, or write `Send: yes`."
        )


@check("schedule-night", "warning", "A scheduled time at night (10 p.m. to 6 a.m. in the site's time zone).")
def schedule_night(doc: Document, ctx: Context) -> Iterator[Found]:
    at = _send_at(doc)
    if at and at > ctx.now and (local := at.astimezone(ZoneInfo(ctx.zone))).hour not in _NIGHT:
        yield Found(
            doc.field_at("send"), f"That is {local:%H:%M} in {ctx.zone}, when most people are asleep: choose another time."
        )


@check("audience-unreadable", "error", "An invalid audience.")
def audience_unreadable(doc: Document, ctx: Context) -> Iterator[Found]:
    if not doc.is_page:
        yield from (Found(doc.line_at(f.line), f.message) for f in _read_send(doc) if f.message.startswith("The audience"))


@check("audience-tag", "error", "An audience with a tag that no subscriber has (needs the database).")
def audience_tag(doc: Document, ctx: Context) -> Iterator[Found]:
    rule = doc.fields.get("audience", "")
    if ctx.ledger and doc.asks and rule and _readable(rule):
        for tag in ctx.ledger.unknown_tags(rule):
            yield Found(doc.field_at("audience"), f"No subscriber has the tag {tag!r}: correct `Audience:`.")


@check("audience-nobody", "error", "An audience without any subscribers (needs the database).")
def audience_nobody(doc: Document, ctx: Context) -> Iterator[Found]:
    rule = doc.fields.get("audience", "") or "everyone"
    if ctx.ledger and doc.asks and _readable(rule) and not _sent(doc, ctx) and ctx.ledger.size(rule, _key(doc, ctx)) == 0:
        yield Found(
            doc.field_at("audience"),
            f"The audience {shown(rule)} has no subscribers: correct `Audience:`, or add subscribers first.",
        )


@check("subject-long", "warning", f"A subject of more than {_MAX_SUBJECT_CHARS} characters: inboxes cut it off.")
def subject_long(doc: Document, ctx: Context) -> Iterator[Found]:
    name = "subject" if doc.fields.get("subject") else "title"
    length = len(doc.fields.get(name, ""))
    if doc.asks and length > _MAX_SUBJECT_CHARS:
        yield Found(
            doc.field_at(name),
            f"The subject has {length} characters, and inboxes cut it off at about {_MAX_SUBJECT_CHARS}:"
            " add a short `Subject:`.",
        )


@check("subject-year", "warning", "A subject with last year's date, as left over from the issue that was copied.")
def subject_year(doc: Document, ctx: Context) -> Iterator[Found]:
    name = "subject" if doc.fields.get("subject") else "title"
    dated = _read_date(doc, ctx)
    if not doc.asks or not dated or _sent(doc, ctx):
        return
    subject = doc.fields.get(name, "")
    for said, year, month, day in _list_dates(subject, doc.fields.get("lang") or ctx.lang):
        now = (dated.month, dated.day) if day else (dated.month, 0)
        if year == dated.year - 1 and abs((month - now[0]) * 31 + day - now[1]) <= _MAX_DAYS_APART:
            yield Found(
                doc.field_at(name), f"“{said}” is last year's date, and the issue is dated {dated:%Y-%m-%d}: correct one."
            )


@check(
    "preheader-missing", "note", "An issue to be sent without `Preheader:`: inboxes show the first words of the text instead."
)
def preheader_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    if doc.asks and not doc.fields.get("preheader"):
        yield Found(
            doc.field_at("title"),
            "`Preheader:` is missing: inboxes show the first words of the text after the subject. Add one.",
        )


@check("slug-double", "error", "Two issues with the same address: an error if a `Slug:` sets it, otherwise a warning.")
def slug_double(doc: Document, ctx: Context) -> Iterator[Found]:
    own = ctx.siblings.get(doc.path)
    others = [path for path in ctx.slugs.get(own.wanted, []) if path != doc.path] if own and not own.draft else []
    others = [path for path in others if _read_language(path, ctx) == _read_language(doc.path, ctx)]
    if not own or not others:
        return
    name = ctx.siblings[others[0]].shown
    if doc.is_page or doc.fields.get("slug", "").strip():
        yield Found(doc.field_at("slug"), f"{name} has the address {own.wanted!r} too: give one of them a different `Slug:`.")
    elif own.slug != own.wanted:
        said = f"{name} has the address {own.wanted!r}, so this issue is at {own.slug!r}: give it a `Slug:` of its own."
        yield Found(doc.field_at("slug"), said, level="warning")


@check(
    "translation", "error", "A translation with fields that belong in the original, or without the paid part of the original."
)
def translation(doc: Document, ctx: Context) -> Iterator[Found]:
    for one in wrong(ctx.families.get(str(doc.path), ())):
        if one.name == str(doc.path) and (one.field != "lang" or "slug" not in ctx.ids):
            yield Found(doc.field_at(one.field), one.message)


@check("lang-missing", "error", "A file that is named like a translation, such as `hello.de.md`, without `Lang:`.")
def lang_missing(doc: Document, ctx: Context) -> Iterator[Found]:
    stem, _, lang = doc.path.stem.rpartition(".")
    original = doc.path.with_name(f"{stem}{doc.path.suffix}")
    if doc.fields.get("lang") or doc.implied.get("lang") or original not in ctx.siblings or not _is_language(lang):
        return
    said = f"This file is named like a translation of {original.name}: add `Lang: {lang}`, or it is an issue of its own."
    yield Found(doc.field_at("lang"), f"{said} If it is one, give it another name.")


@check("sent-changed", "note", "An issue whose text has changed since it was sent (needs the database).")
def sent_changed(doc: Document, ctx: Context) -> Iterator[Found]:
    digest = _sent(doc, ctx)
    if not digest or doc.fields.get("corrected"):
        return
    made = ctx.render(doc.path)
    if made and made.digest != digest:
        yield Found(
            doc.field_at("title"),
            "The text has changed since this issue was sent. The page is updated, the sent emails are not: add `Corrected:`"
            " with the date to tell your subscribers, or `Edition: 2` to send the issue again.",
        )


def _read_send(doc: Document) -> list[Finding]:
    source = front_matter.Source(doc.shown, fields=dict(doc.fields), lines=doc.source.lines)
    front_matter.asked(source)
    return source.findings


def _send_at(doc: Document) -> datetime | None:
    try:
        return front_matter.moment(doc.fields.get("send", "")) if doc.asks else None
    except BadInput:
        return None


def _sent(doc: Document, ctx: Context) -> str:
    """Return the digest under which this edition was sent, or ""."""
    if _translates(doc, ctx):
        return ""
    key = _key(doc, ctx)
    number = doc.fields.get("edition", "1").strip()
    return ctx.ledger.sent.get((key, int(number)), "") if ctx.ledger and _EDITION.fullmatch(number) else ""


def _read_language(path: Path, ctx: Context) -> str:
    """Return the language that makes an issue's address its own; '' for pages, and where slugs do not group translations."""
    text = ctx.siblings[path].text
    return code(text.lang) if text and "slug" in ctx.ids else ""


def _is_language(text: str) -> bool:
    return i18n.name(code(text)) != code(text)


def _translates(doc: Document, ctx: Context) -> bool:
    family = ctx.families.get(str(doc.path), [])
    return bool(family) and family[0].name != str(doc.path)


def _key(doc: Document, ctx: Context) -> str:
    own = ctx.siblings.get(doc.path)
    return doc.fields.get("id", "").strip() or (own.slug if own else "")


def _read_date(doc: Document, ctx: Context) -> datetime | None:
    return front_matter.date(front_matter.Source(doc.shown), doc.fields.get("date") or doc.implied.get("date", ""), ctx.zone)


def _readable(rule: str) -> bool:
    try:
        parse(rule)
    except BadInput:
        return False
    return True


def _list_dates(text: str, lang: str) -> Iterator[tuple[str, int, int, int]]:
    """Yield each date as written, with its year, month, and day; 0 for the day where only a month is named."""
    for match in _DAY.finditer(text):
        yield match[0], int(match[1] or match[6]), int(match[2] or match[5]), int(match[3] or match[4])
    for language in dict.fromkeys((lang, "en")):
        months = {
            name.lower(): number
            for width in ("wide", "abbreviated")
            for number, name in locale(language).months["format"][width].items()
        }
        names = "|".join(sorted(map(re.escape, months), key=len, reverse=True))
        for match in re.finditer(rf"(?:\b(\d{{1,2}})\.? )?\b({names})\b\.?(?: (\d{{1,2}}),)? (20\d\d)\b", text, re.IGNORECASE):
            yield match[0], int(match[4]), months[match[2].lower()], int(match[1] or match[3] or 0)


def _same(one: str, other: str) -> bool:
    return re.sub(r"\W+", "", one.lower()) == re.sub(r"\W+", "", other.lower()) != ""


def _read_title(name: str) -> str:
    return "-".join(part.capitalize() for part in name.split("-"))
