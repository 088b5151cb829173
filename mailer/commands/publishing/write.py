"""``postmerge write``: a live preview of an issue in the browser."""

from __future__ import annotations

import socket
import sys
import threading
import webbrowser
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click
from click.core import ParameterSource
from rich.text import Text

from mailer.commands.common import load_running, load_settings, out
from mailer.core.errors import BadInput, Unavailable

if TYPE_CHECKING:
    import uvicorn

    from mailer.core.settings import Settings
    from mailer.workbench.live_preview import LivePreview


@click.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@click.option("--port", default=8030, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@click.option("--open/--no-open", "show", default=False, help="Open it in a browser.")
@click.option("--until-eof", is_flag=True, hidden=True)
def write(file: Path | None, port: int, show: bool, until_eof: bool) -> None:
    """Preview an issue live while you write: page, email, text, size, checks and links. FILE is opened first.

    Example: postmerge write content/issues/2026-11-24-hello.md
    """
    running = {} if until_eof or _is_given("port") else load_running()
    if running.get("POSTMERGE_PREVIEW_URL"):
        return _open_running(running["POSTMERGE_PREVIEW_URL"], load_settings(), file, show)
    try:
        import uvicorn
        import watchfiles  # noqa: F401
        import websockets  # noqa: F401
    except ModuleNotFoundError as error:
        raise BadInput(
            f"{error.name} is not installed: install Postmerge as `postmerge[preview]` for the live preview."
        ) from error

    from mailer.commands.publishing.test_email import send_from_preview
    from mailer.workbench.app import Workbench, create_app
    from mailer.workbench.live_preview import LivePreview

    settings = load_settings()
    preview = LivePreview(settings)
    part = _part(preview, file)
    listening = _listen(port)
    bench = Workbench(preview, settings.cache_folder / "links.json", send_test=partial(send_from_preview, settings))
    out.print(Text(f"Preview: http://127.0.0.1:{port}/{part} (press Ctrl+C to stop)"), soft_wrap=True)
    if show:
        webbrowser.open(f"http://127.0.0.1:{port}/{part}")
    config = uvicorn.Config(
        create_app(bench), access_log=False, log_level="warning", ws_max_size=1_000_000, timeout_graceful_shutdown=2
    )
    server = uvicorn.Server(config)
    if until_eof:
        threading.Thread(target=_at_eof, args=(server,), daemon=True).start()
    server.run(sockets=[listening])


def _is_given(name: str) -> bool:
    return click.get_current_context().get_parameter_source(name) is not ParameterSource.DEFAULT


def _part(preview: LivePreview, file: Path | None) -> str:
    if not file:
        return ""
    if not file.is_file():
        raise BadInput(f'{file} does not exist: `postmerge new "A title"` begins an issue.')
    return f"#{quote(preview.name(preview.path(str(file.resolve()))), safe='')}"


def _open_running(url: str, settings: Settings, file: Path | None, show: bool) -> None:
    """Point to the preview that `postmerge up` runs, instead of starting a second one."""
    from mailer.workbench.live_preview import LivePreview

    url += _part(LivePreview(settings), file)
    out.print(Text(f"Preview: {url} (of the running `postmerge up`)"), soft_wrap=True)
    if show:
        webbrowser.open(url)


def _at_eof(server: uvicorn.Server) -> None:
    """Stop when the supervisor's end of our standard input is gone."""
    sys.stdin.read()
    server.should_exit = True


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port))
    except OSError as error:
        raise Unavailable(
            f"Port {port} on 127.0.0.1 is not available ({error.strerror}): stop what uses it, or choose another with `--port`."
        ) from error
