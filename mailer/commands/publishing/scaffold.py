"""The files of a new newsletter. Files that exist are never changed, and either all missing ones are written or none."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parseaddr
from pathlib import Path
from zoneinfo import ZoneInfo

import jinja2

from mailer import __version__
from mailer.core import i18n
from mailer.core.errors import BadInput
from mailer.core.files import find_file
from mailer.core.setting_values import quote_env_value

REPOSITORY = "postmerge/postmerge"  # on GitHub: whose action and whose source a newsletter's workflow names
_COMPONENT = f"https://raw.githubusercontent.com/{REPOSITORY}/{{}}/templates/newsletter.yml"  # what GitLab includes
CI_KINDS = ("github", "gitlab", "server", "none")
_HERE = Path(__file__).resolve().parents[2] / "scaffold"
_GITHUB_ACTIONS = {
    "checkout": "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
    "upload_pages": "actions/upload-pages-artifact@7b1f4a764d45c48632c6b24a0339c27f5614fb0b # v4.0.0",
    "deploy_pages": "actions/deploy-pages@d6db90164ac5ed86f2b6aed7e0febac5b3c0c03e # v4.0.5",
}
_FOR_CI = {
    "github": {
        ".github/workflows/newsletter.yml": "github.yml",
        ".github/workflows/newsletter-forks.yml": "github-forks.yml",
    },
    "gitlab": {".gitlab-ci.yml": "gitlab-ci.yml"},
    "server": {"hooks/post-receive": "hooks/post-receive"},
    "none": {},
}


@dataclass(frozen=True)
class Newsletter:
    """What ``postmerge init`` asks. ``pin``: the commit or tag of ours that its workflow uses; '' is the program's own."""

    name: str
    sentence: str
    language: str
    zone: str
    sender: str
    postal_address: str
    site_url: str
    ci: str
    pin: str = ""


@dataclass(frozen=True)
class Written:
    """The files that were written, and those that were there, as paths from the folder."""

    new: tuple[str, ...]
    kept: tuple[str, ...]


def write_files(folder: Path, newsletter: Newsletter, now: datetime) -> Written:
    """Write the files that ``folder`` lacks. Raises BadInput if one cannot be written; then none is."""
    wanted = dict(_render(folder, newsletter, now))
    kept = tuple(name for name in wanted if (folder / name).exists())
    with contextlib.ExitStack() as undo:
        for name, text in wanted.items():
            if name not in kept:
                _create(undo, folder / name, text, executable=name == "hooks/post-receive", private=name == ".env")
        undo.pop_all()
    return Written(tuple(name for name in wanted if name not in kept), kept)


def list_missing_ignores(folder: Path) -> list[str]:
    """Return the lines that the folder's .gitignore lacks although they keep secrets and builds out of git."""
    try:
        found = {line.strip().strip("/") for line in (folder / ".gitignore").read_text("utf-8").splitlines()}
    except (OSError, UnicodeDecodeError):
        return []
    return [name for name in (".env", "build", ".postmerge") if name not in found]


