"""Everything on one machine: what ``postmerge up`` starts.

Postgres and Valkey come from pip wheels (or from DATABASE_URL and REDIS_URL); the web server, the worker and the
scheduler are real processes, restarted when they die. All data is in one folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.text import Text

from api.server.uvicorn_server import listen
from mailer import editions
from mailer.commands import cli_output
from mailer.commands.cli_findings import show_findings
from mailer.commands.common import RUNNING_HOME, RUNNING_SETTINGS, use_site
from mailer.commands.plurals import count
from mailer.core import log
from mailer.core.db import Database
from mailer.core.errors import BadInput, PostmergeError, Refused, Unavailable
from mailer.core.files import PACKAGES
from mailer.core.migrate import run_migrations
from mailer.core.setting_values import quote_env_value
from mailer.core.settings import Settings, environment, load
from mailer.fakes import embedded_services
from mailer.flows.publishing import publish
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers.signup import add_subscriber, list_subscribers
from mailer.transports import make_transport

DEMO_SUBSCRIBERS = {
    "ada@example.org": ["python"],
    "grace@example.org": ["python", "operations"],
    "katherine@example.org": [],
    "margaret@example.org": ["operations"],
    "radia@example.org": ["delivery"],
}
_GERMAN = "radia@example.org"  # gets the translation of an issue, where there is one
_CHILDREN = ("serve", "worker", "scheduler", "write")
_BESIDE = 5  # the live preview's port is the site's and this, where that one is free
_START_TIMEOUT_SECONDS = 180.0  # on a machine that is busy; a process that ends is noticed at once


@dataclass(frozen=True)
class Place:
    """Where the stack of one archive keeps its things."""

    home: Path
    content: Path
    port: int
    write_port: int

    @property
    def url(self) -> str:
        """The address of everything but the live preview."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def write_url(self) -> str:
        """The live preview's address: of its own, so that nothing of the site's can look into it."""
        return f"http://127.0.0.1:{self.write_port}/"

    def options(self, child: str) -> list[str]:
        """Return the command-line options of a child process."""
        ports = {"serve": self.port, "write": self.write_port}
        development = ["--development"] if child == "serve" else []
        return ["--port", str(ports[child]), *development] if child in ports else []


def run(content: Path | None, port: int, home: Path, out: Console) -> None:
    """Start everything, publish the newest issue the first time, serve until Ctrl-C, and leave nothing running."""
    log.configure("error")
    base = load()
    base.need_transport()
    place = _prepare_place(base, content, port, home)
    stopping = _stop_on_signals()
    with contextlib.ExitStack() as stack:
        stack.enter_context(_hold_lock(place))
        settings = stack.enter_context(_run_services(base, place, out))
        stack.enter_context(_write_shell_files(settings, place))
        use_site(settings)
        _fill_database(settings, out)
        children = stack.enter_context(_run_children(settings, place))
        _wait_for_answer(place, children, stopping)
        _show_delivery(settings, out, stopping)
        _show_addresses(place, settings, out)
        _restart_children(settings, place, children, stopping, out)
        out.print("Stopping…")
    out.print("Stopped. All processes have ended. Data is kept in " + str(place.home))


def _prepare_place(base: Settings, content: Path | None, port: int, home: Path) -> Place:
    chosen = content or base.content
    if not chosen.is_dir():
        raise BadInput(
            f"There is no folder {chosen}: run `postmerge init` to start a newsletter here, or give its `--content`."
        )
    whole = chosen.resolve()
    name = "default" if content is None else f"{whole.parent.name}-{hashlib.sha256(str(whole).encode()).hexdigest()[:8]}"
    listen("127.0.0.1", port).close()
    place = Place(home=(home / name).resolve(), content=whole, port=port, write_port=_find_free_port(port + _BESIDE))
    place.home.mkdir(parents=True, exist_ok=True)
    return place


