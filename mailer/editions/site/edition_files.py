"""Editions as JSON files outside the public site: the interface between building and publishing."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from mailer.core.edition import Edition, Finding, SendIntent, SequenceRules, SequenceStep, Trigger, Variant
from mailer.core.errors import BadInput

REPORT = "report.json"


def oldest_first(editions: Iterable[Edition]) -> list[Edition]:
    """Sort editions in the order in which they are published, those of steps last."""
    return sorted(editions, key=lambda edition: (edition.step is not None, edition.dated, edition.key))


def read(folder: Path) -> tuple[list[Edition], list[Finding]]:
    """Read what the last build wrote. Raises BadInput if there is none, or if a digest does not match its body."""
    try:
        report = orjson.loads((folder / REPORT).read_bytes())
        editions = [_edition(orjson.loads((folder / name).read_bytes())) for name in report["editions"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"There are no readable editions in {folder}: run `postmerge build` first.") from error
    for edition in editions:
        if not _whole(edition):
            raise BadInput(
                f"The edition of {edition.key} in {folder} was changed after the build: run `postmerge build` again."
            )
    return editions, [Finding(**finding) for finding in report["findings"]]


def _whole(edition: Edition) -> bool:
    """Does every text of the edition match its digest?"""
    texts = [(edition.body, edition.digest), *((one.body, one.digest) for one in edition.variants)]
    return all(hashlib.sha256(body.encode()).hexdigest() == digest for body, digest in texts)


def name_file(key: str) -> str:
    """Return the name of the file for the edition of a key."""
    return hashlib.sha256(key.encode()).hexdigest()[:32] + ".json"


def list_facts(edition: Edition) -> dict[str, Any]:
    """List what is written of an edition."""
    facts = {name: value for name, value in vars(edition).items() if name != "step"}  # an issue's file stays as it was
    return {
        **facts,
        **({"step": {**vars(edition.step), "sequence": vars(edition.step.sequence)}} if edition.step else {}),
        "dated": edition.dated.isoformat(),
        "send_at": edition.send_at.isoformat() if edition.send_at else None,
        "variants": [vars(one) for one in edition.variants],
    }


def _edition(facts: dict[str, Any]) -> Edition:
    at = facts["send_at"]
    return Edition(
        **{
            **facts,
            "dated": datetime.fromisoformat(facts["dated"]),
            "send": SendIntent(facts["send"]),
            "variants": tuple(Variant(**one) for one in facts.get("variants", ())),
            "send_at": datetime.fromisoformat(at) if at else None,
            "step": _step(facts["step"]) if facts.get("step") else None,
        }
    )


def _step(facts: dict[str, Any]) -> SequenceStep:
    rules = facts["sequence"]
    return SequenceStep(**{**facts, "sequence": SequenceRules(**{**rules, "trigger": Trigger(rules["trigger"])})})


def to_bytes(edition: Edition) -> bytes:
    """Serialize an edition: the same bytes for the same edition."""
    return orjson.dumps(list_facts(edition), option=orjson.OPT_SORT_KEYS)


def from_bytes(raw: bytes) -> Edition:
    """Parse a serialized edition. Raises BadInput if it is invalid or its digest is not its body's."""
    try:
        edition = _edition(orjson.loads(raw))
        good = _whole(edition)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadInput("The edition cannot be read: use the same version of postmerge on both sides.") from error
    if not good:
        raise BadInput(f"The edition of {edition.key} was changed after the build: run `postmerge build` again.")
    return edition
