"""Online checks of links: run by ``postmerge check --links`` and, live, by ``postmerge write``."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mailer.checks.context import Context
from mailer.checks.document import Document, Link
from mailer.checks.reach import OFFLINE, Reach, Verdict
from mailer.checks.registry import Fix, Found, Remark, check, shorten


@check("link-dead", "error", "A broken link (needs --links).")
def link_dead(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


@check("link-moved", "note", "A link that redirects permanently (needs --links).")
def link_moved(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


@check("link-slow", "note", "A link that responds slowly or not at all (needs --links).")
def link_slow(doc: Document, ctx: Context) -> Iterable[Found]:
    return ()


def asked(doc: Document) -> Iterator[Link]:
    """List the links of a document that can be checked online."""
    return (link for link in doc.links if link.target.startswith(("http://", "https://")))


def examine(docs: Sequence[Document], console: Console, keep: Path | None = None) -> list[Remark]:
    """Check every link of the documents; return the remarks."""
    urls = list(dict.fromkeys(link.target for doc in docs for link in asked(doc)))
    verdicts: dict[str, Verdict] = {}

    async def run() -> None:
        reach = Reach(keep)
        try:
            with console.status(f"Checking {len(urls):,} links…") as line:

                def tell(url: str, verdict: Verdict) -> None:
                    verdicts[url] = verdict
                    line.update(f"Checking links: {len(verdicts):,} of {len(urls):,}")

                await reach.ask_all(urls, tell)
        finally:
            await reach.close()

    asyncio.run(run())
    if missed := sum(verdict == OFFLINE for verdict in verdicts.values()):
        which = "No link was" if missed == len(urls) else f"{missed:,} of {len(urls):,} links were not"
        console.print(Text(f"{which} checked, because the network is unreachable: check your connection.", style="yellow"))
    return [one for doc in docs for link in asked(doc) for one in remark(doc, link, verdicts[link.target])]


def remark(doc: Document, link: Link, verdict: Verdict) -> Iterator[Remark]:
    """Turn a verdict into a remark at the link's line."""
    line, column = doc.place(link.at)
    if verdict.state == "gone":
        text = f"{shorten(link.target, 100)} is a broken link ({verdict.detail}): correct or remove it."
        yield Remark("link-dead", "error", doc.shown, line, column, text)
    elif verdict.state == "redirected":
        fix = Fix(link.at, link.at + len(link.target), verdict.detail) if "#" not in link.target else None
        yield Remark(
            "link-moved",
            "note",
            doc.shown,
            line,
            column,
            f"The page has moved permanently: link to {shorten(verdict.detail, 100)}.",
            fix,
        )
    elif verdict.state == "slow":
        yield Remark(
            "link-slow",
            "note",
            doc.shown,
            line,
            column,
            f"{shorten(link.target, 100)} is slow ({verdict.detail}): check that it works.",
        )
