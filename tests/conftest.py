from __future__ import annotations

import functools
import multiprocessing.util
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import CodeType

import fasteners
import hypothesis
import jinja2
import pytest

from mailer.core import log
from mailer.core.db import Database
from tests import services

hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")  # a busy machine is no failure

ROOT = Path(__file__).parent.parent
BROWSER_TESTS = ROOT / "tests" / "browser"  # slow by nature
MAX_SLOW_SECONDS = 900  # for a slow test, on a busy machine
REAL_ARCHIVE = ROOT.parent / "shared" / "real-archive" / "content"


@functools.lru_cache(maxsize=512)
def _compile_template(source: str, filename: str) -> CodeType:
    return compile(source, filename, "exec")


def pytest_configure(config: pytest.Config) -> None:
    """Keep all that a run writes in one folder, in memory where possible, and remove it with the run.

    ``--basetemp=FOLDER`` keeps the files of tests that failed.
    """
    log.configure("error")
    jinja2.Environment._compile = lambda self, source, filename: _compile_template(source, filename)  # type: ignore[method-assign]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a run in the background; the programs under test inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):
        os.environ["TMPDIR"] = tempfile.tempdir = str(services.run_folder())


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for a process, a browser or a timeout."""
    return len(os.sched_getaffinity(0)) + 1 if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1) + 1


def pytest_unconfigure(config: pytest.Config) -> None:
    multiprocessing.util._run_finalizers()  # type: ignore[attr-defined]  # later they would miss their folder
    if not hasattr(config, "workerinput"):
        shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    skip = pytest.mark.skip(reason="needs ../shared/real-archive, which is not here")
    for item in items:
        if item.get_closest_marker("real_archive") and not REAL_ARCHIVE.is_dir():
            item.add_marker(skip)
        if item.path.is_relative_to(BROWSER_TESTS):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(MAX_SLOW_SECONDS))


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long bytes by their argument: what they contain may differ between the workers, such as the time in a ZIP file."""
    return argname if isinstance(val, bytes) and len(val) > 60 else None


@pytest.fixture(scope="session")
def run_folder() -> Path:
    """The run's folder, shared by its parallel workers; a system user of its own may enter it."""
    return Path(tempfile.gettempdir())


@pytest.fixture(scope="session")
def postgres_url(run_folder: Path) -> Iterator[str]:
    """The test run's Postgres server: started by the first worker, stopped by the last."""
    lock = fasteners.InterProcessLock(run_folder / "postgres.lock")
    lock.acquire()
    context = services.postgres(run_folder)
    url = context.__enter__()
    services.make_template(url, _template(run_folder))
    lock.release()
    yield url
    if os.environ.get("DATABASE_URL"):
        return
    with lock:
        context.__exit__(None, None, None)


def _template(run_folder: Path) -> str:
    return f"postmerge_template_{run_folder.name.removeprefix('postmerge-tests-')}"


@pytest.fixture
def database_url(postgres_url: str, run_folder: Path) -> Iterator[str]:
    """A migrated database of its own for the test."""
    with services.cloned(postgres_url, _template(run_folder)) as url:
        yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated database of its own for the test, connected."""
    database = Database(database_url)
    yield database
    database.close()


@pytest.fixture(scope="session")
def redis_url() -> Iterator[str]:
    """A real Valkey, one for each parallel worker."""
    with services.valkey() as url:
        yield url
