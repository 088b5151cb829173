"""Emails written through the API land in git: on branches of a real bare repository, and of a stand-in for GitHub."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from mailer.flows.operations import api_keys
from mailer.flows.publishing import drafts
from mailer.forges.bare_repository import BareRepository
from mailer.forges.base import BranchChange
from tests import web
from tests.fakes.github import NAME, TOKEN, FakeGitHub
from tests.integration.api.test_contract import call
from tests.web import Web

DRAFT = {"subject": "Hello: a first one", "body": "Some *text*.\n", "status": "draft", "description": "What it is about"}


def git(folder: Path, *words: str) -> str:
    """What git prints."""
    author = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org")
    return subprocess.run(
        ["git", "-C", str(folder), *author, *words], check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A bare repository with one commit on its published branch."""
    work, bare = tmp_path / "work", tmp_path / "letter.git"
    git(tmp_path, "init", "-q", "-b", "main", str(work))
    (work / "content" / "issues").mkdir(parents=True)
    (work / "content" / "issues" / "old.md").write_text("Title: Old\nDate: 2020-01-01\n\nOld.\n")
    git(work, "add", ".")
    git(work, "commit", "-qm", "first")
    git(tmp_path, "clone", "-q", "--bare", str(work), str(bare))
    return bare


@pytest.fixture
def newsletter(database: Database, tmp_path: Path, repository: Path) -> Web:
    return web.make(tmp_path, database, repository=str(repository))


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as fake:
        yield fake


@pytest.fixture
def at_github(database: Database, tmp_path: Path, github: FakeGitHub) -> TestClient:
    """A client of a newsletter whose repository is at GitHub."""
    address = f"https://github.com/{NAME}"
    made = web.make(tmp_path, database, repository=address, repository_token=TOKEN, repository_api=github.url)
    return made.holder()


def branches(repository: Path) -> list[str]:
    return git(repository, "for-each-ref", "--format=%(refname:short)", "refs/heads/postmerge").split()


def shown(repository: Path, email: dict[str, Any]) -> str:
    return git(repository, "show", f"{email['metadata']['branch']}:{email['metadata']['path']}")


def test_a_draft_is_a_file_on_a_branch_and_nothing_is_sent(newsletter: Web, api: TestClient, repository: Path) -> None:
    made = call(api, "POST", "/emails", json=DRAFT).json()
    place = made["metadata"]
    assert (made["status"], made["subject"], made["body"], place["state"]) == (
        "draft",
        DRAFT["subject"],
        DRAFT["body"],
        "pushed",
    )
    assert branches(repository) == [place["branch"]]
    text = shown(repository, made)
    assert text.startswith("Title: Hello: a first one\nDate: ")
    assert text.endswith("Summary: What it is about\nSend: yes\nStatus: draft\n\nSome *text*.")
    assert git(repository, "diff", "--name-only", "main", place["branch"]) == place["path"]
    assert git(repository, "log", "-1", "--format=%s %ae", place["branch"]) == "Hello: a first one letter@example.org"
    one = f"/emails/{made['id']}"
    assert call(api, "GET", one, "/emails/{}").json() == made
    assert call(api, "GET", "/emails?status=draft").json()["results"] == [made]
    assert newsletter.client.get("/v1/public/emails/the-letter").json()["count"] == 0
    assert (newsletter.counted("sends"), newsletter.counted("issues")) == (0, 0)


def test_a_draft_is_changed_readied_and_deleted(api: TestClient, repository: Path) -> None:
    made = call(api, "POST", "/emails", json=DRAFT).json()
    one = f"/emails/{made['id']}"
    changed = call(api, "PATCH", one, "/emails/{}", json={"body": "New.", "status": "about_to_send"}).json()
    assert (changed["id"], changed["status"], changed["body"]) == (made["id"], "draft", "New.")
    assert shown(repository, changed).endswith("Send: yes\n\nNew.")
    later = {"status": "scheduled", "publish_date": "2027-01-02T03:04:05+00:00"}
    call(api, "PATCH", one, "/emails/{}", json=later)
    assert "\nSend: 2027-01-02T03:04:05+00:00\n" in shown(repository, changed)
    assert git(repository, "rev-list", "--count", f"main..{changed['metadata']['branch']}") == "3"
    assert call(api, "DELETE", one, "/emails/{}").status_code == 204
    assert branches(repository) == []
    assert call(api, "GET", one, "/emails/{}").status_code == 404


