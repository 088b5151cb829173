"""Collect every text on pages and in emails in ``mailer/locale/postmerge.pot``, and bring the translations up to date with it.

.venv/bin/python -m bench.catalogues
.venv/bin/python -m bench.catalogues --check
"""

from __future__ import annotations

import io
import sys
from functools import cache
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_file
from babel.messages.pofile import write_po

from mailer.core.i18n.catalogues import FOLDER, TEMPLATE, read

ROOT = Path(__file__).parent.parent
PLACES = {
    "api": ".py", "mailer": ".py", "api/templates": ".html", "theme/templates": ".html", "mailer/editions": ".html",
    "mailer/templates": ".html",
}  # fmt: skip
# Which arguments of which functions are texts; "c" is a context
KEYWORDS: dict[str, Any] = {
    "_": None, "site_": None, "say": None, "N_": None, "Mistyped": None, "TooManyRequests": None, "localized_error": (2,),
    "ngettext": (1, 2), "pgettext": ((1, "c"), 2), "site_pgettext": ((1, "c"), 2),
}  # fmt: skip
_CHANGING = ('"POT-Creation-Date', '"Generated-By')
_ABOUT = """\
# Texts on pages and in emails of Postmerge.
# After a change run: .venv/bin/python -m bench.catalogues"""


@cache
def collect() -> Catalog:
    """Collect all texts, with the files that use them and the comments for translators."""
    found = Catalog(
        project="Postmerge",
        version="0",
        charset="utf-8",
        header_comment=_ABOUT,
        copyright_holder="",
        msgid_bugs_address="",
    )
    for folder, ending in PLACES.items():
        method = "python" if ending == ".py" else "jinja2"
        for path in sorted((ROOT / folder).rglob(f"*{ending}")):
            texts = extract_from_file(method, path, KEYWORDS, ("Translators:",), strip_comment_tags=True)
            for line, text, comments, context in texts:
                found.add(text, None, [(path.relative_to(ROOT).as_posix(), line)], auto_comments=comments, context=context)
    return found


def write(catalogue: Catalog) -> str:
    """Return a catalogue as text. Only the template names files, and without lines, so that all change only with the texts."""
    written = io.BytesIO()
    is_template = catalogue.locale is None
    write_po(written, catalogue, width=120, no_location=not is_template, include_lineno=False)
    kept = [line for line in written.getvalue().decode().splitlines() if not line.startswith(_CHANGING)]
    return "\n".join(kept).rstrip() + "\n"


def update(lang: str, template: Catalog) -> Catalog:
    """Return a language's catalogue with exactly the template's texts: those that it had in their order, then new ones."""
    catalogue = read(FOLDER / f"{lang}.po", lang)
    wanted = {(_first(one), one.context): one for one in template if one.id}
    for one in [one for one in catalogue if one.id]:
        new = wanted.get((_first(one), one.context))
        if new is None or new.pluralizable != one.pluralizable:
            catalogue.delete(one.id, one.context)
        else:
            one.id, one.auto_comments, one.flags = new.id, new.auto_comments, new.flags | (one.flags - {"fuzzy"})
    for new in wanted.values():
        if catalogue.get(new.id, new.context) is None:
            catalogue.add(new.id, flags=new.flags, auto_comments=new.auto_comments, context=new.context)
    return catalogue


def _first(one: Message) -> str:
    return one.id if isinstance(one.id, str) else str(one.id[0])


def essence(text: str) -> list[str]:
    """Return a catalogue's entries without their order and the files they are in, which change when code moves."""
    entries = ["\n".join(line for line in one.splitlines() if not line.startswith("#:")) for one in text.strip().split("\n\n")]
    return sorted(entries)


def main() -> None:
    """Write all catalogues; with ``--check`` only say which are out of date (exit code 1)."""
    template = collect()
    made = {TEMPLATE: write(template)}
    for path in sorted(FOLDER.glob("*.po")):
        made[path] = write(update(path.stem, template))
    if "--check" in sys.argv:
        old = [path for path, text in made.items() if essence(path.read_text(encoding="utf-8")) != essence(text)]
        sys.exit(f"Out of date: {', '.join(map(str, old))}. Run `python -m bench.catalogues`." if old else 0)
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")
        print(f"Wrote {path.relative_to(ROOT)}.")


if __name__ == "__main__":
    main()
