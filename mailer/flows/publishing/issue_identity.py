"""Which issue is this? The ledger's key moves only with its issue, never to another file.

Who is who is settled for all files at once, in this order: the `Id:`; the path that the ledger knows; the likeness of the
texts. Where a known path has another text and its old text is elsewhere, the file was renamed. Where neither says enough, the
match is doubtful, and publishing refuses to decide.
"""

from __future__ import annotations

import re
import zlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from pathlib import PurePath

from mailer.core.edition import Edition, SendIntent
from mailer.store.publishing.issues import KnownIssue

_KEPT = 128
_EDITED = 0.8  # of the text: the same issue with corrections, whatever its title and date
_ALIKE = 0.5  # of the text: the same issue, edited, or another one made from the same template
_REWRITTEN = 0.2  # of the text: hardly anything is left of it
_SAME_HEAD = 0.5  # what the same title, the same date, and the same path add to a likeness
_SAME_KEY = 0.25  # what a key that the issue had adds
_COPIED, _COPIED_WITH_TITLE = 0.9, 0.8  # of the text: nobody should get it a second time


def sketch(body: str) -> list[int]:
    """The smallest hashes of the body's three-word runs (a bottom-k sketch): a cheap stand-in for its whole text."""
    words = re.findall(r"\w+", re.sub(r"<[^<>]+>", " ", body).lower())
    runs = {" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2))} if words else set()
    return sorted({zlib.crc32(run.encode()) for run in runs})[:_KEPT]


def estimate_similarity(one: Collection[int], other: Collection[int]) -> float:
    """Share of common three-word runs, from 0 to 1, estimated from two sketches."""
    if not one or not other:
        return 0.0
    merged = sorted(set(one) | set(other))[:_KEPT]
    common = set(one) & set(other)
    return sum(1 for value in merged if value in common) / len(merged)


@dataclass(frozen=True)
class Issue:
    """An issue that the ledger knows: ``latest`` is the row of its present key, ``keys`` are all that it ever had.

    ``present``: was it among the editions when something was last published?
    """

    latest: KnownIssue
    keys: frozenset[str]
    present: bool

    @property
    def root(self) -> str:
        """The key under which its sends are filed."""
        return self.latest.root


@dataclass(frozen=True)
class Match:
    """What an edition is: a known ``issue`` or, without one, a new one, to be written down under ``key``.

    ``ambiguous``: it may be another issue, for title, date and text differ. ``rival``: another file has its ``Id:``'s issue.
    ``copied``: the path of the known issue that has nearly the same text.
    """

    key: str
    sketch: list[int] = field(default_factory=list)
    issue: Issue | None = None
    ambiguous: bool = False
    rival: str = ""
    copied: str = ""

    @property
    def root(self) -> str:
        """The key under which its sends are filed, or will be."""
        return self.issue.root if self.issue else self.key


def list_known_issues(rows: Sequence[KnownIssue]) -> list[Issue]:
    """The issues behind the ledger's rows, of which a renamed issue has several."""
    newest = max((row.last_seen_at for row in rows), default=None)
    by_root: dict[str, list[KnownIssue]] = defaultdict(list)
    for row in rows:
        by_root[row.root].append(row)
    return [_merge_rows(family, newest) for family in by_root.values()]


def _merge_rows(family: Sequence[KnownIssue], newest: datetime | None) -> Issue:
    """One issue from the rows of all its keys; what was adopted under one of them is adopted under the others."""
    latest = max(family, key=lambda row: row.last_seen_at)
    adopted = max((row.adopted_edition for row in family if row.adopted_edition is not None), default=None)
    keys = frozenset(row.key for row in family)
    return Issue(replace(latest, adopted_edition=adopted), keys, present=latest.last_seen_at == newest)


def identify_issues(editions: Sequence[Edition], rows: Sequence[KnownIssue], decided: Collection[str] = ()) -> dict[str, Match]:
    """What each edition is, by its path.

    ``decided`` are the roots of issues of which something was sent, or which the operator keeps from being sent: a file
    elsewhere that may be another issue is a new one, and nothing is sent twice or lost by that.
    """
    return _IssueMatcher(editions, list_known_issues(rows), decided).matches()


class _Text:
    """An edition with what tells its text from others."""

    def __init__(self, edition: Edition, sketches: Mapping[str, list[int]]) -> None:
        self.edition = edition
        self._sketches = sketches

    @cached_property
    def sketch(self) -> list[int]:
        return self._sketches.get(self.edition.digest) or sketch(self.edition.body)

    def same_title(self, issue: Issue) -> bool:
        return self.edition.title == issue.latest.title

    def same_date(self, issue: Issue) -> bool:
        return self.edition.dated == issue.latest.dated

    def alike(self, issue: Issue) -> float:
        """How much of the text is the same, from 0 to 1."""
        return 1.0 if self.edition.digest == issue.latest.digest else estimate_similarity(self.sketch, issue.latest.sketch)

    def score(self, issue: Issue) -> float:
        """How much speaks for this being that issue, from 0 to 2.75."""
        head = self.same_title(issue) + self.same_date(issue) + (self.edition.path == issue.latest.path)
        return self.alike(issue) + _SAME_HEAD * head + _SAME_KEY * (self.edition.key in issue.keys)

    def stays(self, issue: Issue) -> bool:
        """Is a file at the issue's own path still that issue for certain?"""
        return self._dated(issue) or self.alike(issue) >= _EDITED

    def moved(self, issue: Issue) -> bool:
        """Is a file elsewhere that issue for certain?"""
        title, alike = self.same_title(issue), self.alike(issue)
        if self._dated(issue) or (title and alike >= _EDITED):
            return True
        return issue.present and (
            alike == 1.0 or (self.same_date(issue) and _differ_by_language(self.edition.path, issue.latest.path))
        )

    def _dated(self, issue: Issue) -> bool:
        """Do the date and enough of the rest speak for that issue? More is needed if it was gone before."""
        title, present = self.same_title(issue), issue.present
        least = (0.0 if present else _REWRITTEN) if title else (_ALIKE if present else _EDITED)
        return self.same_date(issue) and self.alike(issue) >= least

    def may_be(self, issue: Issue) -> bool:
        """Is it doubtful whether a file is that issue, or a new one that has much in common with it?"""
        title, date = self.same_title(issue), self.same_date(issue)
        named = self.edition.key in issue.keys
        return self.alike(issue) >= _ALIKE or (title and (date or named)) or (date and named and issue.present)


class _IssueMatcher:
    def __init__(self, editions: Sequence[Edition], issues: Sequence[Issue], decided: Collection[str]) -> None:
        self._decided = {*decided, *(issue.root for issue in issues if issue.latest.adopted_edition)}
        sketches = {issue.latest.digest: issue.latest.sketch for issue in issues}
        self._issues = issues
        self._open = {edition.path: _Text(edition, sketches) for edition in editions}
        self._texts = dict(self._open)
        self._by_key = {key: issue for issue in issues for key in issue.keys}
        self._by_path: dict[str, list[Issue]] = defaultdict(list)
        self._by_digest: dict[str, list[Issue]] = defaultdict(list)
        for issue in issues:
            self._by_digest[issue.latest.digest].append(issue)
            self._by_path[issue.latest.path].append(issue)
        self._taken: dict[str, str] = {}  # the path that an issue's root has now
        self._found: dict[str, tuple[Issue, bool]] = {}
        self._rivals: dict[str, str] = {}

    def matches(self) -> dict[str, Match]:
        """Each edition's match, by its path."""
        self._by_id()
        self._unchanged()
        self._match_certain()
        self._match_ambiguous()
        return dict(self._named())

    def _take(self, path: str, issue: Issue, ambiguous: bool = False) -> None:
        self._taken[issue.root] = path
        self._found[path] = (issue, ambiguous)
        del self._open[path]

    def _by_id(self) -> None:
        for path, text in list(self._open.items()):
            issue = self._by_key.get(text.edition.key) if text.edition.named else None
            at_home = self._open.get(issue.latest.path) if issue else None
            if issue is None or path not in self._open:
                continue
            if issue.root in self._taken:
                self._rivals[path] = self._taken[issue.root]
            elif at_home and at_home is not text and self._keeps_id(at_home, text, issue):
                self._rivals[path] = issue.latest.path
                self._take(issue.latest.path, issue)
            else:
                self._take(path, issue)

    def _keeps_id(self, at_home: _Text, other: _Text, issue: Issue) -> bool:
        """Is the file at the issue's own path that issue, and the other file, which has its `Id:`, a copy?"""
        named = self._by_key.get(at_home.edition.key, issue) if at_home.edition.named else issue
        return named is issue and at_home.stays(issue) and at_home.score(issue) >= other.score(issue)

    def _unchanged(self) -> None:
        """Files at their issue's path with its text, or its title and date and half of its text."""
        self._take_best((text, issue) for text, issue in self._at_home() if self._keeps(text, issue))

    def _match_certain(self) -> None:
        """Files that stay that issue at its path, unless the text that was there is elsewhere now, and those that moved."""
        issues = [issue for issue in self._issues if issue.root not in self._taken]
        at_home = [(text, issue) for text, issue in self._at_home() if text.stays(issue)]
        stayed = [(text, issue) for text, issue in at_home if not self._is_another(text, issue)]
        self._take_best([*stayed, *self._moved(issues)])

    def _at_home(self) -> list[tuple[_Text, Issue]]:
        """The open files at a path that the ledger knows, with each issue that was there last and that no other file has."""
        homes = [(text, issue) for path, text in self._open.items() for issue in self._by_path.get(path, ())]
        return [(text, issue) for text, issue in homes if issue.root not in self._taken]

    def _keeps(self, text: _Text, issue: Issue) -> bool:
        same, headed = text.edition.digest == issue.latest.digest, text.same_title(issue) and text.same_date(issue)
        likely = same or (headed and text.alike(issue) >= _ALIKE)
        return likely and ((same and headed) or not self._is_another(text, issue))

    def _is_another(self, text: _Text, issue: Issue) -> bool:
        """Has the file the very title, date and text of an issue that is nowhere else?"""
        same = (one for one in self._by_digest[text.edition.digest] if one.root not in self._taken)
        return any(one is not issue and text.same_title(one) and text.same_date(one) for one in same)

    def _is_new(self, text: _Text) -> bool:
        """Does the file say itself that it is another issue, by an `Id:` that the ledger does not know?"""
        return text.edition.named and text.edition.key not in self._by_key

    def _match_ambiguous(self) -> None:
        """Files that may be an issue that no file is: another text at its path, or half of its text elsewhere."""
        issues = [issue for issue in self._issues if issue.root in self._decided and issue.root not in self._taken]
        pairs = [(text, issue) for text, issue in self._elsewhere(issues) if text.may_be(issue)]
        pairs += [(text, issue) for text, issue in self._at_home() if issue.present or text.may_be(issue)]
        self._take_best(((text, issue) for text, issue in pairs if not self._is_new(text)), ambiguous=True)

    def _moved(self, issues: Sequence[Issue]) -> Iterator[tuple[_Text, Issue]]:
        for text, issue in self._elsewhere(issues):
            another = self._is_new(text) and not text.same_title(issue) and text.alike(issue) < _EDITED
            if text.moved(issue) and not another:
                yield text, issue

    def _elsewhere(self, issues: Sequence[Issue]) -> Iterator[tuple[_Text, Issue]]:
        """Issues with open files at another path that have anything in common with them, and no other issue's `Id:`."""
        for issue, text in self._candidates(issues):
            if text.edition.path != issue.latest.path and not (text.edition.named and text.edition.key in self._by_key):
                yield text, issue

    def _take_best(self, pairs: Iterable[tuple[_Text, Issue]], ambiguous: bool = False) -> None:
        """Match files and issues, the most alike first; no file and no issue twice."""
        ranked = [(-text.score(issue), not issue.present, issue.root, text.edition.path) for text, issue in pairs]
        for *_, root, path in sorted(ranked):
            if root not in self._taken and path in self._open:
                self._take(path, self._by_key[root], ambiguous)

    def _candidates(self, issues: Sequence[Issue]) -> Iterator[tuple[Issue, _Text]]:
        """Pairs that share anything: a digest, a title, a date, a key, or a few words of the text."""
        if not issues or not self._open:
            return
        marks: dict[object, list[_Text]] = defaultdict(list)
        for text in self._open.values():
            for mark in _list_features(
                text.edition.digest, text.edition.title, text.edition.dated, [text.edition.key], text.sketch
            ):
                marks[mark].append(text)
        for issue in issues:
            row = issue.latest
            shared = [
                text
                for mark in _list_features(row.digest, row.title, row.dated, issue.keys, row.sketch)
                for text in marks[mark]
            ]
            yield from ((issue, text) for text in {id(text): text for text in shared}.values())

    def _named(self) -> Iterator[tuple[str, Match]]:
        """The key under which each edition is written down: its own, unless that is another issue's."""
        owners = {key: issue.root for issue in self._issues for key in issue.keys}
        for path, (issue, ambiguous) in self._found.items():
            text = self._texts[path]
            own = owners.setdefault(text.edition.key, issue.root) == issue.root
            key = text.edition.key if own else issue.latest.key
            may_be_sent = issue.root not in self._decided and text.edition.send is not SendIntent.NO
            copied = self._copied(text, issue.root) if may_be_sent else ""
            yield path, Match(key, text.sketch, issue, ambiguous, self._rivals.get(path, ""), copied)
        for path, text in self._texts.items():
            if path not in self._found:
                key, number = text.edition.key, 2
                while key in owners:
                    key, number = f"{text.edition.key}-{number}", number + 1
                owners[key] = key
                yield path, Match(key, text.sketch, rival=self._rivals.get(path, ""), copied=self._copied(text))

    def _copied(self, text: _Text, root: str = "") -> str:
        """The path of another issue, known or new, that has nearly the same text; ``root`` is the text's own issue."""
        known = (
            self._taken.get(issue.root, issue.latest.path)
            for issue in self._issues
            if issue.root != root and text.alike(issue) >= (_COPIED_WITH_TITLE if text.same_title(issue) else _COPIED)
        )
        before = (other for path, other in self._open.items() if path < text.edition.path)
        new = (other.edition.path for other in before if estimate_similarity(text.sketch, other.sketch) >= _COPIED)
        return next(known, "") or next(new, "")


def _differ_by_language(one: str, other: str) -> bool:
    """Do two paths differ only by a language before the ending, as those of translations do?"""
    first, second = PurePath(one), PurePath(other)
    return first.parent == second.parent and first.name.split(".")[0] == second.name.split(".")[0]


def _list_features(digest: str, title: str, dated: datetime, keys: Iterable[str], hashes: Iterable[int]) -> set[object]:
    return {digest, ("title", title), dated, *(("key", key) for key in keys), *hashes}
