"""Sites in other languages that a plugin (i18n_subsites) builds inside one: their issues are translations of its issues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from mailer.core.i18n import code
from mailer.editions.site.issues import BuiltIssue, BuiltIssues
from mailer.editions.source.reading import Sources


def gather_subsites(
    main: BuiltIssues, subsites: Iterable[BuiltIssues], originals: Mapping[str, str], sources: Sources
) -> BuiltIssues:
    """Return all issues. A translation gets its original's key with its language; an issue that only a subsite has is its own.

    ``originals`` has the original of each translation, both by their sources.
    """
    made = {issue.source: issue for issue in main.by_key.values()}
    for issue in (one for subsite in subsites for one in subsite.by_key.values()):
        source = sources.files[issue.source].source
        if issue.source in made or source.broken:
            continue
        if original := made.get(originals.get(issue.source, "")):
            made[issue.source] = _as_translation(issue, original)
        elif any(issue.edition.key == one.edition.key for one in made.values()):
            source.error("id", f"The issue key {issue.edition.key!r} is also used by another issue: give it a different `Id:`.")
        else:
            made[issue.source] = issue
    return BuiltIssues.of(made.values(), main.left_out)


def _as_translation(issue: BuiltIssue, original: BuiltIssue) -> BuiltIssue:
    key = original.edition.key
    return replace(issue, original=key, edition=replace(issue.edition, key=f"{key} {code(issue.edition.lang)}"))
