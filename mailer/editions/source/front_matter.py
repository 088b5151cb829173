"""Front matter: the fields at the beginning of an issue, and what is wrong with them, at file:line."""

from __future__ import annotations

import datetime as dt
import difflib
import re
import tomllib
import unicodedata
from dataclasses import dataclass, field
from datetime import UTC, datetime, tzinfo
from zoneinfo import ZoneInfo

from mailer.core.audience import parse
from mailer.core.characters import ILLEGAL, OVERRIDES, clean, may_hold_illegal, name_character, parse_sender
from mailer.core.edition import Finding, SendIntent
from mailer.core.errors import BadInput
from mailer.core.message import UNSUBSCRIBE_URL, has_placeholder, mailable
from mailer.editions.source.fields import KNOWN
from mailer.exchange.dates import parse_date, parse_zone

# Fields by which this and other generators mark a text as unpublished; ``editions.drafts`` reads them.
NOT_YET = {
    "draft", "isdraft", "is_draft", "published", "publish", "hidden", "unlisted", "headless", "permalink", "render", "build",
    "_build", "eleventyexcludefromcollections", "publishdate", "publish_date", "pubdate", "expirydate", "unpublishdate",
}  # fmt: skip
_MAX_ODD_LINES = 10  # lines with illegal characters that are reported one by one
NOWHERE = "is not allowed in pages, feeds, and emails"
_LINE = re.compile(r"^ {0,3}([A-Za-z0-9_-]+):(.*)")
_MORE = re.compile(r"^ {4,}(.*)$")
MAX_SOURCE_BYTES = 4_000_000
MAX_HEAD_LINES = 500
_LONG_HEAD = f"The front matter has more than {MAX_HEAD_LINES} lines: end it with an empty line before the text."
_NO_FIELD = "This line of the front matter is not a field: write `Name: value`, or end the front matter above it with `---`."
_YES = {"yes", "true", "now", "1", "on"}
NO = {"no", "false", "never", "0", "off", ""}


@dataclass
class Source:
    """One source file: its fields (names in lower case), the body, the line of each field, and the findings.

    ``parts`` are the lines of each field's value, of all fields of that name: Pelican tells them apart.
    """

    path: str
    fields: dict[str, str] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    body: str = ""
    body_line: int = 1
    findings: list[Finding] = field(default_factory=list)
    odd: tuple[int, str] | None = None  # the unreadable line of the front matter, and a sentence
    parts: dict[str, list[str]] = field(default_factory=dict)

    def error(self, name: str, message: str) -> None:
        """Report an error at the line of a field (or the first)."""
        self.findings.append(Finding("error", self.path, self.lines.get(name, 1), message))

    def warning(self, line: int, message: str) -> None:
        """Report a warning at a line."""
        self.findings.append(Finding("warning", self.path, line, message))

    def line_of(self, what: str) -> int:
        """Return the line of the body with a text, or with the value of ``name=value``; the first if not found."""
        name, _, value = what.partition("=")
        needle = (value or name).strip("<>").lower()
        for number, line in enumerate(self.body.split("\n")):
            if needle and needle in line.lower():
                return self.body_line + number
        return self.body_line

    @property
    def asks(self) -> bool:
        """Does it ask to be sent, even if the time is unreadable?"""
        return self.fields.get("send", "").strip().lower() not in NO

    @property
    def broken(self) -> bool:
        """Is there an error that prevents an edition?"""
        return any(finding.level == "error" for finding in self.findings)


@dataclass(frozen=True)
class Asked:
    """What the front matter asks for: when, to whom, and as which edition to send."""

    number: int
    send: SendIntent
    send_at: datetime | None
    audience: str
    sender: str
    reply_to: str


def split(path: str, data: bytes) -> Source:
    """Split a Markdown file. Never raises: problems become findings."""
    source = Source(path)
    if len(data) > MAX_SOURCE_BYTES:
        size = f"{MAX_SOURCE_BYTES // 1_000_000} MB"
        _odd(source, 1, f"The file is larger than {size}: move images into separate files, or split the text.")
        return source
    text = _decoded(source, data)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if may_hold_illegal(data):
        _clean_lines(source, lines)
    at = _fields(source, lines)
    _clean_fields(source)
    source.body, source.body_line = "\n".join(lines[at:]), at + 1
    _check_names(source)
    refuse_placeholder(source, text)
    return source


def refuse_placeholder(source: Source, text: str) -> None:
    """Note an error where a file, or its name, holds what becomes each subscriber's own unsubscribe link."""
    if not has_placeholder(f"{source.path}\n{text}"):
        return
    line = next((number for number, one in enumerate(text.splitlines(), 1) if has_placeholder(one)), 1)
    what = f"`{UNSUBSCRIBE_URL}` becomes each subscriber's own unsubscribe link"
    message = f"{what}, and only the email template may contain it: remove it."
    source.findings.append(Finding("error", source.path, line, message))


