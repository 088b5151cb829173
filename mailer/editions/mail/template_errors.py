"""Find the place of an error in a theme."""

from __future__ import annotations

from pathlib import Path


def in_template(error: BaseException) -> tuple[str, int]:
    """Return the name and the line of the template with the error; '' and 0 if unknown.

    An error of syntax says its place; one that shows when a page is drawn has it in its traceback, innermost last.
    """
    name = str(getattr(error, "filename", None) or getattr(error, "name", None) or "")
    line = getattr(error, "lineno", None) or 0
    trace = None if line else error.__traceback__
    while trace:
        if trace.tb_frame.f_code.co_filename.endswith((".html", "<template>")):
            name, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    return Path(name).name, line