def test_what_a_client_sends_back_as_it_was_is_not_named_as_ignored(api: TestClient) -> None:
    made = call(api, "POST", "/emails", json=DRAFT).json()
    back = {name: made[name] for name in ("canonical_url", "commenting_mode", "featured", "related_email_ids")}
    assert back["canonical_url"]
    one = f"/emails/{made['id']}"
    assert call(api, "PATCH", one, "/emails/{}", json={**back, "body": "New."}).json()["metadata"]["ignored"] == []
    changed = call(api, "PATCH", one, "/emails/{}", json={"canonical_url": "https://example.org/x"}).json()
    assert changed["metadata"]["ignored"] == ["canonical_url"]


def test_an_audience_and_paid_text_stay_what_they_are(api: TestClient, repository: Path) -> None:
    one = {"field": "subscriber.tags", "operator": "contains", "value": "vip"}
    filters = {"filters": [one], "groups": [], "predicate": "and"}
    made = api.post("/v1/emails", json={**DRAFT, "filters": filters, "email_type": "premium"}).json()
    assert '\nAudience: "vip"\nAccess: premium\n' in shown(repository, made)
    for wrong in ({"email_type": "private"}, {"archival_mode": "disabled"}, {"status": "sent"}, {"status": "scheduled"}):
        assert call(api, "POST", "/emails", json={**DRAFT, **wrong}).status_code == 400, wrong
    assert api.post("/v1/emails", json={**DRAFT, "body": "---\nSend: yes\n---\n"}).json()["code"] == "body_contains_frontmatter"
    assert len(branches(repository)) == 1


def test_no_field_begins_another_one(api: TestClient, repository: Path) -> None:
    made = api.post(
        "/v1/emails", json={**DRAFT, "subject": "A\nSend: no\r\nStatus: x", "description": "b\n\nAudience: all"}
    ).json()
    assert shown(repository, made).split("\n\n")[0].splitlines()[0] == "Title: A Send: no Status: x"
    assert "Summary: b Audience: all" in shown(repository, made)


SKIPPING = {**DRAFT, "subject": "[skip ci] ***NO_CI***\n\n\nskip-checks: true"}


def test_a_title_that_would_switch_pipelines_off_does_not(api: TestClient, repository: Path) -> None:
    made = call(api, "POST", "/emails", json=SKIPPING).json()
    assert shown(repository, made).startswith("Title: [skip ci] ***NO_CI*** skip-checks: true\n")
    assert git(repository, "log", "-1", "--format=%B", made["metadata"]["branch"]) == "skip ci NO CI skip checks: true"


def test_a_title_that_would_switch_pipelines_off_does_not_at_github_either(at_github: TestClient, github: FakeGitHub) -> None:
    call(at_github, "POST", "/emails", json=SKIPPING)
    assert {*github.messages, *(pull["title"] for pull in github.pulls.values())} == {"skip ci NO CI skip checks: true"}


@pytest.mark.parametrize("title", ["🎉", "...", "../../etc/passwd", "-", "a" * 2000, "Ünïcode 中文", ".lock", "a..b", "x.lock"])
def test_a_title_that_makes_no_file_name_is_pushed_too(api: TestClient, repository: Path, title: str) -> None:
    made = [call(api, "POST", "/emails", json={**DRAFT, "subject": title}).json() for _ in range(2)]
    assert [one["metadata"]["state"] for one in made] == ["pushed", "pushed"], made
    assert len(branches(repository)) == 2
    for one in made:
        assert one["metadata"]["path"].startswith("content/issues/20")
        assert shown(repository, one)