def _decoded(source: Source, data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        text = data.decode("utf-8-sig", "replace")
    wants = re.search(r"^send:\s*(?!no\b)\S", text, re.IGNORECASE | re.MULTILINE)
    said = "The file is not UTF-8 here: save it as UTF-8"
    if wants or "\0" in text:
        source.findings.append(Finding("error", source.path, line, said + "."))
        text = text.lstrip("\ufffd").replace("\0", "")  # of UTF-16, all fields in English can be read
    else:
        source.warning(line, said + "; the byte is shown as \ufffd.")
    return text


def _clean_lines(source: Source, lines: list[str]) -> None:
    """Remove what no page, feed or email can contain, and report it at its line."""
    odd = [(number, found[0]) for number, line in enumerate(lines) if (found := ILLEGAL.search(line))]
    for number, first in odd[:_MAX_ODD_LINES]:
        source.warning(number + 1, f"The character {name_character(first)} {NOWHERE} and was dropped: remove it.")
    for number, _ in odd:
        lines[number] = clean(lines[number])


def _clean_fields(source: Source) -> None:
    """Remove from the fields what would reverse the order of the text around them, in an inbox for example."""
    for name, value in source.fields.items():
        if found := OVERRIDES.search(value):
            source.fields[name] = OVERRIDES.sub("", value)
            message = f"The character {name_character(found[0])} changes the direction of the text and was dropped: remove it."
            source.warning(source.lines.get(name, 1), message)


def _fields(source: Source, lines: list[str]) -> int:
    """Read the fields; return the index of the body's first line. Between two lines of ``---`` they are read as YAML."""
    at = 0
    while at < len(lines) and not lines[at].strip():
        at += 1
    if at < len(lines) and lines[at].strip() == "+++":
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() == "+++"), None)
        if end is not None:
            _toml(source, lines, at + 1, end)
            return end + 1
    if at < len(lines) and lines[at].strip() == "---":
        end = next((n for n in range(at + 1, len(lines)) if lines[n].strip() in ("---", "...")), None)
        if end is not None:
            _yaml(source, lines, at + 1, end)
            return end + 1
        source.odd = at + 1, "The head begins with `---` and has no end: write `---` below it too, or remove this line."
        source.warning(*source.odd)
        at += 1
    name, first = "", at
    while at < len(lines):
        line = lines[at]
        if at - first >= MAX_HEAD_LINES:
            _odd(source, at + 1, _LONG_HEAD)
            return at
        if not line.strip():
            return at + 1
        if match := _LINE.match(line):
            name = match[1].lower()
            source.fields[name] = match[2].strip()
            source.lines[name] = at + 1
            source.parts.setdefault(name, []).append(match[2].strip())
        elif (match := _MORE.match(line)) and name:
            source.parts[name].append(match[1].strip())
            source.fields[name] = f"{source.fields[name]} {match[1].strip()}".strip()
        elif line.strip():
            return at
        at += 1
    return at


def _yaml(source: Source, lines: list[str], first: int, end: int) -> None:
    """Read fields with lists (items are joined by commas), multi-line texts, quotes and comments."""
    name, deep = "", 0
    if end - first > MAX_HEAD_LINES:
        return _odd(source, first, _LONG_HEAD)
    for at in range(first, end):
        line, bare = lines[at], lines[at].strip()
        inner = bool(name) and len(line) - len(line.lstrip()) > deep
        if not bare or bare.startswith("#"):
            continue
        if name and bare.startswith("- "):
            source.fields[name] = ", ".join(filter(None, (source.fields[name], _unquoted(bare[2:].strip()))))
        elif inner:
            source.fields[name] = f"{source.fields[name]} {bare}".strip()
        elif match := _LINE.match(bare):
            name, deep = match[1].lower(), len(line) - len(line.lstrip())
            source.fields[name], source.lines[name] = _listed(match[2].strip()), at + 1
        elif not source.odd:
            _odd(source, at + 1, _NO_FIELD)
    for name, value in source.fields.items():
        source.fields[name] = _unquoted(value)


def _toml(source: Source, lines: list[str], first: int, end: int) -> None:
    """Read fields in TOML, as Hugo and Zola have them; those of a table are read as ``name: value`` of the table's name."""
    if end - first > MAX_HEAD_LINES:
        return _odd(source, first, _LONG_HEAD)
    try:
        read = tomllib.loads("\n".join(lines[first:end]))
    except (ValueError, RecursionError) as error:
        return _odd(source, first, f"The front matter is not valid TOML: {str(error)[:100]}.")
    for name, value in read.items():
        key = name.lower()
        source.fields[key] = _write_plain(value)
        pattern = re.compile(rf"\s*\[?[\"']?{re.escape(name)}\b")
        source.lines[key] = next((n + 1 for n in range(first, end) if pattern.match(lines[n])), first + 1)


