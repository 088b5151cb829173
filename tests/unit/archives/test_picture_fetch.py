"""``postmerge import --fetch-pictures``: pictures of other hosts come along once, within limits, from no private network."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

from mailer.archives import picture_fetch
from mailer.archives.picture_fetch import sniff_picture
from mailer.cli import cli
from mailer.core.net import http_client
from tests import archives
from tests.conftest import ROOT


def draw(kind: str = "PNG", colour: str = "red") -> bytes:
    made = io.BytesIO()
    Image.new("RGB", (4, 3), colour).save(made, kind)
    return made.getvalue()


class PictureHost:
    """A web server that lists its requests."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers: dict[str, tuple[int, dict[str, str], bytes]] = {
            "/a.png": (200, {}, draw()), "/same.png?w=1&h=2": (200, {}, draw()), "/b": (200, {}, draw("JPEG", "blue")),
            "/page.png": (200, {"Content-Type": "image/png"}, b"<html><p>Sign in</p></html>"),
            "/large.png": (200, {}, draw() + bytes(90_000)),
        }  # fmt: skip
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                host.asked.append(self.path)
                status, headers, body = host.answers.get(self.path, (404, {}, b""))
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://pictures.example:{self.port}"


@contextmanager
def serving() -> Iterator[PictureHost]:
    host = PictureHost()
    thread = threading.Thread(target=host.server.serve_forever, args=(0.01,))
    thread.start()
    yield host
    host.server.shutdown()
    thread.join()
    host.server.server_close()


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[PictureHost]:
    """A host whose name is public and leads to this machine; all other names are judged as always."""
    judge = http_client.find_public_addresses
    monkeypatch.setattr(
        http_client, "find_public_addresses",
        lambda name, port: ["127.0.0.1"] if name.endswith(".example") else judge(name, port),
    )  # fmt: skip
    with serving() as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "news"
    (made / "content" / "issues").mkdir(parents=True)
    (made / "pelicanconf.py").write_text((ROOT / "pelicanconf.py").read_text("utf-8"))
    (made / "theme").symlink_to(ROOT / "theme")
    monkeypatch.chdir(made)
    return made


def write_export(folder: Path, *pictures: str, text: str = "<p>Text.</p>") -> Path:
    shown = "".join(f'<p><img src="{one}" alt="A"></p>' for one in pictures)
    rows = [archives.substack_row("1.first", "First")]
    return archives.write_substack(folder.parent / "export.zip", rows, {"1.first": text + shown})


