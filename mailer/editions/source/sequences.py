"""Sequences as files: ``sequences/NAME/sequence.toml`` and its steps ``01-hello.md``, ``02-more.md``; what is wrong in them."""

from __future__ import annotations

import re
import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailer.core.audience import parse
from mailer.core.edition import LATEST_ISSUE, SEQUENCES_FOLDER, Finding, SequenceRules, SequenceStep, Trigger
from mailer.core.errors import BadInput
from mailer.core.i18n import code
from mailer.editions.source.front_matter import Source, slugify
from mailer.editions.source.slugs import File
from mailer.exchange.dates import parse_zone

RULES_FILE = "sequence.toml"
STEP_DATE = "2000-01-01T00:00:00+00:00"  # Pelican wants one; no page, feed or email shows it
MAX_AFTER_DAYS = 366
_NUMBERED = re.compile(r"(\d{1,4})-(.+)")
_AFTER = re.compile(r"(\d{1,5}) ?(m|h|d|w)")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_HOURS = re.compile(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d")
_KEYS = ("trigger", "tag", "audience", "stop", "stop_when_paid", "hours", "zone", "backfill", "latest_issue")
_OF_ISSUES = ("send", "audience", "edition", "tags", "formerly")  # fields that a step does not have


@dataclass(frozen=True)
class StepPlace:
    """Where a step's file is: its sequence's folder, its number and name, and ``after`` in seconds."""

    folder: Path
    number: int
    name: str
    after: int
    lang: str

    @property
    def slug(self) -> str:
        """Return a slug that no issue's file asks for."""
        return f"{SEQUENCES_FOLDER}.{self.folder.name}.{self.name}"

    @property
    def key(self) -> str:
        """Return the key of the step's edition."""
        return f"{SEQUENCES_FOLDER}/{self.folder.name}/{self.name}"

    @property
    def address(self) -> str:
        """Return the address of the step's page, which is in no list."""
        return f"{self.key}/"


@dataclass(frozen=True)
class StepFile:
    """A step's file as far as its sequence is concerned; ``is_used``: it is no draft and no translation, and has no error."""

    name: str
    source: Source
    place: StepPlace
    is_draft: bool
    is_used: bool


def is_step(path: Path, root: Path, fields: Mapping[str, str]) -> bool:
    """Is a file of the content folder ``root`` a step: beside a ``sequence.toml``, or with ``After:`` where one belongs?"""
    below = path.parent.parent == root / SEQUENCES_FOLDER
    return below and ((path.parent / RULES_FILE).is_file() or bool(fields.get("after")))


def read_place(source: Source, path: Path, file: File) -> StepPlace | None:
    """Read the place of a step from its name and ``After:``; problems are errors of the source."""
    for name in _OF_ISSUES:
        if source.fields.get(name, "").strip():
            source.error(name, f"`{name.title()}:` is for issues, and a step has none: remove the line.")
    numbered = _NUMBERED.fullmatch(file.bare)
    name = slugify(source.fields.get("id", "") or (numbered[2] if numbered else ""))
    if not numbered or not name:
        source.error("", f"A step's file begins with its number: rename {path.name} to 01-{slugify(file.bare) or 'hello'}.md.")
        return None
    if name == LATEST_ISSUE:
        source.error("", f"The name {LATEST_ISSUE!r} is for the step that `latest_issue = true` makes: rename the file.")
        return None
    try:
        after = parse_after(source.fields.get("after", ""))
    except BadInput as error:
        source.error("after", str(error))
        return None
    return StepPlace(path.parent, int(numbered[1]), name, after, code(file.lang))


def parse_after(text: str) -> int:
    """Parse ``3d``, ``12h``, ``30m``, ``2w`` or ``0`` as seconds. Raises BadInput."""
    text = text.strip().lower()
    found = _AFTER.fullmatch(text)
    seconds = 0 if text in ("0", "now") else int(found[1]) * _SECONDS[found[2]] if found else -1
    if not 0 <= seconds <= MAX_AFTER_DAYS * _SECONDS["d"]:
        given = f"`After: {text[:40]}` is not a time up to {MAX_AFTER_DAYS} days" if text else "`After:` is missing"
        raise BadInput(f"{given}: write how long after the step before it this one is due, as `After: 3d`, `12h` or `0`.")
    return seconds


def join_steps(files: Sequence[StepFile], root: Path, zone: str, lang: str) -> tuple[dict[str, SequenceStep], list[Finding]]:
    """Return the steps of all sequences by file, and what is wrong; a sequence with any error has no steps here.

    ``zone`` and ``lang`` are the site's. Translations are not among the steps.
    """
    by_folder: dict[Path, list[StepFile]] = {
        path.parent: [] for path in sorted((root / SEQUENCES_FOLDER).glob(f"*/{RULES_FILE}"))
    }
    for file in files:
        by_folder.setdefault(file.place.folder, []).append(file)
    joined: dict[str, SequenceStep] = {}
    findings: list[Finding] = []
    for folder, found in by_folder.items():
        name = f"{root.name}/{SEQUENCES_FOLDER}/{folder.name}/{RULES_FILE}"
        rules, wrong = read_rules(folder / RULES_FILE, name, zone)
        wrong += _check_steps(name, found, lang)
        findings += wrong
        if rules and not wrong and not any(one.source.broken for one in found):
            joined |= {
                one.name: SequenceStep(rules, one.place.name, one.place.number, one.place.after) for one in found if one.is_used
            }
    return joined, findings


def read_rules(path: Path, name: str, zone: str) -> tuple[SequenceRules | None, list[Finding]]:
    """Read a ``sequence.toml``; None with what is wrong in it."""
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
        return _parse_rules(path.parent.name, given, zone), []
    except FileNotFoundError:
        message = f'{path.parent.name} has steps but no {RULES_FILE}: add one with `trigger = "confirmed"`.'
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        message = f"The file is not valid TOML ({error}): correct it."
    except BadInput as error:
        message = str(error)
    return None, [Finding("error", name, 1, message)]


def _parse_rules(name: str, given: Mapping[str, Any], zone: str) -> SequenceRules:
    if unknown := [key for key in given if key not in _KEYS]:
        raise BadInput(f"`{unknown[0][:40]}` is not known here: use {', '.join(_KEYS)}; the steps follow their numbers.")
    trigger = _parse_trigger(given)
    tag = _text(given, "tag").lower()
    if (trigger is Trigger.TAGGED) != bool(tag):
        raise BadInput('`tag` belongs to `trigger = "tagged"` and names the tag: write both, or neither.')
    audience, stop, hours = _text(given, "audience") or "everyone", _text(given, "stop"), _text(given, "hours")
    for key, rule in (("audience", audience), ("stop", stop or "everyone")):
        try:
            parse(rule)
        except BadInput as error:
            raise BadInput(f"`{key}`: {error}") from error
    if tag and stop.strip('"').lower() == tag:
        raise BadInput(
            f"`stop` is the tag that enrols, so nobody would get a step: remove it, or stop at another tag than {tag}."
        )
    backfill = _flag(given, "backfill")
    if backfill and trigger in (Trigger.TRIAL_ENDS, Trigger.PAUSE_OVER):
        raise BadInput(f'`backfill` means nothing with `trigger = "{trigger}"`, which has no state to find: remove the line.')
    if hours and (not _HOURS.fullmatch(hours) or hours[:5] == hours[6:]):
        raise BadInput(f'`hours = "{hours[:40]}"` is not valid: write it as `hours = "08:00-20:00"`.')
    try:
        parse_zone(_text(given, "zone") or zone)
    except BadInput as error:
        raise BadInput(f"`zone`: {error}.") from error
    return SequenceRules(
        name, trigger, tag, audience, stop, _flag(given, "stop_when_paid"), hours, _text(given, "zone") or zone,
        backfill, _flag(given, "latest_issue"),
    )  # fmt: skip


def _parse_trigger(given: Mapping[str, Any]) -> Trigger:
    try:
        return Trigger(_text(given, "trigger"))
    except ValueError:
        words = ", ".join(f'"{one}"' for one in Trigger)
        said = f'`trigger = "{_text(given, "trigger")[:40]}"` is not one' if given.get("trigger") else "There is no `trigger`"
        raise BadInput(f"{said}: write what enrols a subscriber, one of {words}.") from None


def _text(given: Mapping[str, Any], key: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise BadInput(f"`{key}` is not a text: write it in quotes.")
    return " ".join(value.split())


def _flag(given: Mapping[str, Any], key: str) -> bool:
    value = given.get(key, False)
    if value in (True, False):
        return bool(value)
    if str(value).lower() in ("yes", "no"):
        return str(value).lower() == "yes"
    raise BadInput(f"`{key}` is neither true nor false: write `{key} = true`, or remove the line.")


def _check_steps(name: str, files: Sequence[StepFile], lang: str) -> list[Finding]:
    if not any(not file.is_draft for file in files):
        return [Finding("error", name, 1, "The sequence has no steps: add 01-hello.md beside this file.")]
    return [*_check_numbers(files), *_check_languages(files, lang)]


def _explain_same_number(number: int, *paths: str) -> Finding:
    """Two files of one number: most often a translation without its field."""
    first, other = sorted(paths, key=lambda path: len(Path(path).stem))
    base, _, lang = Path(other).stem.rpartition(".")
    if base == Path(first).stem:
        message = f"This looks like a translation of {Path(first).name}: add `Lang: {lang}`, or give it a number of its own."
        return Finding("error", other, 1, message)
    return Finding("error", paths[1], 1, f"{Path(paths[0]).name} has the number {number:02} too: give each step its own.")


def _check_numbers(files: Iterable[StepFile]) -> Iterator[Finding]:
    names: dict[int, dict[str, str]] = defaultdict(dict)
    for file in files:
        names[file.place.number].setdefault(file.place.name, file.source.path)
    for place, (number, found) in enumerate(sorted(names.items()), 1):
        first, *others = found.values()
        if others:
            yield _explain_same_number(number, first, others[0])
        if number != place:
            message = f"The step {place:02} is missing before this one: add it, or rename this file to {place:02}-…"
            yield Finding("error", first, 1, f"{message.rstrip('…')}{next(iter(found))}.md.")
            return
    steps: dict[str, int] = {}
    for number, found in sorted(names.items()):
        for step, path in found.items():
            if steps.setdefault(step, number) != number:
                yield Finding("error", path, 1, f"The step {steps[step]:02} is also named {step!r}: give each its own name.")


def _main_language(files: Iterable[StepFile], lang: str) -> str:
    """Return the language of the sequence: the site's if the first step has it, else the first step's."""
    first = min(file.place.number for file in files)
    langs = sorted(file.place.lang for file in files if file.place.number == first)
    return code(lang) if code(lang) in langs else langs[0]


def _check_languages(files: Sequence[StepFile], lang: str) -> Iterator[Finding]:
    main = _main_language(files, lang)
    texts: dict[int, list[StepFile]] = defaultdict(list)
    for file in files:
        texts[file.place.number].append(file)
    for found in texts.values():
        if not any(file.place.lang == main for file in found):
            message = f"This step is only in {found[0].place.lang!r}, and the sequence is in {main!r}"
            yield Finding("error", found[0].source.path, 1, f"{message}: add its text in {main!r}, or correct `Lang:`.")
