"""The checks that ask the network whether links work: run by ``postmerge check --links`` and, live, by ``postmerge write``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console

from mailer.checks.context import Context
from mailer.checks.document import Document, Link
from mailer.checks.reach import Reach, Verdict
from mailer.checks.registry import Fix, Found, Remark, check


@check("link-dead", "error", "A link that leads to nothing (with --links).")
def link_dead(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


@check("link-moved", "note", "A link that its server sends elsewhere for good (with --links).")
def link_moved(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


@check("link-slow", "note", "A link that takes long to answer (with --links).")
def link_slow(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


def asked(doc: Document) -> Iterator[Link]:
    """The links of a document that the network can be asked about."""
    return (link for link in doc.links if link.target.startswith(("http://", "https://")))


def examine(docs: Sequence[Document], console: Console, keep: Path | None = None) -> list[Remark]:
    """Ask for every link of the documents; what is wrong with them."""
    urls = list(dict.fromkeys(link.target for doc in docs for link in asked(doc)))
    verdicts: dict[str, Verdict] = {}

    async def run() -> None:
        reach = Reach(keep)
        try:
            with console.status(f"Asking for {len(urls):,} links…") as line:

                def tell(url: str, verdict: Verdict) -> None:
                    verdicts[url] = verdict
                    line.update(f"Asking for links: {len(verdicts):,} of {len(urls):,}")

                await reach.ask_all(urls, tell)
        finally:
            await reach.close()

    asyncio.run(run())
    return [one for doc in docs for link in asked(doc) for one in remark(doc, link, verdicts[link.target])]


def remark(doc: Document, link: Link, verdict: Verdict) -> Iterator[Remark]:
    """What a verdict means for the line that the link stands on."""
    line, column = doc.place(link.at)
    if verdict.state == "gone":
        text = f"{link.target[:100]} leads to nothing: {verdict.detail}."
        yield Remark("link-dead", "error", doc.shown, line, column, text)
    elif verdict.state == "redirected":
        fix = Fix(link.at, link.at + len(link.target), verdict.detail) if "#" not in link.target else None
        yield Remark("link-moved", "note", doc.shown, line, column, f"This has moved to {verdict.detail[:100]}.", fix)
    elif verdict.state == "slow":
        yield Remark("link-slow", "note", doc.shown, line, column, f"{link.target[:100]}: {verdict.detail}.")
