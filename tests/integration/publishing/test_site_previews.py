"""The preview of a branch's site: shown to who has the link, harmless to our own pages, and gone when its time is over."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from fastapi.testclient import TestClient

from mailer.commands.publishing import remote_publish
from mailer.commands.publishing.site_preview import describe_left_out
from mailer.core.db import Database
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.editions.site.preview_files import collect_preview
from mailer.exchange import site_preview
from mailer.exchange.site_preview import MAX_PREVIEW_FILES, pack_preview
from mailer.flows.operations import api_keys
from mailer.flows.operations.table_pruning import TablePruning
from mailer.flows.publishing import site_previews
from mailer.flows.publishing.site_previews import MAX_PREVIEWS_PER_MINUTE
from tests import factories, web
from tests.integration.api.test_open_routes import FREE, SECRET
from tests.integration.api.test_open_routes import edition as paid_edition
from tests.web import Web

LIVE = "https://news.example.org"
PAGE = "site/index.html"


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return web.make(tmp_path, database, site_url=LIVE)


@pytest.fixture
def server(newsletter: Web) -> Iterator[remote_publish.Server]:
    with web.served(newsletter.app()) as url:
        yield remote_publish.Server(url, api_keys.create_key(newsletter.database, "ci", "review"))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A built site with an issue whose paid text is not in it."""
    folder = tmp_path / "branch" / "site"
    issue = urlsplit(paid_edition().url).path.strip("/")
    links = f'<a href="{LIVE}/">Home</a><a href="{LIVE}/{issue}/#top">Issue</a><img src="{LIVE}/images/large.png">'
    head = f'<link rel="stylesheet" href="{LIVE}/theme/a.css"><script src="{LIVE}/theme/a.js"></script>'
    for name, text in {
        "index.html": f"{head}<h1>Front</h1>{links}",
        "404.html": "<h1>Nothing here",
        f"{issue}/index.html": f'{head}<div class="body">{paid_edition().body}</div>{links}',
        "theme/a.css": f"body{{background:url({LIVE}/images/small.png)}}",
        "theme/a.js": "alert(1)",
        "images/small.png": "png",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def upload(server: remote_publish.Server, packed: bytes, branch: str = "draft", reviewer: bool = False) -> dict[str, str]:
    return remote_publish.upload_preview(server, branch, packed, reviewer)


def path_of(url: str) -> str:
    return urlsplit(url).path


def archive(*entries: tarfile.TarInfo, data: bytes = b"x") -> bytes:
    """A packed archive of these entries."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for entry in entries:
            entry.size = len(data) if entry.isreg() else 0
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type = kind
    return made


def test_a_branchs_site_is_shown_with_links_that_stay_in_it(newsletter: Web, server: remote_publish.Server, site: Path) -> None:
    found = collect_preview(site, LIVE, [paid_edition()])
    url = path_of(upload(server, pack_preview(found.files))["url"])
    front = newsletter.client.get(url)
    assert front.status_code == 200
    assert "<h1>Front</h1>" in front.text
    assert f'src="{LIVE}/images/large.png"' in front.text, "what is not in the preview comes from the live site"
    issue = urlsplit(paid_edition().url).path.strip("/")
    assert f'<a href="./">Home</a><a href="{issue}/#top">' in front.text
    assert 'href="theme/a.css"' in front.text
    assert "url(../images/small.png)" in newsletter.client.get(f"{url}theme/a.css").text
    deep = newsletter.client.get(f"{url}{issue}/").text
    assert f'href="{"../" * (issue.count("/") + 1)}"' in deep
    assert newsletter.client.get(f"{url}{issue}").headers["location"] == f"./{issue.rpartition('/')[2]}/"
    assert newsletter.client.get(url.rstrip("/")).headers["location"].endswith("/")
    missing = newsletter.client.get(f"{url}nowhere/")
    assert (missing.status_code, missing.text) == (404, "<h1>Nothing here")
    assert newsletter.client.get(f"{url}theme/a.js").status_code == 404


def test_nothing_in_it_runs_is_kept_or_found(newsletter: Web, server: remote_publish.Server, site: Path) -> None:
    url = path_of(upload(server, pack_preview(collect_preview(site, LIVE, []).files))["url"])
    for path in (url, f"{url}theme/a.css", f"{url}nowhere", url.rstrip("/")):
        headers = newsletter.client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("sandbox; default-src 'none'; ")
        assert "allow-" not in policy
        assert "script-src" not in policy
        assert "form-action 'none'" in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-robots-tag"] == "noindex, nofollow"
        assert headers["referrer-policy"] == "no-referrer"


def test_paid_text_is_shown_at_the_reviewers_address_alone(newsletter: Web, server: remote_publish.Server, site: Path) -> None:
    packed = pack_preview(collect_preview(site, LIVE, [paid_edition()]).files)
    assert upload(server, packed)["reviewer_url"] is None
    done = upload(server, packed, reviewer=True)
    issue = urlsplit(paid_edition().url).path.strip("/")
    public = newsletter.client.get(f"{path_of(done['url'])}{issue}/").text
    assert FREE in public
    assert SECRET not in public
    paid = path_of(done["reviewer_url"])
    assert SECRET in newsletter.client.get(f"{paid}{issue}/").text
    assert "<h1>Front</h1>" in newsletter.client.get(paid).text
    preview_id = path_of(done["url"]).split("/")[2]
    other = path_of(upload(server, packed, "other", reviewer=True)["reviewer_url"]).split("/")[2].partition(".")[2]
    for token in ("x", other, f"{other}.x"):
        assert newsletter.client.get(f"/previews/{preview_id}.{token}/{issue}/").status_code == 404
    for path in ("paid", "../paid", "%2e%2e/paid", "..%2fpaid", f"site/../../{preview_id}/paid"):
        assert SECRET not in newsletter.client.get(f"{path_of(done['url'])}{path}/{issue}/index.html").text


def test_a_push_replaces_the_preview_at_its_address_and_a_merge_removes_it(
    newsletter: Web, server: remote_publish.Server
) -> None:
    first = upload(server, pack_preview({PAGE: b"one", "site/old.html": b"old"}))
    second = upload(server, pack_preview({PAGE: b"two"}))
    url = path_of(second["url"])
    assert first["url"] == second["url"]
    assert newsletter.client.get(url).text == "two"
    assert newsletter.client.get(f"{url}old.html").status_code == 404
    other = path_of(upload(server, pack_preview({PAGE: b"other"}), "other")["url"])
    for _ in range(2):
        remote_publish.remove_preview(server, "draft")
    assert newsletter.client.get(url).status_code == 404
    assert newsletter.client.get(other).text == "other"
    assert len([one for one in newsletter.settings.previews_folder.iterdir() if one.is_dir()]) == 1


def test_it_is_gone_after_two_weeks_even_before_it_is_deleted(newsletter: Web, server: remote_publish.Server) -> None:
    done = upload(server, pack_preview({PAGE: b"one"}))
    url, [facts] = path_of(done["url"]), list(newsletter.settings.previews_folder.glob("*/preview.json"))
    assert timedelta(days=13) < datetime.fromisoformat(done["expires_at"]) - datetime.now(UTC) <= site_previews.KEPT_FOR
    assert site_previews.delete_old_previews(newsletter.settings) == 0
    facts.write_text(json.dumps({"expires_at": datetime.now(UTC).isoformat()}))
    assert newsletter.client.get(url).status_code == 404
    TablePruning(newsletter.database, newsletter.settings).run_due()
    assert not facts.parent.exists()


def test_the_oldest_of_too_many_goes(newsletter: Web, server: remote_publish.Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(site_previews, "MAX_PREVIEWS", 2)
    urls = [path_of(upload(server, pack_preview({PAGE: b"x"}), branch)["url"]) for branch in ("a", "b", "c")]
    assert [newsletter.client.get(url).status_code for url in urls] == [404, 200, 200]


def test_ten_pushes_in_a_minute_are_enough(server: remote_publish.Server) -> None:
    for _ in range(MAX_PREVIEWS_PER_MINUTE):
        upload(server, pack_preview({PAGE: b"x"}))
    with pytest.raises(Unavailable, match=r"^10 previews were uploaded within a minute: try again in a minute\.$"):
        upload(server, pack_preview({PAGE: b"y"}), "other")


BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "no archive": (lambda: b"hello", "This is no preview, or a part of one"),
    "cut off": (lambda: pack_preview({PAGE: bytes(range(256)) * 99})[:-400], "This is no preview, or a part of one"),
    "up": (lambda: archive(entry("site/../../index.html")), "leads out of the site"),
    "absolute": (lambda: archive(entry("/site/index.html")), "leads out of the site"),
    "beside": (lambda: archive(entry("other/index.html")), "leads out of the site"),
    "backslash": (lambda: archive(entry("site/..\\index.html")), "leads out of the site"),
    "long": (lambda: archive(entry(f"site/{'x' * 300}.html")), "leads out of the site, or is too long"),
    "symlink": (lambda: archive(entry("site/a.html", tarfile.SYMTYPE)), "is no plain file"),
    "hard link": (lambda: archive(entry("site/a.html", tarfile.LNKTYPE)), "is no plain file"),
    "device": (lambda: archive(entry("site/a.html", tarfile.CHRTYPE)), "is no plain file"),
    "script": (
        lambda: archive(entry("site/evil.js")),
        r"is of a kind that is not shown \(\.js\): scripts, for example, are not",
    ),
    "facts": (lambda: archive(entry("preview.json")), "leads out of the site"),
    "twice": (lambda: archive(entry(PAGE), entry(PAGE)), "is twice in the preview"),
    "file and folder": (lambda: archive(entry("site/a.html"), entry("site/a.html/b.html")), "is twice in the preview"),
    "folder and file": (lambda: archive(entry("site/a.html/b.html"), entry("site/a.html")), "is twice in the preview"),
    "many files": (
        lambda: archive(*(entry(f"site/{number}.html") for number in range(MAX_PREVIEW_FILES + 1))),
        "The preview is too large",
    ),
    "bomb": (
        lambda: archive(entry(PAGE), data=bytes(site_preview.MAX_UNPACKED_PREVIEW_BYTES)),
        "The preview is too large",
    ),
    "nothing": (lambda: archive(), "This is no preview, or a part of one"),
    "bomb in a header": (
        lambda: gzip.compress(_pax_header(1 << 33) + bytes(site_preview.MAX_UNPACKED_PREVIEW_BYTES), 1),
        "The preview is too large",
    ),
}


def _pax_header(size: int) -> bytes:
    """The header of a entry whose name claims to be so many bytes long."""
    made = tarfile.TarInfo("././@PaxHeader")
    made.type, made.size = tarfile.XHDTYPE, size
    return made.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_preview_is_one_sentence_and_the_last_one_stays_as_it_was(
    newsletter: Web, server: remote_publish.Server, kind: str
) -> None:
    make, said = BAD[kind]
    url = path_of(upload(server, pack_preview({PAGE: b"good"}))["url"])
    with pytest.raises(BadInput, match=said) as refusal:
        upload(server, make())
    assert "\n" not in str(refusal.value)
    assert newsletter.client.get(url).text == "good"
    assert [one.name for one in newsletter.settings.previews_folder.iterdir() if one.name.startswith(".new")] == []


def test_keys_that_review_or_publish_may_upload_and_no_other(newsletter: Web, server: remote_publish.Server) -> None:
    for scope, status in {"review": 200, "publish": 200, "admin": 200, "read": 403, "subscribers": 403}.items():
        client = TestClient(newsletter.app())
        client.headers["Authorization"] = f"Token {api_keys.create_key(newsletter.database, scope, scope)}"
        assert client.post("/v1/previews?branch=a", content=pack_preview({PAGE: b"x"})).status_code == status
        assert client.delete("/v1/previews?branch=a").status_code == (204 if status == 200 else 403)
    order, _ = remote_publish.hand_over(server, [factories.edition()], "", (), None)
    with pytest.raises(Refused, match="A key with the scope review cannot do this: use one with publish or admin"):
        remote_publish.publish(server, order, [])


@pytest.mark.parametrize("branch", ["", " ", "x" * 300])
def test_a_branch_has_a_name(server: remote_publish.Server, branch: str) -> None:
    with pytest.raises(BadInput):
        upload(server, pack_preview({PAGE: b"x"}), branch)


def test_a_host_of_their_own_shows_previews_and_nothing_else(newsletter: Web, server: remote_publish.Server) -> None:
    upload(server, pack_preview({PAGE: b"x"}))
    newsletter.settings = replace(newsletter.settings, preview_url="https://preview.example.net")
    client = TestClient(newsletter.app(), base_url="http://127.0.0.1", follow_redirects=False)
    made = site_previews.store_preview(newsletter.settings, "draft", pack_preview({PAGE: b"x"}))
    assert made.url.startswith("https://preview.example.net/previews/")
    own = {"Host": "preview.example.net"}
    assert client.get(path_of(made.url), headers=own).text == "x"
    assert client.get(path_of(made.url)).status_code == 404
    for path in ("/", "/subscribe", "/v1/ping", "/health/live", "/docs"):
        assert client.get(path, headers=own).status_code == 404
        assert client.get(path, headers={"Host": "stranger.example"}).status_code == (200 if "health" in path else 421)


def test_a_folder_that_cannot_be_written_is_one_sentence(newsletter: Web) -> None:
    newsletter.settings.build.mkdir(parents=True)
    newsletter.settings.previews_folder.write_text("in the way")
    with pytest.raises(Unavailable, match=r"^The server cannot write previews \(.+\): make the folder `previews` below"):
        site_previews.store_preview(newsletter.settings, "draft", pack_preview({PAGE: b"x"}))


@pytest.mark.parametrize("path", ["%00", "x" * 3000, "a/%00/b", "%ff", "..%2f..%2fpreview.json", "%2e%2e/%2e%2e/.lock"])
def test_odd_paths_are_no_pages(newsletter: Web, server: remote_publish.Server, path: str) -> None:
    url = path_of(upload(server, pack_preview({PAGE: b"x"}))["url"])
    assert newsletter.client.get(f"{url}{path}").status_code in (400, 404)


def test_the_largest_files_stay_on_the_live_site(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (site / "images" / "large.png").write_bytes(bytes(70_000))
    monkeypatch.setattr("mailer.editions.site.preview_files.MAX_PREVIEW_BYTES", 60_000)
    found = collect_preview(site, LIVE, [])
    assert found.left_out == ["images/large.png"]
    assert ("site/images/small.png" in found.files, "site/images/large.png" in found.files) == (True, False)
    assert f'src="{LIVE}/images/large.png"' in found.files[PAGE].decode()


def test_pictures_of_the_newest_issue_come_before_older_ones_however_large(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new.png", "old.png", "unused.png"):
        (site / "images" / name).write_bytes(bytes(30_000 if name == "new.png" else 20_000))
    new, old = factories.edition(body=f'<img src="{LIVE}/images/new.png">'), factories.edition()
    old = replace(old, dated=new.dated - timedelta(days=7), body=f'<img src="{LIVE}/images/old.png">')
    monkeypatch.setattr("mailer.editions.site.preview_files.MAX_PREVIEW_BYTES", 60_000)
    found = collect_preview(site, LIVE, [old, new])
    assert found.left_out == ["images/unused.png"]
    assert {"site/images/new.png", "site/images/old.png"} <= set(found.files)


def test_what_a_branch_changed_comes_before_all_else_however_old_and_large(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("new.png", "old.png", "drawn-again.png"):
        (site / "images" / name).write_bytes(bytes(20_000 if name == "new.png" else 25_000))
    new = factories.edition(body=f'<img src="{LIVE}/images/new.png">')
    old = [
        replace(new, key=name, path=f"content/issues/{name}.md", dated=new.dated - timedelta(days=7), body=f'<img src="{url}">')
        for name, url in {"old": f"{LIVE}/images/old.png", "other": f"{LIVE}/images/drawn-again.png"}.items()
    ]
    monkeypatch.setattr("mailer.editions.site.preview_files.MAX_PREVIEW_BYTES", 60_000)
    assert "images/new.png" not in collect_preview(site, LIVE, [new, *old]).left_out
    changed = ["content/issues/old.md", "content/images/drawn-again.png", "content/notes.txt"]
    assert collect_preview(site, LIVE, [new, *old], changed).left_out == ["images/new.png"]


def test_what_is_too_large_for_a_preview_is_named() -> None:
    assert describe_left_out([f"images/{number}.png" for number in range(5)]) == (
        "A preview has at most 32 MB, so these come from the live site, if it has them:"
        " images/0.png, images/1.png, images/2.png and 2 more."
    )
