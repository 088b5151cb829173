"""Random histories of a repository of issues, and what a writer expects of each merge; for tests of publishing.

The files carry what no program knows: which issue each of them really is (``uid``), and which version of its text. So the
oracle does not guess: an issue is sent once for each edition, with the version of the last merge before the send began.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

from mailer.core.edition import Edition, Finding, SendIntent
from mailer.editions.source import slugs
from tests.factories import NOW, edition

WORDS = [f"{one}{two}{three}" for one in "bcdfglmnprst" for two in "aeiou" for three in ("ck", "ll", "nt", "rd", "sp", "st")]
SENTENCES = 10
TITLES = ["This week", "Agenda", "Links"]


@dataclass(frozen=True)
class File:
    """An issue's file."""

    uid: int
    path: str
    title: str
    day: int
    text: tuple[str, ...]
    send: SendIntent = SendIntent.YES
    number: int = 1
    id: str = ""
    slug: str = ""

    @property
    def version(self) -> int:
        """What tells one email about this issue from another."""
        return zlib.crc32(repr((self.title, self.text)).encode())

    def common(self, other: File) -> float:
        """The share of sentences that two files have in common."""
        return len({*self.text} & {*other.text}) / SENTENCES


Repository = dict[str, File]


def build(files: Repository) -> tuple[list[Edition], list[Finding]]:
    """The editions and the errors that a build of these files has."""
    sources = {
        path: slugs.File(Path(path), "en", file.slug, (NOW + timedelta(days=file.day)).isoformat())
        for path, file in files.items()
    }
    placed = slugs.Slugs().place_all(sources.values())
    editions: dict[str, Edition] = {}
    findings = []
    for path, file in sorted(files.items(), key=lambda one: (one[1].day, one[0])):
        key = file.id or placed[Path(path)]
        if key in editions:
            other = editions[key].path
            for one, two in ((path, other), (other, path)):
                said = f"The issue key {key!r} is also that of {two}: give one of them another `Id:`."
                asks = files[one].number if files[one].send is not SendIntent.NO else 0
                findings.append(Finding("error", one, 1, said, "", asks))
        else:
            editions[key] = _edition(key, placed[Path(path)], file)
    return list(editions.values()), findings


def _edition(key: str, slug: str, file: File) -> Edition:
    return edition(
        key, body="".join(f"<p>{sentence}</p>" for sentence in file.text), path=file.path, title=file.title,
        subject=file.title, preheader=f"{file.uid} {file.version}", dated=NOW + timedelta(days=file.day), send=file.send,
        number=file.number, named=bool(file.id), url=f"http://127.0.0.1:9/issues/{slug}/",
    )  # fmt: skip


@dataclass
class Expected:
    """What should have become of each issue's editions: ``waiting``, ``begun``, ``cancelled``; and with which version."""

    sends: dict[tuple[int, int], tuple[str, int]] = field(default_factory=dict)
    forbidden: set[tuple[int, int]] = field(default_factory=set)  # cancelled by the operator

    def merge(self, files: Collection[File]) -> None:
        """A merge that was published."""
        asking = {(file.uid, file.number): file for file in files if file.send is not SendIntent.NO}
        for key, (state, version) in list(self.sends.items()):
            if state == "waiting" and key not in asking:
                self.sends[key] = "cancelled", version
        for key, file in asking.items():
            state, _ = self.sends.get(key, ("", 0))
            if state != "begun" and key not in self.forbidden and not self._outdated(key):
                self.sends[key] = "waiting", file.version

    def start(self) -> None:
        """The hold window of all that waits is over."""
        self.sends = {key: ("begun" if state == "waiting" else state, at) for key, (state, at) in self.sends.items()}

    def cancel(self, key: tuple[int, int]) -> None:
        """The operator cancels what waits."""
        self.sends[key] = "cancelled", self.sends[key][1]
        self.forbidden.add(key)

    def _outdated(self, key: tuple[int, int]) -> bool:
        uid, number = key
        return any(one == uid and other > number and at[0] == "begun" for (one, other), at in self.sends.items())


