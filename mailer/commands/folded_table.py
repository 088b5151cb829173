"""The tables of the command line."""

from __future__ import annotations

from typing import Any

from rich.table import Table


class FoldedTable(Table):
    """A table without borders. What is too long for its column is folded, never cut: keys and addresses can be copied."""

    def __init__(self, *heads: str, **options: Any) -> None:
        super().__init__(box=None, header_style="bold", **options)
        for head in heads:
            self.add_column(head)

    def add_column(self, header: Any = "", *more: Any, **options: Any) -> None:
        super().add_column(header, *more, **{"overflow": "fold", **options})
