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
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

from mailer.core.edition import Edition
from mailer.store.publishing.issues import Known

_KEPT = 128
_ALIKE = 0.5  # of the text: the same issue, edited
_REWRITTEN = 0.2  # of the text: hardly anything is left of it
_SAME_HEAD = 0.5  # what the same title, and the same date, add to a likeness
_COPIED, _COPIED_WITH_TITLE = 0.9, 0.8  # of the text: nobody should get it a second time


def sketch(body: str) -> list[int]:
    """The smallest hashes of the body's three-word runs (a bottom-k sketch): a cheap stand-in for its whole text."""
    words = re.findall(r"\w+", re.sub(r"<[^<>]+>", " ", body).lower())
    runs = {" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2))} if words else set()
    return sorted({zlib.crc32(run.encode()) for run in runs})[:_KEPT]


def similarity(one: Collection[int], other: Collection[int]) -> float:
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

    latest: Known
    keys: frozenset[str]
    present: bool

    @property
    def root(self) -> str:
        """The key under which its sends are filed."""
        return self.latest.root


@dataclass(frozen=True)
class Match:
    """What an edition is: a known ``issue`` or, without one, a new one, to be written down under ``key``.

    ``doubt``: it may be another issue, for title, date and text differ. ``rival``: another file has its ``Id:``'s issue.
    ``copied``: the path of the known issue that has nearly the same text.
    """

    key: str
    sketch: list[int] = field(default_factory=list)
    issue: Issue | None = None
    doubt: bool = False
    rival: str = ""
    copied: str = ""

    @property
    def root(self) -> str:
        """The key under which its sends are filed, or will be."""
        return self.issue.root if self.issue else self.key


def known_issues(rows: Sequence[Known]) -> list[Issue]:
    """The issues behind the ledger's rows, of which a renamed issue has several."""
    newest = max((row.last_seen_at for row in rows), default=None)
    by_root: dict[str, list[Known]] = defaultdict(list)
    for row in rows:
        by_root[row.root].append(row)
    return [
        Issue(latest, frozenset(row.key for row in family), present=latest.last_seen_at == newest)
        for family in by_root.values()
        for latest in [max(family, key=lambda row: row.last_seen_at)]
    ]


def identify(editions: Sequence[Edition], rows: Sequence[Known]) -> dict[str, Match]:
    """What each edition is, by its path."""
    return _Identifying(editions, known_issues(rows)).matches()


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
        return 1.0 if self.edition.digest == issue.latest.digest else similarity(self.sketch, issue.latest.sketch)

    def score(self, issue: Issue) -> float:
        """How much speaks for this being that issue, from 0 to 2."""
        head = self.same_title(issue) + self.same_date(issue)
        return self.alike(issue) + _SAME_HEAD * head

    def stays(self, issue: Issue) -> bool:
        """Is a file at the issue's own path still that issue beyond doubt?"""
        one, both = self.same_title(issue) or self.same_date(issue), self.same_title(issue) and self.same_date(issue)
        alike = self.alike(issue)
        return alike >= _ALIKE or both or (one and alike >= _REWRITTEN)

    def moved(self, issue: Issue) -> bool:
        """Is a file elsewhere that issue beyond doubt?"""
        one, both = self.same_title(issue) or self.same_date(issue), self.same_title(issue) and self.same_date(issue)
        alike, named = self.alike(issue), self.edition.key in issue.keys
        return alike == 1.0 or both or (one and (alike >= _ALIKE or named))


class _Identifying:
    def __init__(self, editions: Sequence[Edition], issues: Sequence[Issue]) -> None:
        sketches = {issue.latest.digest: issue.latest.sketch for issue in issues}
        self._issues = issues
        self._open = {edition.path: _Text(edition, sketches) for edition in editions}
        self._texts = dict(self._open)
        self._by_key = {key: issue for issue in issues for key in issue.keys}
        self._by_path: dict[str, Issue] = {}
        for issue in sorted(issues, key=lambda one: one.latest.last_seen_at):
            self._by_path[issue.latest.path] = issue
        self._taken: dict[str, str] = {}  # the path that an issue's root has now
        self._found: dict[str, tuple[Issue, bool]] = {}
        self._rivals: dict[str, str] = {}

    def matches(self) -> dict[str, Match]:
        """Each edition's match, by its path."""
        self._by_id()
        self._by_known_path()
        self._by_likeness()
        return dict(self._named())

    def _take(self, path: str, issue: Issue, doubt: bool = False) -> None:
        self._taken[issue.root] = path
        self._found[path] = (issue, doubt)
        del self._open[path]

    def _by_id(self) -> None:
        for path, text in list(self._open.items()):
            issue = self._by_key.get(text.edition.key) if text.edition.named else None
            if issue is None or issue.root in self._taken:
                continue
            at_home = self._open.get(issue.latest.path)
            if at_home and at_home is not text and not at_home.edition.named and at_home.stays(issue):
                self._rivals[path] = issue.latest.path
                self._take(issue.latest.path, issue)
                del self._open[path]
            else:
                self._take(path, issue)

    def _by_known_path(self) -> None:
        """Files at a path that the ledger knows, unless the text that was there is elsewhere now."""
        homes = [(path, self._by_path[path]) for path in self._open if path in self._by_path]
        homes = [(path, issue) for path, issue in homes if issue.root not in self._taken]
        kept = {issue.root for path, issue in homes if self._keeps(self._open[path], issue)}
        moved_in = self._best([issue for _, issue in homes], sure=True, kept=kept)
        for path, issue in homes:
            text = self._texts[path]
            other = moved_in.get(issue.root, "")
            if other in self._open and issue.root not in self._taken and self._gone(text, self._texts[other], issue):
                self._take(other, issue)
        for path, issue in homes:
            if path not in self._open or issue.root in self._taken:
                continue
            text = self._open[path]
            if text.stays(issue):
                self._take(path, issue)
            elif issue.present and not self._is_new(text):
                self._take(path, issue, doubt=True)

    def _keeps(self, text: _Text, issue: Issue) -> bool:
        return text.edition.digest == issue.latest.digest or (
            text.same_title(issue) and text.same_date(issue) and text.alike(issue) >= _ALIKE
        )

    def _gone(self, home: _Text, other: _Text, issue: Issue) -> bool:
        """Did the issue move from its path to the other file's?"""
        return other.alike(issue) >= _ALIKE and other.score(issue) >= home.score(issue) + _SAME_HEAD

    def _is_new(self, text: _Text) -> bool:
        """Does the file say itself that it is another issue, by an `Id:` that the ledger does not know?"""
        return text.edition.named and text.edition.key not in self._by_key

    def _by_likeness(self) -> None:
        """Files that are new at their path, and issues whose path is gone."""
        issues = [issue for issue in self._issues if issue.root not in self._taken]
        for sure in (True, False):
            for root, path in self._best(issues, sure).items():
                issue = self._by_key[root]
                if path in self._open and issue.root not in self._taken:
                    self._take(path, issue, doubt=not sure)

    def _best(self, issues: Sequence[Issue], sure: bool, kept: Collection[str] = ()) -> dict[str, str]:
        """For each issue the open file elsewhere that is most like it; no file twice, the best pairs first."""
        pairs = []
        for issue, text in self._candidates([issue for issue in issues if issue.root not in kept]):
            if text.edition.path == issue.latest.path or (text.edition.named and text.edition.key in self._by_key):
                continue
            fits = text.moved(issue) if sure else text.alike(issue) >= _ALIKE and not self._is_new(text)
            if fits:
                bonus = 0.25 * (text.edition.key in issue.keys)
                pairs.append((text.score(issue) + bonus, issue.root, text.edition.path))
        found: dict[str, str] = {}
        for _, root, path in sorted(pairs, key=lambda pair: (-pair[0], pair[1:])):
            if root not in found and path not in found.values():
                found[root] = path
        return found

    def _candidates(self, issues: Sequence[Issue]) -> Iterator[tuple[Issue, _Text]]:
        """Pairs that share anything: a digest, a title, a date, a key, or a few words of the text."""
        if not issues or not self._open:
            return
        marks: dict[object, list[_Text]] = defaultdict(list)
        for text in self._open.values():
            for mark in _marks(text.edition.digest, text.edition.title, text.edition.dated, [text.edition.key], text.sketch):
                marks[mark].append(text)
        for issue in issues:
            row = issue.latest
            shared = [text for mark in _marks(row.digest, row.title, row.dated, issue.keys, row.sketch) for text in marks[mark]]
            yield from ((issue, text) for text in {id(text): text for text in shared}.values())

    def _named(self) -> Iterator[tuple[str, Match]]:
        """The key under which each edition is written down: its own, unless that is another issue's."""
        owners = {key: issue.root for issue in self._issues for key in issue.keys}
        for path, (issue, doubt) in self._found.items():
            text = self._texts[path]
            own = owners.setdefault(text.edition.key, issue.root) == issue.root
            key = text.edition.key if own else issue.latest.key
            yield path, Match(key, text.sketch, issue, doubt, "")
        for path, text in self._texts.items():
            if path not in self._found:
                key, number = text.edition.key, 2
                while key in owners:
                    key, number = f"{text.edition.key}-{number}", number + 1
                owners[key] = key
                yield path, Match(key, text.sketch, rival=self._rivals.get(path, ""), copied=self._copied(text))

    def _copied(self, text: _Text) -> str:
        """The path of another issue, known or new, that has nearly the same text."""
        known = (
            issue.latest.path
            for issue in self._issues
            if text.alike(issue) >= (_COPIED_WITH_TITLE if text.same_title(issue) else _COPIED)
        )
        before = (other for path, other in self._open.items() if path < text.edition.path)
        new = (other.edition.path for other in before if similarity(text.sketch, other.sketch) >= _COPIED)
        return next(known, "") or next(new, "")


def _marks(digest: str, title: str, dated: datetime, keys: Iterable[str], hashes: Iterable[int]) -> set[object]:
    return {digest, ("title", title), dated, *(("key", key) for key in keys), *hashes}