class History:
    """One repository that changes at random. ``last``: each issue as it was when it was last on the published branch."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.files: Repository = {}
        self.past: list[Repository] = []
        self.last: dict[int, File] = {}
        self.expected = Expected()
        self.story: list[str] = []
        self._uids = 0

    def next_merge(self) -> Repository:
        """The files after one to three changes; never what docs/writing.md calls another issue than it is."""
        while True:
            files, story = dict(self.files), []
            for _ in range(self.random.choice((1, 1, 1, 2, 2, 3))):
                change = self.random.choice(CHANGES)
                before = dict(files)
                change(self, files)
                if files != before:
                    story.append(change.__name__)
            if story and all(self.recognisable(file, files) for file in files.values()):
                self.story.append(" + ".join(story))
                return files

    def published(self, files: Repository) -> None:
        """These files are on the branch, and publishing took them."""
        self.files = files
        self.past.append(files)
        self.last |= {file.uid: file for file in files.values() if not self._is_uncertain(file)}
        self.expected.merge(files.values())

    def recognisable(self, file: File, files: Repository) -> bool:
        """Does the book say that this file is the issue that it is?"""
        before, uids = self.last.get(file.uid), {one.uid for one in files.values()}
        back = file.uid not in {one.uid for one in self.files.values()}
        others = [other for other in self.last.values() if other.uid not in uids | {file.uid}]
        elsewhere = before is None or back or before.path != file.path
        if elsewhere and any((file.title, file.day) == (other.title, other.day) for other in others):
            return False  # by date and title it is the rename of one that is gone
        if (
            before
            and elsewhere
            and any(self._look_alike(one, other) for one in (file, before) for other in [*self.last.values(), *files.values()])
        ):
            return False  # nobody can tell a copy that moves from what it is a copy of
        if back and file.id and before:
            return False  # its file may be another issue's by now, which nobody can tell from one that lost its `Id:`
        if before is None:  # a new file that is in all respects one that is gone
            return not any(file.common(other) > 0.85 or self._same(file, other) for other in others) and not any(
                other.path == file.path and self._same(file, other) for other in self.last.values()
            )
        same = self._same(before, file)
        return same and file.common(before) > 0.5 if back else same or before.path == file.path

    def _is_uncertain(self, file: File) -> bool:
        """Is it another one by its looks, which nobody asked about yet? Then the ledger keeps what it was."""
        before = self.last.get(file.uid)
        return before is not None and file.send is SendIntent.NO and not self._same(before, file)

    def _look_alike(self, one: File, other: File) -> bool:
        return one.uid != other.uid and (one.title, one.day) == (other.title, other.day) and one.common(other) > 0.85

    def _same(self, one: File, other: File) -> bool:
        title, day, common = one.title == other.title, one.day == other.day, one.common(other)
        return common > 0.85 or (title and day) or (day and common > 0.65)

    def fresh_text(self) -> tuple[str, ...]:
        """Sentences that nobody wrote before."""
        return tuple(" ".join(self.random.choices(WORDS, k=9)) for _ in range(SENTENCES))

    def new(self, path: str, **more: object) -> File:
        """A new issue."""
        self._uids += 1
        title = self.random.choice([f"Title {self._uids}", f"Title {self._uids}", *TITLES])
        send = self.random.choice((SendIntent.YES, SendIntent.YES, SendIntent.YES, SendIntent.NO))
        file = File(self._uids, path, title, -self.random.randrange(5), self.fresh_text(), send=send)
        return replace(file, **more)  # type: ignore[arg-type]

    def path(self, files: Repository) -> str:
        """A path that is free: a plain name, a bundle, a folder by year, a name that another folder or an older file has."""
        folder, name = (
            self.random.choice(("", "", "2025/", "2026/")),
            self.random.choice(("01", "02", "hello", "Hello", "news")),
        )
        used = [file.path for file in self.last.values()]
        paths = [
            f"m{self._uids}-{len(self.story)}.md",
            f"{folder}{name}.md",
            f"{folder}{name}/index.md",
            f"{folder}n{self._uids}.md",
            *used,
        ]
        return self.random.choice([path for path in paths if path not in files])

    def some(self, files: Repository) -> File | None:
        """Any file."""
        return self.random.choice(list(files.values())) if files else None


Change = Callable[[History, Repository], None]


def add(history: History, files: Repository) -> None:
    """A new issue."""
    path = history.path(files)
    files[path] = history.new(path)


def add_from_template(history: History, files: Repository) -> None:
    """A new issue with half of the text of one that there is, or was."""
    if history.last:
        other, path = history.random.choice(list(history.last.values())), history.path(files)
        count = history.random.choice((3, 6, 7))
        title = history.random.choice((other.title, f"Title of {path}"))
        file = history.new(path, title=title)
        files[path] = replace(file, text=(*other.text[:count], *file.text[count:]))


def copy(history: History, files: Repository) -> None:
    """A copy as the start of a new issue, with or without the fields of the first."""
    if other := history.some(files):
        path = history.path(files)
        fields: dict[str, object] = {
            name: getattr(other, name) for name in ("title", "day", "send", "id", "slug") if history.random.random() < 0.6
        }
        files[path] = history.new(path, text=other.text, **fields)


def add_at_home_of_another(history: History, files: Repository) -> None:
    """A file is moved, and a new issue has its name."""
    if other := history.some(files):
        path = history.path(files)
        files[path] = replace(other, path=path)
        files[other.path] = history.new(other.path)


def refill(history: History, files: Repository) -> None:
    """A file is used for another issue."""
    if other := history.some(files):
        file = history.new(other.path)
        files[other.path] = replace(file, text=(*other.text[: history.random.choice((0, 3, 6))], *file.text)[:SENTENCES])


def edit(history: History, files: Repository) -> None:
    """One sentence."""
    if file := history.some(files):
        files[file.path] = replace(file, text=(*file.text[:-1], history.fresh_text()[0]))


def rewrite(history: History, files: Repository) -> None:
    """Most of the text, or all of it."""
    if file := history.some(files):
        files[file.path] = replace(
            file, text=(*file.text[: history.random.choice((0, 3, 6))], *history.fresh_text())[:SENTENCES]
        )


def retitle(history: History, files: Repository) -> None:
    """Another title."""
    if file := history.some(files):
        files[file.path] = replace(file, title=f"{file.title} again")


def redate(history: History, files: Repository) -> None:
    """Another date."""
    if file := history.some(files):
        files[file.path] = replace(file, day=-history.random.randrange(5))


def move(history: History, files: Repository) -> None:
    """Another name."""
    if file := history.some(files):
        path = history.path(files)
        del files[file.path]
        files[path] = replace(file, path=path)


def move_folder(history: History, files: Repository) -> None:
    """``git mv`` of a whole folder."""
    target = history.random.choice(("2025", "2026", "archive"))
    moved = {path: file for path, file in files.items() if path.startswith("2026/")}
    paths = {path: f"{target}{path[4:]}" for path in moved}
    if not {*paths.values()} & (files.keys() - moved.keys()):
        for path in moved:
            del files[path]
        files |= {paths[path]: replace(file, path=paths[path]) for path, file in moved.items()}


def swap(history: History, files: Repository) -> None:
    """Two files exchange their names."""
    if len(files) > 1:
        one, two = history.random.sample(list(files.values()), 2)
        files[one.path], files[two.path] = replace(two, path=one.path), replace(one, path=two.path)


def remove(history: History, files: Repository) -> None:
    """Remove one."""
    if file := history.some(files):
        del files[file.path]


def restore(history: History, files: Repository) -> None:
    """Bring back one that is gone."""
    gone = [file for uid, file in history.last.items() if uid not in {one.uid for one in files.values()}]
    if gone and (file := history.random.choice(gone)).path not in files:
        files[file.path] = file


def revert(history: History, files: Repository) -> None:
    """Everything as it was before: a revert, a force push."""
    if history.past:
        files.clear()
        files |= history.random.choice(history.past[-4:])


def ask(history: History, files: Repository) -> None:
    """`Send:` comes or goes."""
    if file := history.some(files):
        files[file.path] = replace(file, send=SendIntent.NO if file.send is SendIntent.YES else SendIntent.YES)


def number(history: History, files: Repository) -> None:
    """`Edition:` goes up or down."""
    if file := history.some(files):
        files[file.path] = replace(file, number=history.random.choice((1, 2, 3)))


def name(history: History, files: Repository) -> None:
    """`Id:` or `Slug:` come, change, or go."""
    if file := history.some(files):
        field = history.random.choice(("id", "slug"))
        files[file.path] = replace(file, **{field: history.random.choice(("", f"{field}-{file.uid}"))})  # type: ignore[arg-type]


CHANGES: list[Change] = [
    add, add, add_from_template, copy, add_at_home_of_another, refill, edit, rewrite, retitle, redate, move, move, move_folder,
    swap, remove, restore, restore, revert, ask, number, name,
]  # fmt: skip