def test_drafts_of_one_name_at_once_are_all_kept(newsletter: Web, repository: Path) -> None:
    key = api_keys.create_key(newsletter.database, "many", per_minute=0)
    with web.served(newsletter.app()) as address, ThreadPoolExecutor(8) as pool:
        headers = {"Authorization": f"Token {key}"}

        def write(number: int) -> Any:
            body = {**DRAFT, "body": f"Number {number}."}
            return httpx.post(f"{address}/v1/emails", json=body, headers=headers, timeout=60).json()

        made = list(pool.map(write, range(8)))
    assert {one["metadata"]["state"] for one in made} == {"pushed"}
    assert len({one["id"] for one in made}) == len(branches(repository)) == 8
    assert {shown(repository, one).rpartition("\n")[2] for one in made} == {f"Number {n}." for n in range(8)}


def test_changes_at_once_are_all_in_the_branch(newsletter: Web, repository: Path) -> None:
    key = api_keys.create_key(newsletter.database, "many", per_minute=0)
    made = newsletter.holder().post("/v1/emails", json=DRAFT).json()
    with web.served(newsletter.app()) as address, ThreadPoolExecutor(4) as pool:
        url, headers = f"{address}/v1/emails/{made['id']}", {"Authorization": f"Token {key}"}
        changes: list[dict[str, str]] = [{"subject": "S"}, {"body": "B"}, {"description": "D"}, {"status": "about_to_send"}]
        answers = list(pool.map(lambda one: httpx.patch(url, json=one, headers=headers, timeout=60), changes))
        last = httpx.get(url, headers=headers).json()
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert last["metadata"]["state"] == "pushed", last["metadata"]
    assert f"Title: {last['subject']}\n" in shown(repository, last)
    assert shown(repository, last).endswith(last["body"].strip())


def test_a_slug_is_kept_and_a_taken_one_refused(api: TestClient, repository: Path) -> None:
    made = call(api, "POST", "/emails", json={**DRAFT, "slug": "my-slug"}).json()
    assert made["slug"] == "my-slug"
    assert "\nSlug: my-slug\n" in shown(repository, made)
    again = call(api, "POST", "/emails", json={**DRAFT, "slug": "my-slug"})
    assert (again.status_code, again.json()["code"]) == (400, "slug_invalid")
    assert call(api, "PATCH", f"/emails/{made['id']}", "/emails/{}", json={"slug": "my-slug", "body": "x"}).status_code == 200
    assert call(api, "PATCH", f"/emails/{made['id']}", "/emails/{}", json={"slug": "other"}).json()["code"] == "slug_invalid"


def test_a_branch_of_somebody_else_is_left_alone(api: TestClient, repository: Path) -> None:
    git(repository, "branch", "postmerge/my-slug", "main")
    made = api.post("/v1/emails", json={**DRAFT, "slug": "my-slug"}).json()
    assert (made["metadata"]["branch"], made["metadata"]["state"]) == ("postmerge/my-slug-2", "pushed")
    assert git(repository, "rev-parse", "postmerge/my-slug") == git(repository, "rev-parse", "main")


def test_a_branch_that_a_person_changed_is_not_overwritten(api: TestClient, repository: Path, tmp_path: Path) -> None:
    made = api.post("/v1/emails", json=DRAFT).json()
    branch, copy = made["metadata"]["branch"], tmp_path / "copy"
    git(tmp_path, "clone", "-q", "-b", branch, str(repository), str(copy))
    (copy / made["metadata"]["path"]).write_text("Title: By hand\n\nBy hand.\n")
    git(copy, "commit", "-qam", "by hand")
    git(copy, "push", "-q", "origin", branch)
    changed = call(api, "PATCH", f"/emails/{made['id']}", "/emails/{}", json={"body": "By program."}).json()
    assert (changed["metadata"]["state"], changed["body"]) == ("not pushed", "By program.")
    assert "was changed in git meanwhile" in changed["metadata"]["reason"]
    assert shown(repository, made).endswith("By hand.")
    refused = call(api, "DELETE", f"/emails/{made['id']}", "/emails/{}")
    assert refused.status_code == 409
    assert branches(repository) == [branch]


def test_a_merged_draft_is_edited_in_git(api: TestClient, repository: Path) -> None:
    made = api.post("/v1/emails", json=DRAFT).json()
    git(repository, "update-ref", "refs/heads/main", made["metadata"]["branch"])
    changed = api.patch(f"/v1/emails/{made['id']}", json={"body": "x"}).json()
    assert "was merged or deleted in git" in changed["metadata"]["reason"]


