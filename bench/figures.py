"""Tables of figures: printed, and with ``--save`` written into docs/explanation/performance.md under their command."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

PAGE = Path(__file__).parent.parent / "docs" / "explanation" / "performance.md"


@dataclass(frozen=True)
class Figures:
    """``name`` is that of the section in the page; each row has as many cells as there are ``columns``."""

    name: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def show(self, save: bool = False) -> None:
        """Print the table; with ``save`` also write it into the page. Raises ValueError when the page lacks the section."""
        table = Table(*self.columns, box=None, header_style="bold")
        for row in self.rows:
            table.add_row(*row)
        Console(width=120).print(table)
        if save:
            PAGE.write_text(self.placed(PAGE.read_text(encoding="utf-8"), _command()), encoding="utf-8")

    def placed(self, page: str, command: str) -> str:
        """The page with this table in its section."""
        begin, end = f"<!-- {self.name} -->", f"<!-- /{self.name} -->"
        if begin not in page or end not in page:
            raise ValueError(f"the page has no section {begin} … {end}: add one where the table should stand")
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        table = "\n".join("| " + " | ".join(cell.strip() for cell in line) + " |" for line in lines)
        made = f"{datetime.now(UTC):%-d %B %Y}, {os.cpu_count()} cores"
        block = f"{begin}\n```\n{command}\n```\n\n{table}\n\n({made})\n{end}"
        return re.sub(f"{re.escape(begin)}.*?{re.escape(end)}", lambda _: block, page, flags=re.DOTALL)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A bench's command line, with ``--save``."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--save", action="store_true", help="write the table into docs/explanation/performance.md")
    return made


def _command() -> str:
    spec = sys.modules["__main__"].__spec__
    options = [one for one in sys.argv[1:] if one != "--save"]
    return " ".join([".venv/bin/python -m", spec.name if spec else sys.argv[0], *options])
