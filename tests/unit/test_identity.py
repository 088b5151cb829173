from __future__ import annotations

from mailer.flows.identity import renamed, similarity, sketch
from mailer.store.issues import Known
from tests.factories import NOW, PROSE, edition


def known(key: str, body: str, **more: object) -> Known:
    values: dict[str, object] = {"path": key, "title": key, "dated": NOW, "digest": key, "sketch": sketch(body), **more}
    return Known(key=key, **values)  # type: ignore[arg-type]


def test_the_same_text_is_wholly_alike_and_another_text_is_not() -> None:
    assert similarity(sketch(PROSE), sketch(PROSE)) == 1.0
    assert similarity(sketch(PROSE), sketch("something else about quite another matter of the week")) == 0.0


def test_a_small_edit_stays_alike() -> None:
    assert similarity(sketch(PROSE), sketch(PROSE.replace("small group", "little group"))) > 0.5


def test_only_an_issue_gone_from_the_build_can_have_been_renamed() -> None:
    before = known("before", PROSE)
    after = edition("after", body=PROSE)
    assert renamed(after, [before], present={"after"}) == before
    assert renamed(after, [before], present={"after", "before"}) is None


def test_the_best_match_wins() -> None:
    half, whole = known("half", PROSE + " more words of another kind here"), known("whole", PROSE)
    assert renamed(edition("after", body=PROSE), [half, whole], present=set()) == whole