def _render(folder: Path, newsletter: Newsletter, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield all files with their text."""
    local = now.astimezone(ZoneInfo(newsletter.zone))
    issue = f"content/issues/{local:%Y-%m-%d}-hello.md"
    pin = newsletter.pin or _find_own_commit()
    facts = {
        **vars(newsletter),
        **_GITHUB_ACTIONS,
        "name_plain": newsletter.name.replace("\\", "").replace('"', "'"),
        "author": parseaddr(newsletter.sender)[0] or newsletter.name,
        "path": issue,
        "date": f"{local:%Y-%m-%d %H:%M}",
        "example_time": f"{local + timedelta(days=7):%Y-%m-%d} 09:00 {newsletter.zone}",
        "action": f"{REPOSITORY}@{pin or 'v' + __version__}",
        "component": _COMPONENT.format(pin or f"v{__version__}"),
        "requirement": f"postmerge @ git+https://github.com/{REPOSITORY}@{pin}" if pin else f"postmerge=={__version__}",
    }
    if not (folder / "pelicanconf.py").exists():
        if not any((folder / "content").rglob("*.md")):
            yield issue, _fill("issue.md", facts)
            statement, is_translated = _fill_accessibility(newsletter, local)
            pages = {
                "about": _fill("about.md", facts),
                "privacy": _fill_privacy(newsletter),
                "accessibility": statement,
            }
            for name, text in pages.items():
                is_own = newsletter.language == "en" or (name == "accessibility" and is_translated)
                yield f"content/pages/{name}.md", text if is_own else _mark_english(text, name)
        yield "pelicanconf.py", _fill("pelicanconf.txt", facts)
    else:
        yield "pelicanconf.py", ""
    yield ".gitignore", _fill("gitignore", facts)
    yield ".env", _fill("dotenv", facts)
    yield ".env.example", _fill_settings(newsletter)
    for name, source in _FOR_CI[newsletter.ci].items():
        yield name, find_file(source).read_text("utf-8") if source == name else _fill(source, facts)
    yield "README.md", _fill("README.md", facts)


def _find_own_commit() -> str:
    """The commit that this program's wheel was built from; empty in a clone."""
    try:
        return (_HERE / "commit").read_text("utf-8")
    except OSError:
        return ""


def _fill(source: str, facts: Mapping[str, str]) -> str:
    environment = jinja2.Environment(  # noqa: S701 - what is written is Markdown, Python and YAML, not HTML
        loader=jinja2.FileSystemLoader(_HERE), undefined=jinja2.StrictUndefined, keep_trailing_newline=True
    )
    environment.filters |= {"py": _quote, "yaml": _quote, "env": quote_env_value}
    return environment.get_template(source).render(facts)


def _quote(text: str) -> str:
    """The text as a string of Python, YAML or JSON."""
    return json.dumps(text, ensure_ascii=False)


def _fill_privacy(newsletter: Newsletter) -> str:
    """Our sample's page about privacy, with this newsletter's name and addresses."""
    text = find_file("content/pages/privacy.md").read_text("utf-8")
    who = f"{newsletter.name}, {newsletter.postal_address or 'YOUR POSTAL ADDRESS'}"
    text = text.replace("Postmerge, 1 Example Street, 12345 Exampleton", who)
    return text.replace("newsletter@example.org", parseaddr(newsletter.sender)[1])


def _fill_accessibility(newsletter: Newsletter, day: datetime) -> tuple[str, bool]:
    """The accessibility statement with this newsletter's name, address and date; is it in the newsletter's language?

    Without a translation it is our sample's, in English.
    """
    address, language = parseaddr(newsletter.sender)[1], i18n.spoken(newsletter.language)
    source = f"accessibility-{language}.md"
    if (_HERE / source).is_file():
        return _fill(source, {"name": newsletter.name, "address": address, "day": i18n.day(day, language)}), True
    text = find_file("content/pages/accessibility.md").read_text("utf-8")
    text = text.replace("The Postmerge Letter", newsletter.name).replace("30 November 2026", i18n.day(day, "en"))
    return text.replace("newsletter@example.org", address), False


def _mark_english(text: str, name: str) -> str:
    """Say that a page of a newsletter in another language is in English, at the address that it would have anyway."""
    return text.replace(f"Slug: {name}\n", f"Slug: {name}\nLang: en\nUrl: {name}/\nSave_as: {name}/index.html\n", 1)


def _fill_settings(newsletter: Newsletter) -> str:
    values = {
        "POSTMERGE_SENDER": quote_env_value(newsletter.sender),
        "POSTMERGE_POSTAL_ADDRESS": quote_env_value(newsletter.postal_address),
        "POSTMERGE_SITE_URL": newsletter.site_url,
    }
    lines = find_file(".env.example").read_text("utf-8").splitlines()
    return "\n".join(line + values.get(line.removesuffix("="), "") for line in lines) + "\n"


def _create(undo: contextlib.ExitStack, path: Path, text: str, executable: bool, private: bool) -> None:
    try:
        missing = [folder for folder in path.parents if not folder.exists()]
        path.parent.mkdir(parents=True, exist_ok=True)
        for folder in reversed(missing):
            undo.callback(_remove_folder, folder)
        with path.open("x", encoding="utf-8") as file:
            undo.callback(path.unlink, missing_ok=True)
            file.write(text)
        path.chmod(0o755 if executable else 0o600 if private else 0o644)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error.strerror}). Nothing was changed: check the folder.") from error


def _remove_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
