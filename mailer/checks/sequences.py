"""Checks of sequences: their ``sequence.toml``, and the numbers, times and languages of their steps."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from mailer.checks.context import Context
from mailer.checks.document import Document
from mailer.checks.registry import Found, Remark, check
from mailer.editions.source.front_matter import Source
from mailer.editions.source.sequences import StepFile, is_step, join_steps, read_place
from mailer.editions.source.site_config import Site
from mailer.editions.source.slugs import File

_ID = "sequence"


@check(_ID, "error", "A `sequence.toml` or a step that the sequence cannot have.")
def sequence(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


def examine(site: Site, every: Iterable[Document], skip: Collection[str] = ()) -> list[Remark]:
    """List what is wrong in the sequences of a site, of which ``every`` is a document."""
    if _ID in skip:
        return []
    steps, findings = [], []
    for doc in every:
        if not is_step(doc.path, site.root, doc.fields):
            continue
        source = Source(doc.shown, doc.fields, doc.source.lines)
        place = read_place(source, doc.path, File.of(doc.path, site.root, doc.fields, site.lang, site.zone))
        findings += source.findings
        if place:
            steps.append(StepFile(doc.shown, source, place, doc.is_draft, is_used=False))
    findings += join_steps(steps, site.root, site.zone, site.lang)[1]
    return [Remark(_ID, "error", one.path, one.line, 1, one.message) for one in findings]
