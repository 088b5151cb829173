"""From Markdown to editions. Only this package knows Pelican."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, PostmergeError
from mailer.core.form_fields import FormField, read_fields
from mailer.editions.mail.issue_renderer import fill
from mailer.editions.mail.template_errors import in_template
from mailer.editions.site import edition_files, output_folder
from mailer.editions.site.build import Build, BuildOptions
from mailer.editions.site.pelican_log import quiet
from mailer.editions.source.site_config import need_files, need_plugin, read_zone

__all__ = ["BuildOptions", "Report", "build", "form_fields", "load", "site_lang", "site_name", "site_zone"]


@dataclass(frozen=True)
class Report:
    """The result of a build: findings, seconds, and how many files were converted or cached.

    The editions, of which there are ``count``, are loaded when they are first asked for, from the build's cache: ask before
    its folder is removed.
    """

    load_editions: Callable[[], Iterable[Edition]]
    count: int
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    converted: int = 0
    reused: int = 0

    @cached_property
    def editions(self) -> tuple[Edition, ...]:
        """The editions, oldest first."""
        return tuple(self.load_editions())


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

    started = time.monotonic()
    need_files(options.content, options.config)
    made = Build(options, progress or (lambda text: None))
    try:
        with quiet(made.findings, options.content), output_folder.replacing(options.site.resolve()) as (fresh, made.spare):
            pelican = Pelican(made.configure(fresh))
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
        made.close()
    seconds = time.monotonic() - started
    editions, workshop = made.issues.to_publish, made.workshop
    return Report(
        lambda: (fill(one, workshop) for one in editions), len(editions), tuple(made.report()), seconds,
        made.converted.fresh, made.converted.reused,
    )  # fmt: skip


def load(folder: Path) -> Report:
    """Load what the last build wrote, with digests checked, without Pelican. Raises BadInput."""
    editions, findings = edition_files.read(folder)
    return Report(lambda: editions, len(editions), tuple(findings))


def site_name(config: Path) -> str:
    """Return SITENAME of a Pelican configuration; "Newsletter" if there is none."""
    from pelican.settings import read_settings

    try:
        return str(read_settings(str(config)).get("SITENAME") or "Newsletter")
    except Exception:
        return "Newsletter"


def site_lang(config: Path) -> str:
    """Return DEFAULT_LANG of a Pelican configuration; "en" if there is none."""
    from pelican.settings import read_settings

    try:
        return str(read_settings(str(config)).get("DEFAULT_LANG") or "en")
    except Exception:
        return "en"


def site_zone(config: Path) -> str:
    """Return TIMEZONE of a Pelican configuration; "UTC" if there is none that is usable."""
    from pelican.settings import read_settings

    try:
        return read_zone(str(read_settings(str(config)).get("TIMEZONE") or "UTC"))
    except Exception:
        return "UTC"


def form_fields(config: Path) -> tuple[FormField, ...]:
    """Return the sign-up form's own fields; none if there is no Pelican configuration. Raises BadInput."""
    from pelican.settings import read_settings

    try:
        declared = read_settings(str(config)).get("POSTMERGE_FORM_FIELDS") if config.is_file() else None
    except Exception as error:
        raise BadInput(f"{config} has an error ({type(error).__name__}: {error}): correct it.") from error
    return read_fields(declared)


def _first_line(error: Exception) -> str:
    """Return the first line of an error, and the issue whose page caused it if known."""
    said = (str(error).strip() or "no message").splitlines()[0][:200]
    return ", ".join([said, *getattr(error, "__notes__", [])])


def _where(error: Exception) -> str:
    """Return a template's name and line if the error has them."""
    name, line = in_template(error)
    return f"{name}, line {line}" if name and line else "the configuration or the theme"
