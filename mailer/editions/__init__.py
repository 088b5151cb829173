"""From Markdown to editions. Only this package knows Pelican."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, PostmergeError
from mailer.editions.mail.template_errors import in_template
from mailer.editions.site import edition_files, output_folder
from mailer.editions.site.build_session import Session
from mailer.editions.site.pelican_log import quiet
from mailer.editions.source.site_config import need_plugin


@dataclass(frozen=True)
class BuildOptions:
    """Where a build reads and writes. ``site_url`` overrides the configuration if given; ``sells``: pages link to /join."""

    content: Path
    site: Path
    editions: Path
    cache: Path
    config: Path
    site_url: str = ""
    api_url: str = ""
    postal_address: str = ""
    sells: bool = False


@dataclass(frozen=True)
class Report:
    """The result of a build: editions (oldest first), findings, seconds, and how many files were converted or cached."""

    editions: tuple[Edition, ...]
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    converted: int = 0
    reused: int = 0


@contextmanager
def _unburdened() -> Iterator[None]:
    """Run without garbage collection: nearly all that a build creates lives until it ends."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


@_unburdened()
def build(options: BuildOptions, progress: Callable[[str], None] | None = None) -> Report:
    """Build the site, its feeds and the editions.

    Raises BadInput for what makes a build impossible: no content folder, no configuration, a broken template. What is wrong
    in one issue is a finding of the report, and the others are built. The old site stays until the new one is whole.
    """
    from pelican import Pelican
    from pelican.settings import read_settings

    started = time.monotonic()
    _need(options)
    site = options.site.resolve()
    session = Session(options.cache, options.editions, options.postal_address, progress or (lambda text: None), earlier=site)
    override: dict[str, Any] = {"PATH": str(options.content.resolve()), "POSTMERGE_SESSION": session}
    if options.site_url:
        override["SITEURL"] = options.site_url
    if options.api_url:
        override["API_URL"] = options.api_url
    override["LOAD_CONTENT_CACHE"] = override["CACHE_CONTENT"] = False
    try:
        with quiet(session.findings, options.content), output_folder.replacing(site) as (fresh, session.spare):
            settings = read_settings(str(options.config), override={**override, "OUTPUT_PATH": str(fresh)})
            settings["DELETE_OUTPUT_DIRECTORY"] = False
            settings.setdefault("POSTMERGE_JOIN", options.sells)
            pelican = Pelican(settings)
            need_plugin(pelican, options.config)
            pelican.run()
    except PostmergeError:
        raise
    except OSError as error:
        raise BadInput(
            f"{error.filename or options.site} cannot be read or written ({error.strerror}): correct its permissions, or set"
            " POSTMERGE_BUILD to a writable folder."
        ) from error
    except Exception as error:
        raise BadInput(
            f"The site cannot be built ({type(error).__name__}: {_first_line(error)}): correct {_where(error)}."
        ) from error
    finally:
        session.close()
    editions = tuple(edition_files.oldest_first(session.editions))
    seconds = time.monotonic() - started
    return Report(editions, tuple(session.report()), seconds, session.converted, session.reused)


def load(folder: Path) -> Report:
    """Load what the last build wrote, with digests checked, without Pelican. Raises BadInput."""
    editions, findings = edition_files.read(folder)
    return Report(tuple(editions), tuple(findings))


def site_name(config: Path) -> str:
    """Return SITENAME of a Pelican configuration; "Newsletter" if there is none."""
    from pelican.settings import read_settings

    try:
        return str(read_settings(str(config)).get("SITENAME") or "Newsletter")
    except Exception:
        return "Newsletter"


def _need(options: BuildOptions) -> None:
    if not options.content.is_dir():
        raise BadInput(
            f"There is no content folder {options.content}: set POSTMERGE_CONTENT to the folder that holds the issues."
        )
    if not options.config.is_file():
        raise BadInput(f"There is no Pelican configuration {options.config}: set POSTMERGE_CONFIG to it.")


def _first_line(error: Exception) -> str:
    """Return the first line of an error, and the issue whose page caused it if known."""
    said = (str(error).strip() or "no message").splitlines()[0][:200]
    return ", ".join([said, *getattr(error, "__notes__", [])])


def _where(error: Exception) -> str:
    """Return a template's name and line if the error has them."""
    name, line = in_template(error)
    return f"{name}, line {line}" if name and line else "the configuration or the theme"