def _find_free_port(wanted: int) -> int:
    """The wanted port of 127.0.0.1, or any that is free."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port)) as found:
            return int(found.getsockname()[1])
    raise Unavailable("No port on 127.0.0.1 is free for the live preview: stop a program that uses one.")


@contextlib.contextmanager
def _hold_lock(place: Place) -> Iterator[None]:
    """Two stacks on one folder would share a database unawares."""
    with (place.home / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Refused(
                f"Another stack is already running in {place.home}: stop it, or choose another folder with `--home`."
            ) from error
        yield


@contextlib.contextmanager
def _run_services(base: Settings, place: Place, out: Console) -> Iterator[Settings]:
    """Postgres and Valkey, and the settings that point at them."""
    with contextlib.ExitStack() as stack:
        started = time.monotonic()
        database_url = base.database_url or stack.enter_context(embedded_services.postgres(place.home / "postgres"))
        redis_url = base.redis_url or stack.enter_context(embedded_services.valkey(place.home / "valkey"))
        own = [name for name, given in (("Postgres", base.database_url), ("Valkey", base.redis_url)) if not given]
        with_what = " and ".join(own) + " started" if own else "Using DATABASE_URL and REDIS_URL"
        out.print(_format_done(f"{with_what} ({time.monotonic() - started:.1f} s)"))
        yield _complete_settings(base, place, database_url, redis_url)


@contextlib.contextmanager
def _write_shell_files(settings: Settings, place: Place) -> Iterator[None]:
    """Two files while it runs: the settings, which commands in this folder use, and for other shells the command with them."""
    given = {**environment(settings), "POSTMERGE_PREVIEW_URL": place.write_url}
    names = [name for name in sorted(given) if name.startswith(("POSTMERGE_", "DATABASE_", "REDIS_"))]
    with contextlib.ExitStack() as stack:
        stack.enter_context(
            _private_file(place.home / RUNNING_SETTINGS, [f"{name}={quote_env_value(given[name])}" for name in names])
        )
        lines = [f"export {name}={shlex.quote(given[name])}" for name in names]
        program = f"PYTHONPATH={shlex.quote(str(PACKAGES))} {shlex.quote(sys.executable)} -P -m mailer.cli"
        lines.append(f'postmerge() {{ {program} "$@"; }}')
        stack.enter_context(_private_file(place.home / "env", lines))
        yield


@contextlib.contextmanager
def _private_file(path: Path, lines: Sequence[str]) -> Iterator[None]:
    path.touch(mode=0o600)
    path.write_text("\n".join(lines) + "\n")
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _complete_settings(base: Settings, place: Place, database_url: str, redis_url: str) -> Settings:
    default = Settings()
    return replace(
        base,
        database_url=database_url,
        redis_url=redis_url,
        content=place.content,
        build=place.home / "build",
        outbox=place.home / "outbox" if base.outbox == default.outbox else base.outbox.resolve(),
        config=base.config.resolve(),
        site_url=base.site_url or place.url,
        api_url=place.url if base.api_url == default.api_url else base.api_url,
        sender=base.sender or f"{editions.site_name(base.config)} <newsletter@example.org>",
        postal_address=base.postal_address or "1 Example Street, 12345 Exampleton",
        secret=base.secret or _kept_secret(place.home / "secret"),
        hold=base.hold if base.hold != default.hold or base.transport == "ses" else default.hold * 0,
    )


def _kept_secret(path: Path) -> str:
    if not path.exists():
        path.touch(mode=0o600)
        path.write_text(secrets.token_hex(32))
    return path.read_text().strip()


def _fill_database(settings: Settings, out: Console) -> None:
    """Migrate, build, add demo subscribers to an empty database, and publish."""
    database = Database(settings.database_url)
    if done := run_migrations(database):
        out.print(_format_done("Database created" if done[0].startswith("0001") else "Database updated"))
    report = _build(settings, out)
    if not list_subscribers(database) and settings.transport == "outbox":
        for email, tags in DEMO_SUBSCRIBERS.items():
            lang = "de" if email == _GERMAN else ""
            add_subscriber(database, settings, email, tags, confirmed=True, source="demo", lang=lang)
        out.print(_format_done(f"{len(DEMO_SUBSCRIBERS)} demo subscribers added"))
    try:
        _publish(database, settings, report, out)
    except PostmergeError as error:
        out.print(_format_warning(f"Not published: {error}"), soft_wrap=True)
    database.close()


def _build(settings: Settings, out: Console) -> editions.Report:
    with out.status("Building the site…") as line:
        report = editions.build(editions.BuildOptions.of(settings), progress=lambda text: line.update(Text(text)))
    show_findings(out, report.findings)
    out.print(_format_done(f"Site built: {count(report.count, 'issue')} in {report.seconds:.1f} s"))
    return report


def _publish(database: Database, settings: Settings, report: editions.Report, out: Console) -> None:
    """The newest issue on an empty ledger of the demo; afterwards like any merge."""
    fresh = publish.is_empty(database) and settings.transport == "outbox"
    newest = max(report.editions, key=lambda edition: (edition.dated, edition.key), default=None)
    request = publish.Request(issue=newest.key if fresh and newest else "", gate=False)
    transport = make_transport(settings)
    cli_output.published(out, publish.publish(database, settings, report.editions, report.findings, transport, request))


@contextlib.contextmanager
def _run_children(settings: Settings, place: Place) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    names = (*_CHILDREN, *(["events"] if settings.sqs_queue_url else []))
    children = {name: _start_child(name, settings, place) for name in names}
    try:
        yield children
    finally:
        for child in children.values():
            child.terminate()
        for child in children.values():
            try:
                child.wait(timeout=35)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _start_child(name: str, settings: Settings, place: Place) -> subprocess.Popen[bytes]:
    """A child in a session of its own, so that Ctrl-C reaches only us; it stops when our end of its input closes."""
    with (place.home / f"{name}.log").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "mailer.cli", name, "--until-eof", *place.options(name)],
            env=environment(settings),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _wait_for_answer(place: Place, children: dict[str, subprocess.Popen[bytes]], stopping: threading.Event) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_SECONDS
    while time.monotonic() < deadline and not stopping.is_set():
        if children["serve"].poll() is not None:
            break
        try:
            with urllib.request.urlopen(place.url + "/health", timeout=2):  # noqa: S310
                return
        except OSError:
            time.sleep(0.1)
    if not stopping.is_set():
        raise Unavailable(f"The web server does not respond: see its log {place.home / 'serve.log'}.")


def _show_delivery(settings: Settings, out: Console, stopping: threading.Event) -> None:
    """Show a progress bar for running sends until they are done, for at most a minute."""
    database, deadline = Database(settings.database_url), time.monotonic() + 60
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TextColumn("emails"))
    with Progress(*columns, console=out, transient=False) as progress:
        tasks: dict[int, TaskID] = {}
        while not stopping.is_set() and time.monotonic() < deadline:
            running = [
                one for one in list_send_statuses(database) if one.send.state in ("holding", "sending") or one.send.id in tasks
            ]
            for one in running:
                if one.send.id not in tasks:
                    tasks[one.send.id] = progress.add_task(one.send.subject[:50], total=one.send.audience_size)
                left = one.deliveries["pending"] + one.deliveries["claimed"]
                progress.update(tasks[one.send.id], completed=(one.send.audience_size or 0) - left)
            soon = [one for one in running if one.send.state == "sending" or one.send.due_at.timestamp() < time.time() + 5]
            if all(one.send.state not in ("holding", "sending") for one in soon):
                break
            time.sleep(0.2)
    database.close()


def _show_addresses(place: Place, settings: Settings, out: Console) -> None:
    pages = [("The archive", "/"), ("Subscribe", "/subscribe"), ("API and its docs", "/docs")]
    if settings.transport == "outbox":
        pages[1:1] = [("Sent emails", "/outbox"), ("The ledger", "/ledger")]
    if settings.desk:
        pages.append(("The desk", "/desk"))
    rows = [(name, place.url + path) for name, path in pages]
    rows += [("Live preview", place.write_url), ("Gallery", place.write_url + "-/gallery")]
    out.print()
    for name, url in rows:
        out.print(Text.assemble(f"  {name:<18} ", (url, f"link {url}")))
    default = (Path.cwd() / RUNNING_HOME).resolve() == place.home
    here = () if default else ((f". {place.home / 'env'}", "bold"), " and then ")
    out.print(Text.assemble("\nCommands in another terminal, in this folder: ", *here, ("postmerge status", "bold")))
    out.print("Press Ctrl-C to stop.")


def _restart_children(
    settings: Settings,
    place: Place,
    children: dict[str, subprocess.Popen[bytes]],
    stopping: threading.Event,
    out: Console,
) -> None:
    while not stopping.wait(0.5):
        for name, child in list(children.items()):
            if child.poll() is not None:
                said = f"{name} ended ({child.returncode}) and was restarted. Log: {place.home / name}.log"
                out.print(_format_warning(said))
                children[name] = _start_child(name, settings, place)


def _format_done(said: str) -> Text:
    return Text.assemble(("✓", "green"), f" {said}")


def _format_warning(said: str) -> Text:
    return Text.assemble(("!", "yellow"), f" {said}")


def _stop_on_signals() -> threading.Event:
    stopping = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    return stopping