def _write_plain(value: object) -> str:
    """Write a value of TOML as our own front matter has it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return ", ".join(map(_write_plain, value))
    if isinstance(value, dict):
        return " ".join(f"{name}: {_write_plain(one)}" for name, one in value.items())
    return " ".join((value.isoformat() if isinstance(value, (dt.date, dt.time)) else str(value)).split())


def _odd(source: Source, line: int, message: str) -> None:
    source.odd = line, message
    source.findings.append(Finding("error", source.path, line, message))


def _listed(value: str) -> str:
    """Read ``[a, b]`` as ``a, b``, and the indicator of a multi-line text as nothing."""
    if value[:1] == "[" and value[-1:] == "]":
        return ", ".join(_unquoted(part.strip()) for part in value[1:-1].split(","))
    return "" if re.fullmatch(r"[>|][+-]?", value) else value


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        return value[1:-1].replace('\\"', '"') if value[0] == '"' else value[1:-1].replace("''", "'")
    return value


def _check_names(source: Source) -> None:
    for name, line in source.lines.items():
        close = [] if name in KNOWN | NOT_YET else difflib.get_close_matches(name, KNOWN, n=1, cutoff=0.72)
        if close:
            source.warning(line, f"Unknown field `{name.title()}:`. Did you mean `{close[0].title()}:`?")


def asked(source: Source) -> Asked:
    """Read what a source asks to be sent; problems are reported as errors of the source."""
    fields = source.fields
    send, send_at = _send(source, fields.get("send", ""))
    audience = fields.get("audience", "").strip() or "everyone"
    try:
        parse(audience)
    except BadInput as error:
        source.error("audience", str(error))
    number = _edition(source, fields.get("edition", ""))
    return Asked(number, send, send_at, audience, _read_sender(source, "from"), _read_sender(source, "reply-to"))


def _read_sender(source: Source, name: str) -> str:
    """Return a field with a name and an address; an issue that is not sent may use it for something else."""
    text = source.fields.get(name, "").strip()
    try:
        if text:
            mailable(parse_sender(text).address)
    except BadInput:
        shown = name.title()
        if source.asks:
            source.error(name, f"`{shown}: {text[:60]}` is not valid: write it as `{shown}: Name <address@your.domain>`.")
        return ""
    return text


def _edition(source: Source, text: str) -> int:
    if not text.strip():
        return 1
    if not re.fullmatch(r"[1-9][0-9]{0,5}", text.strip()):
        source.error("edition", f"`Edition: {text}` is not a positive whole number: write it as `Edition: 2`.")
        return 1
    return int(text)


def _send(source: Source, text: str) -> tuple[SendIntent, datetime | None]:
    word = text.strip().lower()
    if word in NO:
        return SendIntent.NO, None
    if word in _YES:
        return SendIntent.YES, None
    try:
        return SendIntent.AT, moment(text)
    except BadInput as error:
        source.error("send", str(error))
        return SendIntent.NO, None


def moment(text: str) -> datetime:
    """Parse a moment with its zone: ``2026-12-01 09:00 Europe/Berlin``, or with an offset. Raises BadInput."""
    how = "write `Send: yes`, `Send: no`, or a time with its time zone as in `Send: 2026-12-01 09:00 Europe/Berlin`."
    match = re.fullmatch(r"(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d(?::\d\d)?)\s*(\S+)?", text.strip())
    if not match:
        raise BadInput(f"`Send: {text}` is not valid: {how}")
    day, hour, zone = match.groups()
    if not zone:
        raise BadInput(f"`Send: {text}` has no time zone: {how}")
    try:
        if re.fullmatch(r"[+-]\d\d:?\d\d|Z", zone):
            fixed = datetime.fromisoformat(f"{day}T{hour}{'+00:00' if zone == 'Z' else zone}")
            return fixed.astimezone(UTC).astimezone(fixed.tzinfo)
        return _local(datetime.fromisoformat(f"{day}T{hour}"), parse_zone(zone))
    except BadInput as error:
        raise BadInput(f"`Send: {text}` is not valid: {error}.") from error
    except (ValueError, OverflowError) as error:
        raise BadInput(f"`Send: {text}` names a time or a time zone that doesn't exist: {how}") from error


def _local(naive: datetime, zone: tzinfo) -> datetime:
    """Return a wall-clock time in a zone; one that daylight saving time skips does not exist."""
    local = naive.replace(tzinfo=zone)
    if local.astimezone(UTC).astimezone(local.tzinfo).replace(tzinfo=None) != naive:
        raise ValueError("skipped by summer time")
    return local


def date(source: Source, text: str, zone: str, name: str = "date") -> datetime | None:
    """Parse an issue's date, in the site's zone unless it names its own; report an error and return None if that fails."""
    if not text.strip():
        source.error(name, f"`{name.title()}:` is missing: write it as `{name.title()}: 2026-11-24 09:00`.")
        return None
    try:
        read = parse_date(text)
    except BadInput as error:
        source.error(name, f"`{name.title()}: {text[:60]}` is not a valid date: {error}.")
        return None
    return read if read.tzinfo else read.replace(tzinfo=ZoneInfo(zone))


def slugify(text: str) -> str:
    """Turn a file's or a tag's name into a part of a URL: lower case, letters of any script and digits, joined by ``-``."""
    flat = unicodedata.normalize("NFKC", text).lower()
    return re.sub(r"[^\w]+|_+", "-", flat).strip("-")
