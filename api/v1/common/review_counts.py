"""How many subscribers a plan's step has, as far as the key that asks may know."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mailer.core.edition import MIN_TOLD
from mailer.flows.publishing.publish_plan import Step


def count_exactly(step: Step) -> dict[str, Any]:
    """Return the numbers as they are."""
    return {"subscribers": step.size, "texts": dict(step.texts)}


def hide_counts(_step: Step) -> dict[str, Any]:
    """Return no number at all."""
    return {"subscribers": None, "texts": {}}


def hide_number(_number: int) -> str:
    """Say nothing about a number."""
    return "not shown to this key"


def round_number(number: int) -> str:
    """Format a number, rounded down to ``MIN_TOLD``."""
    return f"about {number // MIN_TOLD * MIN_TOLD:,}" if number >= MIN_TOLD else f"fewer than {MIN_TOLD}"


def count_roughly(step: Step, rules: Collection[str]) -> dict[str, Any]:
    """Return the numbers if the audience rule is one of ``rules``; None in place of one below ``MIN_TOLD``.

    If one is hidden, the others are rounded down, so that no subtraction tells it.
    """
    if step.edition is None or step.edition.audience not in rules:
        return hide_counts(step)
    numbers = [step.size, *step.texts.values()]
    unit = MIN_TOLD if min(numbers) < MIN_TOLD else 1

    def shown(number: int) -> int | None:
        return number // unit * unit if number >= MIN_TOLD else None

    return {
        "subscribers": shown(step.size),
        "fewer_than": MIN_TOLD if step.size < MIN_TOLD else None,
        "texts": {name: shown(number) for name, number in step.texts.items()},
    }