def bring(path: Path, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(cli, ["import", str(path), "--json", *words], env={"DATABASE_URL": ""})
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def read_issue(folder: Path) -> str:
    return (folder / "content/issues/2024-01-05-first.md").read_text("utf-8")


def test_the_first_step_counts_pictures_and_asks_nothing_of_the_network(folder: Path, host: PictureHost) -> None:
    path = write_export(folder, f"{host.url}/a.png", f"{host.url}/a.png", f"{host.url}/b")
    done = CliRunner().invoke(cli, ["import", str(path), "--fetch-pictures"], env={"DATABASE_URL": ""})
    assert "Would fetch 2 pictures on 1 other host." in done.output
    assert "linked from" not in done.output
    assert (host.asked, list((folder / "content/issues").iterdir())) == ([], [])


def test_pictures_come_along_under_their_digest_and_only_once(folder: Path, host: PictureHost) -> None:
    path = write_export(folder, *(f"{host.url}{name}" for name in ("/a.png", "/same.png?w=1&amp;h=2", "/b")))
    found = bring(path, "--fetch-pictures", "--apply")
    assert (found["fetched"], found["remarks"]) == (3, [])
    names = {one.name: one.read_bytes() for one in (folder / "content/images/fetched").iterdir()}
    assert sorted(names.values()) == sorted([draw(), draw("JPEG", "blue")])
    png, jpg = (next(name for name in names if name.endswith(suffix)) for suffix in (".png", ".jpg"))
    shown = "\n\n".join(f"![A]({{static}}/images/fetched/{name})" for name in (png, png, jpg))
    assert read_issue(folder).endswith(f"\n\nText.\n\n{shown}\n")
    assert sorted(host.asked) == ["/a.png", "/b", "/same.png?w=1&h=2"]
    again = bring(path, "--fetch-pictures", "--apply")
    assert (again["fetched"], again["written"], len(host.asked)) == (0, 0, 3)
    assert [one.name for one in folder.iterdir() if one.name.startswith(".")] == []


def test_what_is_no_picture_too_large_gone_or_private_stays_a_link_with_a_line_each(
    folder: Path, host: PictureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_fetch, "MAX_IMPORTED_PICTURE_BYTES", 80_000)
    host.answers["/moved.png"] = (302, {"Location": f"http://localhost:{host.port}/a.png"}, b"")
    host.answers["/to-file.png"] = (302, {"Location": "file:///etc/passwd"}, b"")
    names = ("/page.png", "/large.png", "/gone.png", "/moved.png", "/to-file.png", "/a.png")
    path = write_export(folder, *(f"{host.url}{name}" for name in names), f"http://127.0.0.1:{host.port}/b", "/no-host.png")
    found = bring(path, "--fetch-pictures", "--apply")
    why = dict.fromkeys(["/moved.png"], "localhost is in a private network")
    why |= {"/page.png": "it is no picture", "/large.png": "it is larger than 0 MB", "/gone.png": "the response was 404"}
    why |= {"/to-file.png": "the response was 302"}
    whole = {f"{host.url}{name}": reason for name, reason in why.items()}
    whole[f"http://127.0.0.1:{host.port}/b"] = "127.0.0.1 is in a private network"
    whole["/no-host.png"] = "its address has no host: name the old site with --old-url"
    assert {one["message"] for one in found["remarks"]} == {
        f"The picture {address} was not fetched ({reason}): it stays a link." for address, reason in whole.items()
    }
    assert {one["where"] for one in found["remarks"]} == {"posts/1.first.html"}
    assert (found["fetched"], len(host.asked)) == (1, 6)
    assert all(f"]({address})" in read_issue(folder) for address in whole)


def test_posts_that_are_here_already_get_their_pictures_unless_they_ask_to_be_sent(folder: Path, host: PictureHost) -> None:
    path = write_export(folder, f"{host.url}/a.png")
    assert bring(path, "--apply")["remarks"][-1]["message"] == "1 picture not in the archive, linked from pictures.example."
    issue = folder / "content/issues/2024-01-05-first.md"
    mine = read_issue(folder).replace("Text.", f"My own words, and ![mine]({host.url}/b).")
    issue.write_text(mine.replace("Send: no", "Send: yes"), "utf-8")
    assert bring(path, "--fetch-pictures", "--apply")["elsewhere"] == []
    issue.write_text(mine, "utf-8")
    found = bring(path, "--fetch-pictures", "--apply")
    assert (found["written"], found["fetched"], host.asked) == (1, 1, ["/a.png"])
    assert f"![mine]({host.url}/b).\n\n![A]({{static}}/images/fetched/" in read_issue(folder)


def test_a_picture_without_a_host_is_fetched_from_the_old_site(folder: Path, host: PictureHost) -> None:
    path = write_export(folder, "/a.png")
    assert bring(path, "--fetch-pictures", "--old-url", host.url, "--apply")["fetched"] == 1
    assert "![A]({static}/images/fetched/" in read_issue(folder)


def test_limits_of_number_bytes_time_and_silence_are_named(
    folder: Path, host: PictureHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(picture_fetch, "_MAX_FETCHES_AT_ONCE", 1)
    urls = [f"{host.url}/{name}" for name in ("a.png", "b", "same.png?w=1&h=2")]
    for name, value, reason in (
        ("MAX_FETCHED_PICTURES", 2, "there are too many: import again for the rest"),
        ("MAX_FETCHED_BYTES", 10, "there are too many: import again for the rest"),
        ("MAX_FETCH_SECONDS", -1.0, "time is up: import again for the rest"),
    ):
        with monkeypatch.context() as limited:
            limited.setattr(picture_fetch, name, value)
            wanted = [picture_fetch.WantedPicture(url, url, "here") for url in urls]
            fetched = picture_fetch.fetch_pictures(wanted, folder)
            assert fetched.failures[urls[-1]] == reason
    silent = [f"http://silent.example:1/{number}.png" for number in range(5)]
    wanted = [picture_fetch.WantedPicture(url, url, "here") for url in silent]
    assert list(picture_fetch.fetch_pictures(wanted, folder).failures.values()) == [
        *["no response, ConnectionRefusedError"] * 3, *["its host does not respond"] * 2,
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "AVIF"])
def test_a_picture_is_known_by_its_content(kind: str) -> None:
    assert sniff_picture(draw(kind))[0] == {"JPEG": ".jpg"}.get(kind, f".{kind.lower()}")


@pytest.mark.parametrize("data", [b"", b"GIF89a", b"%PDF-1.7", b"<html></html>", b"<svg", draw("TIFF"), draw()[:-20]])
def test_what_only_looks_like_a_picture_is_none(data: bytes) -> None:
    assert sniff_picture(data)[0] == ""


def test_an_svg_comes_along_without_what_could_run() -> None:
    suffix, data = sniff_picture(
        b'<svg xmlns="http://www.w3.org/2000/svg" onload="x()"><script>y()</script><path d="M0 0"/></svg>'
    )
    assert suffix == ".svg"
    assert b"path" in data
    assert b"x()" not in data
    assert b"y()" not in data
