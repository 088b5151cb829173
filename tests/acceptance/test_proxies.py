"""The shipped configurations of nginx and Caddy, run for real: a restart of the server behind them fails no request."""

from __future__ import annotations

import http.client
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from mailer.core.db import Database
from mailer.fakes.free_ports import find_free_port
from tests.conftest import ROOT
from tests.factories import settings
from tests.integration.operations.test_deploy import START
from tests.processes import environment, eventually

pytestmark = pytest.mark.slow
HOST = "news.example.org"
RESTARTS = 4
CLIENTS = 12


def _run_nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """Write the shipped file with a certificate and ports of this test; return the command."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    words = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        f"/CN={HOST}",
    ]
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    text = (ROOT / "deploy" / "nginx.conf").read_text()
    changes = {
        "[::]:443": f"[::1]:{port}", "443 ssl": f"127.0.0.1:{port} ssl", "[::]:80": f"[::1]:{find_free_port()}",
        "listen 80": f"listen 127.0.0.1:{find_free_port()}", "127.0.0.1:8025": f"127.0.0.1:{upstream}",
        f"/etc/letsencrypt/live/{HOST}/fullchain.pem": str(certificate), f"/etc/letsencrypt/live/{HOST}/privkey.pem": str(key),
    }  # fmt: skip
    for old, new in changes.items():
        assert old in text, f"deploy/nginx.conf has no {old}"
        text = text.replace(old, new)
    kinds = "".join(f"{kind}_temp_path {folder / kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(f"events {{}}\nhttp {{ access_log off; {kinds}\n{text}\n}}\n")
    options = f"daemon off; pid {folder / 'nginx.pid'}; error_log {folder / 'nginx.log'};"
    return [shutil.which("nginx") or "/usr/sbin/nginx", "-p", str(folder), "-e", "nginx.log", "-c", "nginx.conf", "-g", options]


def _run_caddy(folder: Path, port: int, upstream: int) -> list[str]:
    """Write the shipped file below options that keep this test off the network and the machine's ports; return the command."""
    text = (ROOT / "deploy" / "Caddyfile").read_text()
    for name, value in {
        "POSTMERGE_DOMAIN:localhost": HOST,
        "POSTMERGE_UPSTREAM:127.0.0.1:8025": f"127.0.0.1:{upstream}",
    }.items():
        assert f"{{${name}}}" in text
        text = text.replace(f"{{${name}}}", value)
    plain = find_free_port()
    own = f"admin off\nlocal_certs\nskip_install_trust\nhttps_port {port}\nhttp_port {plain}\nstorage file_system {folder}"
    (folder / "Caddyfile").write_text(f"{{\n{own}\n}}\n{text}")
    return ["caddy", "run", "--config", str(folder / "Caddyfile")]


def _connect(port: int) -> http.client.HTTPConnection:
    """A connection over TLS that names the host, as a browser does. Raises OSError."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPConnection(HOST)
    connection.sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=30), server_hostname=HOST)
    return connection


def _request(connection: http.client.HTTPConnection, method: str) -> http.client.HTTPResponse:
    """Send one request and read the whole response. Raises OSError or HTTPException."""
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, "/subscribe", "email=" if method == "POST" else None, form if method == "POST" else {})
    answer = connection.getresponse()
    answer.read()
    return answer


@contextmanager
def _clients(port: int) -> Iterator[Counter[str]]:
    """Clients that send requests without a break until the end of the block; what they got, counted."""
    outcomes: Counter[str] = Counter()
    ended = threading.Event()

    def work(method: str) -> None:
        connection = _connect(port)
        while not ended.is_set():
            try:
                outcomes[f"{method} {_request(connection, method).status}"] += 1
            except (OSError, http.client.HTTPException) as error:
                outcomes[f"{method} {error!r}"] += 1
                connection = _connect(port)
        connection.close()

    threads = [threading.Thread(target=work, args=(method,)) for method in ("GET", "POST") * (CLIENTS // 2)]
    for thread in threads:
        thread.start()
    try:
        yield outcomes
    finally:
        ended.set()
        for thread in threads:
            thread.join()


@pytest.mark.parametrize("write", [_run_nginx, _run_caddy], ids=["nginx", "caddy"])
def test_requests_through_the_proxy_survive_restarts_of_the_server(
    write: object, tmp_path: Path, database: Database, redis_url: str
) -> None:
    name = write.__name__.removeprefix("_run_")  # type: ignore[attr-defined]
    if not shutil.which(name, path="/usr/bin:/usr/sbin:/usr/local/bin:/opt/homebrew/bin"):
        pytest.skip(f"{name} is not installed")
    chosen = replace(settings(tmp_path, database.url, redis_url), api_url=f"https://{HOST}", site_url=f"https://{HOST}")
    environ = environment(chosen, {}) | {"POSTMERGE_TRUSTED_PROXIES": "127.0.0.1/32"}
    port = find_free_port()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:

        def start() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", START, str(listening.fileno())]
            return subprocess.Popen(command, cwd=ROOT, env=environ, stdin=subprocess.PIPE, pass_fds=[listening.fileno()])

        server = start()
        command = write(tmp_path, port, listening.getsockname()[1])  # type: ignore[operator]
        log = (tmp_path / "proxy.log").open("wb")
        proxy = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually(lambda: _is_up(port), 60, "the proxy and the server respond")
            assert _request(_connect(port), "GET").getheader("Strict-Transport-Security") == "max-age=31536000"
            with _clients(port) as outcomes:
                for _ in range(RESTARTS):
                    time.sleep(0.5)
                    server.send_signal(signal.SIGTERM)
                    assert server.wait(30) == 0
                    server = start()
                    before = outcomes.total()
                    eventually(partial(_is_above, outcomes, before + 2 * CLIENTS), 120, "it responds again")
        finally:
            for process in (proxy, server):
                process.terminate()
                process.wait(30)
            log.close()
    assert {outcome.split()[1] for outcome in outcomes} <= {"200", "403", "429"}, outcomes
    assert outcomes["GET 200"] > 20
    assert outcomes["POST 403"] > 20  # the form's own page, which asks for an address


def _is_up(port: int) -> bool:
    try:
        return _request(_connect(port), "GET").status == 200
    except (OSError, http.client.HTTPException):
        return False


def _is_above(outcomes: Counter[str], number: int) -> bool:
    return outcomes.total() > number
