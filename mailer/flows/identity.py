"""Which issue is this? A renamed file is the same issue, and what was mailed under its old key stays mailed."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Sequence

from mailer.edition import Edition
from mailer.store.issues import Known

_KEPT = 128
_ALIKE = 0.5


def sketch(body: str) -> list[int]:
    """The smallest hashes of the body's three-word runs (a bottom-k sketch): a cheap stand-in for its whole text."""
    words = re.findall(r"\w+", re.sub(r"<[^>]+>", " ", body).lower())
    runs = {" ".join(words[at : at + 3]) for at in range(max(1, len(words) - 2))} if words else set()
    return sorted({zlib.crc32(run.encode()) for run in runs})[:_KEPT]


def similarity(one: Collection[int], other: Collection[int]) -> float:
    """Share of common three-word runs, from 0 to 1, estimated from two sketches."""
    if not one or not other:
        return 0.0
    merged = sorted(set(one) | set(other))[:_KEPT]
    common = set(one) & set(other)
    return sum(1 for value in merged if value in common) / len(merged)


def renamed(edition: Edition, known: Sequence[Known], present: Collection[str]) -> Known | None:
    """The issue that ``edition`` was before its key changed, or None when it is new.

    Only an issue whose key is gone from the build can have been renamed. It is the same when its body is the same, when
    half of its text is, or when date and title are. The best match wins.
    """
    own = sketch(edition.body)
    best: tuple[float, Known] | None = None
    for issue in known:
        if issue.key in present:
            continue
        score = _score(edition, own, issue)
        if score >= _ALIKE and (best is None or score > best[0]):
            best = (score, issue)
    return best[1] if best else None


def _score(edition: Edition, own: list[int], issue: Known) -> float:
    if issue.digest == edition.digest:
        return 2.0
    if issue.title == edition.title and issue.dated == edition.dated:
        return 1.5
    return similarity(own, issue.sketch)
