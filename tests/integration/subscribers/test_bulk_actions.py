"""Bulk actions of any size: done once for each, by whoever is there, also when somebody dies in between."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mailer.core.db import Database
from mailer.flows.operations import bulk_actions
from mailer.flows.subscribers import subscriber_admin
from mailer.workers.actors import WakeUps
from tests import factories, processes
from tests.web import Web

MANY = 1_050
TAG: dict[str, Any] = {"type": "apply_tags", "metadata": {"rule": "python", "tags": ["VIP"]}}


@pytest.fixture
def newsletter(database: Database, tmp_path: Path, redis_url: str) -> Web:
    factories.add_subscribers(database, MANY, ("python",))
    return Web(factories.settings(tmp_path, database.url, redis_url), database)


@pytest.fixture
def api(newsletter: Web) -> TestClient:
    return newsletter.holder()


def tagged(api: TestClient) -> int:
    return int(api.get("/v1/subscribers?tag=vip").json().get("count", 0))  # a tag that nobody has is an error


def test_more_than_a_thousand_are_left_to_a_worker_and_the_answer_says_how_far_it_is(newsletter: Web, api: TestClient) -> None:
    made = api.post("/v1/bulk_actions", json=TAG).json()
    assert (made["status"], made["metadata"]["done"], tagged(api)) == ("not_started", "0", 0)
    assert bulk_actions.work_batch(newsletter.database, newsletter.settings)
    shown = api.get(f"/v1/bulk_actions/{made['id']}").json()
    assert (shown["status"], shown["metadata"]["done"], tagged(api)) == ("in_progress", "200", 200)
    while bulk_actions.work_batch(newsletter.database, newsletter.settings):
        pass
    shown = api.get(f"/v1/bulk_actions/{made['id']}").json()
    assert (shown["status"], shown["metadata"]["done"], tagged(api)) == ("processed", str(MANY), MANY)
    assert not bulk_actions.has_work(newsletter.database)


@pytest.mark.slow
def test_several_at_once_share_the_work_and_none_is_counted_twice(newsletter: Web, api: TestClient) -> None:
    ids = [
        api.post("/v1/bulk_actions", json={**TAG, "metadata": {**TAG["metadata"], "tags": [name]}}).json()["id"]
        for name in "ab"
    ]

    def work() -> None:
        while bulk_actions.work_batch(newsletter.database, newsletter.settings):
            pass

    team = [threading.Thread(target=work) for _ in range(3)]
    for one in team:
        one.start()
    for one in team:
        one.join()
    for one in ids:
        shown = api.get(f"/v1/bulk_actions/{one}").json()
        assert (shown["status"], shown["metadata"]["done"]) == ("processed", str(MANY))


def test_an_action_whose_process_died_in_the_middle_is_finished(
    newsletter: Web, api: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = api.post("/v1/bulk_actions", json=TAG).json()
    whole, calls = subscriber_admin.look_up_subscriber, 0

    class Killed(BaseException):
        pass

    def die(*given: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 120:
            raise Killed
        return whole(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(subscriber_admin, "look_up_subscriber", die)
    with pytest.raises(Killed):
        bulk_actions.work_batch(newsletter.database, newsletter.settings)
    monkeypatch.undo()
    assert tagged(api) == 119
    while bulk_actions.work_batch(newsletter.database, newsletter.settings):
        pass
    shown = api.get(f"/v1/bulk_actions/{made['id']}").json()
    assert (shown["status"], shown["metadata"]["done"], tagged(api)) == ("processed", str(MANY), MANY)


@pytest.mark.slow
def test_a_real_scheduler_and_worker_do_it(newsletter: Web, api: TestClient) -> None:
    made = api.post("/v1/bulk_actions", json=TAG).json()
    with processes.running("scheduler", newsletter.settings, {}), processes.running("worker", newsletter.settings, {}):
        processes.eventually(lambda: tagged(api) == MANY, 120, "all tagged")
        processes.eventually(
            lambda: api.get(f"/v1/bulk_actions/{made['id']}").json()["status"] == "processed", 10, "the action is over"
        )
        wake_ups = WakeUps(newsletter.settings.redis_url)
        processes.eventually(lambda: wake_ups.count_queued("bulk") == 0, 20, "no wake-up for work that is done")


def test_a_rule_that_chooses_nobody_is_refused_and_nothing_is_written(newsletter: Web, api: TestClient) -> None:
    answer = api.post(
        "/v1/bulk_actions", json={"type": "unsubscribe_subscribers", "metadata": {"rule": "domain = nobody.example"}}
    )
    assert (answer.status_code, "matches no subscriber" in answer.json()["detail"]) == (400, True)
    assert not bulk_actions.has_work(newsletter.database)


@pytest.mark.parametrize(
    ("kind", "more", "said"),
    [
        ("apply_tags", {"tags": ["a"], "action": "removed"}, "action"),
        ("apply_tags", {"tags": ["a"], "rule": "everyone"}, "both"),
        ("apply_metadata", {"metadata": {"a": [[[[[[[[1]]]]]]]]}}, "Metadata must be an object"),
    ],
)
def test_what_would_change_nobody_or_the_wrong_way_is_refused_at_once(
    newsletter: Web, api: TestClient, kind: str, more: dict[str, Any], said: str
) -> None:
    answer = api.post("/v1/bulk_actions", json={"type": kind, "metadata": {"ids": ["sub_1"], **more}})
    assert answer.status_code == 400
    assert said in answer.json()["detail"]
    assert newsletter.counted("bulk_actions") == 0


def test_what_many_add_to_one_subscriber_at_once_is_all_there_in_the_end(newsletter: Web, api: TestClient) -> None:
    add = {"X-Buttondown-Collision-Behavior": "add"}
    api.post("/v1/subscribers", json={"email_address": "ada@example.org", "type": "regular"})

    def one(number: int) -> tuple[int, int]:
        name = f"m{number}"
        told = {"email_address": "ada@example.org", "tags": [f"t{number}"], "metadata": {name: 1}}
        action = {"type": "apply_metadata", "metadata": {"ids": ["ada@example.org"], "metadata": {f"b{number}": 1}}}
        first = api.post("/v1/subscribers", json=told, headers=add)
        return first.status_code, api.post("/v1/bulk_actions", json=action).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(16))) == {(201, 201)}
    kept = api.get("/v1/subscribers/ada@example.org").json()
    assert (len(kept["tags"]), len(kept["metadata"])) == (16, 32)