def test_a_refused_push_keeps_the_draft_and_says_why(api: TestClient, repository: Path) -> None:
    hook = repository / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'drafts are frozen until Monday' >&2\nexit 1\n")
    hook.chmod(0o755)
    made = call(api, "POST", "/emails", json=DRAFT).json()
    assert (made["status"], made["metadata"]["state"]) == ("draft", "not pushed")
    assert "drafts are frozen until Monday" in made["metadata"]["reason"]
    assert api.get(f"/v1/emails/{made['id']}").json()["body"] == DRAFT["body"]
    hook.unlink()
    changed = api.patch(f"/v1/emails/{made['id']}", json={}).json()
    assert changed["metadata"]["state"] == "pushed"
    assert shown(repository, changed).endswith("Some *text*.")


def test_without_a_repository_the_ready_file_is_in_the_refusal_whatever_the_key(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    said = set()
    for scope in ("read", "subscribers", "publish", "admin"):
        key = {"Authorization": f"Token {api_keys.create_key(database, scope, scope)}"}
        answer = newsletter.client.post("/v1/emails", json=DRAFT, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (403, "held_in_git")
        assert answer.json()["metadata"]["path"].endswith("-hello-a-first-one.md")
        assert answer.json()["metadata"]["file"].startswith("Title: Hello: a first one\n")
        said.add(answer.json()["detail"])
        for method, path in (("PATCH", "/v1/emails/x"), ("DELETE", "/v1/emails/x"), ("POST", "/v1/emails")):
            said.add(newsletter.client.request(method, path, headers=key).json()["detail"])
    assert len(said) == 1
    assert newsletter.counted("drafts") == 0


@pytest.mark.parametrize("scope", ["read", "subscribers", "publish"])
def test_only_an_admin_key_writes_drafts(newsletter: Web, repository: Path, scope: str) -> None:
    key = {"Authorization": f"Token {api_keys.create_key(newsletter.database, scope, scope)}"}
    answer = newsletter.client.post("/v1/emails", json=DRAFT, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert branches(repository) == []


def test_at_github_a_draft_is_a_branch_with_a_pull_request(at_github: TestClient, github: FakeGitHub) -> None:
    made = call(at_github, "POST", "/emails", json=DRAFT).json()
    place = made["metadata"]
    assert (place["state"], place["pull_request"]) == ("pushed", f"https://github.com/{NAME}/pull/1")
    assert github.files[github.heads[place["branch"]]][place["path"]].endswith(b"Some *text*.\n")
    assert (github.pulls[1]["head"], github.pulls[1]["base"]) == (place["branch"], "main")
    call(at_github, "PATCH", f"/emails/{made['id']}", "/emails/{}", json={"body": "New."})
    assert github.files[github.heads[place["branch"]]][place["path"]].endswith(b"\n\nNew.\n")
    assert call(at_github, "DELETE", f"/emails/{made['id']}", "/emails/{}").status_code == 204
    assert (github.pulls[1]["state"], list(github.heads)) == ("closed", ["main"])


def test_a_pull_request_closed_by_hand_is_named(at_github: TestClient, github: FakeGitHub) -> None:
    made = at_github.post("/v1/emails", json=DRAFT).json()
    github.pulls[1]["state"] = "closed"
    changed = at_github.patch(f"/v1/emails/{made['id']}", json={"body": "New."}).json()
    assert "/pull/1 was closed: reopen it, or delete the draft" in changed["metadata"]["reason"]
    github.pulls[1]["state"] = "open"
    assert at_github.patch(f"/v1/emails/{made['id']}", json={}).json()["metadata"]["state"] == "pushed"


@pytest.mark.parametrize(
    ("rights", "status", "words", "pushed"),
    [
        (set(), 0, "refused the token (403): give POSTMERGE_REPOSITORY_TOKEN", False),
        ({"contents"}, 0, "is pushed, without a pull request: GitHub refused the token", True),
        ({"contents", "pull_requests"}, 502, "GitHub answered with 502", False),
        ({"contents", "pull_requests"}, 404, "refused the token (404)", False),
    ],
)
def test_what_github_refuses_is_kept_with_the_reason_and_pushed_later(
    at_github: TestClient, github: FakeGitHub, rights: set[str], status: int, words: str, pushed: bool
) -> None:
    github.rights, github.status = rights, status
    made = call(at_github, "POST", "/emails", json=DRAFT).json()
    assert words in made["metadata"]["reason"]
    assert (made["metadata"]["branch"] in github.heads) is pushed
    github.rights, github.status = {"contents", "pull_requests"}, 0
    again = at_github.patch(f"/v1/emails/{made['id']}", json={"body": "New."}).json()["metadata"]
    assert (again["state"], again["pull_request"][-7:]) == ("pushed", "/pull/1")


def test_a_branch_at_github_that_a_person_changed_is_not_overwritten(at_github: TestClient, github: FakeGitHub) -> None:
    made = at_github.post("/v1/emails", json=DRAFT).json()["metadata"]
    mine = github.commit(made["branch"], made["path"], b"By hand.\n")
    [email] = at_github.get("/v1/emails?status=draft").json()["results"]
    changed = at_github.patch(f"/v1/emails/{email['id']}", json={"body": "New."}).json()
    assert "was changed in git meanwhile" in changed["metadata"]["reason"]
    assert github.heads[made["branch"]] == mine


PNG = b"\x89PNG\r\n\x1a\n" + b"picture" * 10


def upload(api: TestClient, name: str = "My chart.PNG", content: bytes = PNG, **more: Any) -> Any:
    return call(api, "POST", "/images", files={"image": (name, content, "image/png")}, data=more)


def test_an_uploaded_image_is_on_the_branch_of_the_draft_that_shows_it(api: TestClient, repository: Path) -> None:
    made = upload(api, metadata='{"alt": "A chart"}').json()
    name = made["image"].rpartition("/")[2]
    assert (name.startswith("my-chart-"), name.endswith(".png"), made["metadata"]) == (True, True, {"alt": "A chart"})
    assert upload(api, "other.png").json() == made
    assert call(api, "GET", "/images").json()["results"] == [made]
    assert call(api, "GET", f"/images?ids={made['id']}").json()["count"] == 1
    body = f"![A chart]({made['image']}) and https://other.example/images/x.png"
    draft = api.post("/v1/emails", json={**DRAFT, "body": body, "image": made["image"]}).json()
    assert (draft["body"], draft["image"]) == (body, made["image"])
    branch = draft["metadata"]["branch"]
    assert git(repository, "diff", "--name-only", "main", branch).split() == [
        f"content/images/{name}",
        draft["metadata"]["path"],
    ]
    assert git(repository, "cat-file", "-s", f"{branch}:content/images/{name}") == str(len(PNG))
    text = shown(repository, draft)
    assert f"\nImage: images/{name}\n" in text
    assert text.endswith(f"![A chart](../images/{name}) and https://other.example/images/x.png")
    second = api.post("/v1/emails", json={**DRAFT, "subject": "Without it"}).json()
    assert git(repository, "diff", "--name-only", "main", second["metadata"]["branch"]) == second["metadata"]["path"]


def test_an_image_that_comes_after_the_draft_is_pushed_with_its_change(api: TestClient, repository: Path) -> None:
    draft = api.post("/v1/emails", json=DRAFT).json()
    made = upload(api).json()
    api.patch(f"/v1/emails/{draft['id']}", json={"body": made["image"]})
    assert len(git(repository, "diff", "--name-only", "main", draft["metadata"]["branch"]).split()) == 2
    assert call(api, "DELETE", f"/images/{made['id']}", "/images/{}").status_code == 204
    assert call(api, "GET", "/images").json()["count"] == 0
    changed = api.patch(f"/v1/emails/{draft['id']}", json={"description": "x"}).json()
    assert changed["metadata"]["state"] == "pushed"
    assert len(git(repository, "diff", "--name-only", "main", draft["metadata"]["branch"]).split()) == 2


@pytest.mark.parametrize(
    ("content", "metadata", "status"),
    [
        (b"<svg/>", "{}", 422),
        (b"", "{}", 422),
        (b"#!/bin/sh\n", "{}", 422),
        (PNG, "[1]", 400),
        (PNG, "{", 400),
        (PNG, "[" * 10_000, 400),
        (PNG + b"x" * (10 << 20), "{}", 413),
    ],
)
def test_what_is_no_image_is_refused_and_not_stored(
    newsletter: Web, api: TestClient, content: bytes, metadata: str, status: int
) -> None:
    answer = api.post("/v1/images", files={"image": ("a.png", content, "image/png")}, data={"metadata": metadata})
    assert (answer.status_code, newsletter.counted("draft_images")) == (status, 0), answer.text


@pytest.mark.parametrize("name", ["../../etc/passwd", "🎉.png", "a" * 300, ".png", "a/b\\c.png"])
def test_an_odd_name_becomes_one_below_the_folder_of_images(api: TestClient, repository: Path, name: str) -> None:
    made = upload(api, name).json()
    draft = api.post("/v1/emails", json={**DRAFT, "body": made["image"]}).json()
    images = git(repository, "ls-tree", "--name-only", draft["metadata"]["branch"], "content/images/").split()
    assert [one.rpartition("/")[2] for one in images] == [made["image"].rpartition("/")[2]]


def test_without_a_repository_images_are_refused_whatever_the_key(database: Database, tmp_path: Path) -> None:
    newsletter = web.make(tmp_path, database)
    for scope in ("read", "publish", "admin"):
        key = {"Authorization": f"Token {api_keys.create_key(database, scope, scope)}"}
        answer = newsletter.client.post("/v1/images", files={"image": ("a.png", PNG)}, headers=key)
        assert (answer.status_code, answer.json()["code"]) == (403, "held_in_git")
        assert newsletter.client.delete("/v1/images/x", headers=key).json()["code"] == "held_in_git"


def test_at_github_images_are_committed_before_the_issue_and_a_part_is_finished_later(
    at_github: TestClient, github: FakeGitHub
) -> None:
    made = upload(at_github).json()
    github.refused = {"PUT /contents/content/issues"}
    draft = at_github.post("/v1/emails", json={**DRAFT, "body": made["image"]}).json()
    assert (draft["metadata"]["state"], draft["body"]) == ("not pushed", made["image"])
    github.refused = set()
    changed = at_github.patch(f"/v1/emails/{draft['id']}", json={}).json()["metadata"]
    assert (changed["state"], changed["pull_request"][-7:]) == ("pushed", "/pull/1")
    files = github.files[github.heads[changed["branch"]]]
    assert files[f"content/images/{made['image'].rpartition('/')[2]}"] == PNG
    assert b"](" not in files[changed["path"]]


def test_no_transaction_is_open_while_a_draft_is_pushed(
    newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    push = BareRepository.push

    def watch(forge: BareRepository, change: BranchChange) -> Any:
        with newsletter.database.transaction() as tx:
            seen.append(
                tx.value(
                    """
                    SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND pid <> pg_backend_pid() AND state LIKE 'idle in transaction%%'
                    """
                )
            )
        return push(forge, change)

    monkeypatch.setattr(BareRepository, "push", watch)
    made = api.post("/v1/emails", json=DRAFT)
    one = f"/v1/emails/{made.json()['id']}"
    tag = api.get(one).headers["ETag"]
    assert api.patch(one, json={"body": "New."}, headers={"If-Match": tag}).status_code == 200
    assert api.patch(one, json={"body": "Old."}, headers={"If-Match": tag}).status_code == 412
    assert seen == [0, 0]
    assert newsletter.counted("resource_claims") == 0


def test_a_draft_that_another_request_pushes_is_left_alone_until_its_claim_ends(
    newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drafts, "_MAX_CLAIM_WAIT_SECONDS", 0.0)
    made = api.post("/v1/emails", json=DRAFT).json()
    one = f"/emails/{made['id']}"
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE drafts SET claimed_until = now() + interval '1 hour'")
    for method in ("PATCH", "DELETE"):
        answer = call(api, method, one, "/emails/{}", **({"json": {"body": "New."}} if method == "PATCH" else {}))
        assert (answer.status_code, "try again in a minute" in answer.text) == (409, True)
    assert api.get(f"/v1{one}").json() == made
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE drafts SET claimed_until = now() - interval '1 second'")  # its process was killed
    assert api.patch(f"/v1{one}", json={"body": "New."}).json()["metadata"]["state"] == "pushed"
