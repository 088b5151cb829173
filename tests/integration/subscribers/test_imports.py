"""Importing and exporting subscribers on a real Postgres: who is taken, who never is, and that nothing is lost on the way."""

from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from mailer.core.db import Database, Tx
from mailer.core.db import json as as_json
from mailer.core.errors import BadInput
from mailer.core.settings import Settings
from mailer.exchange import own_format
from mailer.flows.subscribers import exports, imports, signup, subscriber_admin
from mailer.flows.subscribers.imports import ImportPlan, ImportRequest
from mailer.flows.subscribers.subscriber_admin import SubscriberChanges
from mailer.store.subscribers import imports as imports_store
from tests import factories, services
from tests.web import Web, make


@pytest.fixture
def newsletter(database: Database, tmp_path: Path) -> Web:
    return make(tmp_path, database)


def run(newsletter: Web, text: str, apply: bool = True, **more: object) -> ImportPlan:
    path = newsletter.settings.build.parent / "list.csv"
    path.write_text(text, encoding="utf-8")
    do = imports.apply_import if apply else imports.plan_import
    return do(newsletter.database, newsletter.settings, ImportRequest(path, **more))  # type: ignore[arg-type]


def exported(database: Database) -> str:
    file = io.BytesIO()
    exports.export_subscribers(database, file)
    return file.getvalue().decode()


def add(newsletter: Web, email: str, state: str = "active") -> None:
    signup.add_subscriber(newsletter.database, newsletter.settings, email, [], confirmed=True)
    with newsletter.database.transaction() as tx:
        if state == "unsubscribed":
            tx.run(
                "UPDATE subscribers SET state = 'unsubscribed', unsubscribed_at = now() WHERE email_normal = %(email)s",
                email=email,
            )
        elif state != "active":
            tx.run("INSERT INTO suppressions (email_normal, reason) VALUES (%(email)s, %(state)s)", email=email, state=state)


def test_a_plan_writes_nothing_and_applying_does_what_it_said(newsletter: Web) -> None:
    add(newsletter, "known@example.org")
    text = "email,tags\nnew@example.org,python\nknown@example.org,vip\nnonsense,\nNEW@example.org,\n"
    before = newsletter.dump()
    planned = run(newsletter, text, apply=False, evidence="asked on paper")
    assert newsletter.dump() == before
    assert planned.counts == {"new": 1, "changed": 1, "same": 0, "refused": 2}
    assert [(line.number, line.why[:20]) for line in planned.refused] == [
        (4, "'nonsense' is not an"),
        (5, "the same address as "),
    ]
    done = run(newsletter, text, evidence="asked on paper")
    assert (done.counts, done.applied) == (planned.counts, 1)
    assert newsletter.state("new@example.org") == "active"
    again = run(newsletter, text, evidence="asked on paper")
    assert again.counts == {"new": 0, "changed": 0, "same": 2, "refused": 2}


def test_without_evidence_nobody_is_confirmed_and_with_it_it_is_kept(newsletter: Web) -> None:
    done = run(newsletter, "email\nada@example.org\n")
    assert (newsletter.state("ada@example.org"), done.waiting) == ("unconfirmed", 1)
    run(newsletter, "email\nada@example.org\n", evidence="signed at the fair, 2024")
    assert newsletter.state("ada@example.org") == "active"
    with newsletter.database.transaction() as tx:
        evidence = tx.value("SELECT evidence FROM consents WHERE kind = 'imported' ORDER BY id DESC LIMIT 1")
    assert (evidence["evidence"], evidence["line"]) == ("signed at the fair, 2024", 2)
    assert newsletter.counted("transactional_emails") == 0


@pytest.mark.parametrize("state", ["unsubscribed", "hard bounce", "complaint"])
def test_who_left_bounced_or_complained_is_never_brought_back(newsletter: Web, state: str) -> None:
    add(newsletter, "gone@example.org", state)
    before = exported(newsletter.database)
    done = run(newsletter, "email,state,tags\nGone@Example.org,active,vip\n", evidence="I have evidence")
    assert done.counts["refused"] == 1
    assert exported(newsletter.database) == before


def test_who_left_and_is_asking_again_waits_for_their_own_yes(newsletter: Web) -> None:
    add(newsletter, "gone@example.org", "unsubscribed")
    newsletter.subscribe("gone@example.org")
    assert newsletter.state("gone@example.org") == "unconfirmed"
    run(newsletter, "email\ngone@example.org\n", evidence="I have evidence")
    assert newsletter.state("gone@example.org") == "unconfirmed"


@pytest.mark.parametrize("then", ["stays", "leaves", "is erased"])
def test_an_old_list_does_not_bring_back_an_address_that_its_subscriber_changed(newsletter: Web, then: str) -> None:
    add(newsletter, "Old@example.org")
    subscriber_admin.change_subscriber(newsletter.database, "old@example.org", SubscriberChanges(email="new@example.org"))
    if then == "leaves":
        subscriber_admin.change_subscriber(newsletter.database, "new@example.org", SubscriberChanges(kind="unsubscribed"))
    if then == "is erased":
        subscriber_admin.erase_subscriber(newsletter.database, newsletter.settings, "new@example.org")
    done = run(newsletter, "email\nold@example.org\n", evidence="our list of last year")
    assert done.reasons == {"erased" if then == "is erased" else "moved": 1}
    assert newsletter.state("old@example.org") is None
    newsletter.subscribe("old@example.org")
    assert newsletter.state("old@example.org") == "unconfirmed"


def test_what_the_list_says_about_leaving_and_bouncing_is_kept(newsletter: Web) -> None:
    add(newsletter, "here@example.org")
    text = "email,state,unsubscribed_at\nleft@example.org,unsubscribed,2020-01-01\nbounced@example.org,bounced,\n"
    text += "here@example.org,unsubscribed,2020-01-01\n"
    done = run(newsletter, text, evidence="yes")
    assert newsletter.state("left@example.org") == "unsubscribed"
    assert newsletter.state("here@example.org") == "active"
    assert done.reasons == {"active here": 1}
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT reason FROM suppressions WHERE email_normal = 'bounced@example.org'") == "hard bounce"
    later = run(newsletter, "email,unsubscribed_at\nhere@example.org,2099-01-01\n", evidence="yes")
    assert (later.counts["changed"], newsletter.state("here@example.org")) == (1, "unsubscribed")


def test_of_two_lines_with_one_address_the_one_that_keeps_email_away_counts(newsletter: Web) -> None:
    """A list glued together from two names whoever left in it twice."""
    text = "email,state\nleft@example.org,active\nspam@example.org,active\nboth@example.org,left\n"
    text += "Left@example.org,unsubscribed\nspam@example.org,complained\nboth@example.org,bounced\n"
    done = run(newsletter, text, evidence="yes")
    assert [(line.number, line.why) for line in done.refused] == [
        (2, "the same address as line 5"),
        (3, "the same address as line 6"),
        (4, "the same address as line 7"),
    ]
    assert newsletter.state("left@example.org") == "unsubscribed"
    with newsletter.database.transaction() as tx:
        rows = tx.all("SELECT email_normal, reason FROM suppressions ORDER BY email_normal")
    assert [tuple(row.values()) for row in rows] == [("both@example.org", "hard bounce"), ("spam@example.org", "complaint")]


@pytest.mark.parametrize("asks_again", [False, True])
def test_a_complaint_of_somebody_who_left_is_kept_and_brings_nobody_back(newsletter: Web, asks_again: bool) -> None:
    add(newsletter, "gone@example.org", "unsubscribed")
    if asks_again:
        newsletter.subscribe("gone@example.org")
    before = newsletter.state("gone@example.org")
    done = run(newsletter, "email,state\ngone@example.org,complained\n", evidence="yes")
    assert (done.counts["changed"], newsletter.state("gone@example.org")) == (1, before)
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT reason FROM suppressions") == "complaint"
        what = tx.value("SELECT evidence ->> 'what' FROM consents WHERE kind = 'imported'")
    assert what == "is suppressed (complaint)"


@pytest.mark.parametrize(
    "cut", [b"email,name\nada@example.org,A\x81\x9d\n", "email,name\nada@example.org,A".encode("utf-16") + b"\n"]
)
def test_bytes_that_no_encoding_has_spoil_their_cell_only(newsletter: Web, cut: bytes) -> None:
    path = newsletter.settings.build.parent / "list.csv"
    path.write_bytes(cut)
    done = imports.apply_import(newsletter.database, newsletter.settings, ImportRequest(path))
    assert done.counts["new"] == 1
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT metadata ->> 'name' FROM subscribers").rstrip("\ufffd") == "A"


def test_a_subscriber_is_merged_and_loses_nothing(newsletter: Web) -> None:
    run(newsletter, 'email,tags,metadata\nada@example.org,a,"{""city"": ""Paris"", ""n"": 1}"\n', evidence="yes")
    run(newsletter, 'email,tags,metadata\nada@example.org,"b,c","{""city"": ""London""}"\n', evidence="yes", tags=["d e"])
    with newsletter.database.transaction() as tx:
        row = tx.one("SELECT tags, metadata FROM subscribers")
    assert row == {"tags": ["a", "b", "c", "d e"], "metadata": {"city": "London", "n": 1}}


def test_a_whole_list_goes_out_and_comes_back_exactly(newsletter: Web, postgres_url: str, tmp_path: Path) -> None:
    _populate(newsletter.database)
    whole = exported(newsletter.database)
    assert len(list(csv.reader(io.StringIO(whole)))) == 1 + 5
    assert roundtrip(postgres_url, tmp_path, whole, newsletter.settings) == whole


def roundtrip(postgres_url: str, folder: Path, text: str, settings: Settings) -> str:
    """What a fresh database exports after it imported this export."""
    path = folder / "whole.csv"
    path.write_bytes(text.encode())
    with services.migrated(postgres_url) as url:
        other = Database(url)
        try:
            done = imports.apply_import(other, settings, ImportRequest(path, evidence="our own export"))
            assert (done.format, done.counts["refused"]) == ("postmerge", 0), done.refused
            return exported(other)
        finally:
            other.close()


def _populate(database: Database) -> None:
    odd = {"n": 1.50, "text": "a,\"b\"\n=cmd|' /C calc'!A0", "yes": True, "nothing": None, "é": "✓", "nested": "[1]"}
    with database.transaction() as tx:
        tx.run(
            """
            INSERT INTO subscribers (email, email_normal, state, tags, metadata, lang, frequency, flags, created_at,
                confirmed_at, unsubscribed_at, paused_until, active_at, notes, utm_source)
            VALUES
            ('+plus@example.org', '+plus@example.org', 'active', %(tags)s, %(odd)s, 'de', 'monthly', '{role}',
                '2020-01-02 03:04:05.000006+00', '2020-01-02 03:04:06+00', NULL, '2030-01-01', '2026-01-01',
                E'=1+1\n\t"x"', '-fair'),
            ('=a@example.org', '=a@example.org', 'active', '{}', '{}', '', 'every', '{}',
                '2020-01-02', NULL, NULL, NULL, NULL, '', ''),
            ('left@bücher.example', 'left@xn--bcher-kva.example', 'unsubscribed', '{b,a}', '{"x": 1e3}', '', 'every', '{}',
                '2020-01-02', '2020-01-03', '2020-01-04', NULL, NULL, '''quoted', ''),
            ('again@example.org', 'again@example.org', 'unconfirmed', '{}', '{}', '', 'every', '{}',
                '2020-01-02', '2020-01-03', '2020-01-04', NULL, NULL, '', '')
            """,
            tags=["tab\there", 'quo"te', "back\\slash", "{brace}", "NULL", ""],
            odd=as_json(odd),
        )
        tx.run(
            """
            INSERT INTO consents (subscriber_id, kind, source, ip, evidence, at)
            VALUES (1, 'requested', 'form', '192.0.2.1', '{"wording": "é \\"x\\" \\n"}', '2020-01-02 03:04:05.000007+00'),
                (1, 'confirmed', 'page', '2001:db8::1', '{}', '2020-01-02 03:04:06+00'),
                (3, 'unsubscribed', 'one-click', NULL, '{"send": 3}', '2020-01-04')
            """
        )
        tx.run(
            """
            INSERT INTO suppressions (email_normal, reason, detail, created_at)
            VALUES ('=a@example.org', 'soft bounces', E'=1+1\\t', '2021-01-01'),
                ('nobody@example.org', 'operator', '', '2021-01-01')
            """
        )


names = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@given(
    metadata=st.dictionaries(names, names | st.integers(-(2**40), 2**40) | st.booleans() | st.none(), max_size=4),
    tags=st.lists(names, max_size=4),
    detail=names,
)
@hypothesis_settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_anything_that_can_be_kept_comes_back_exactly(
    postgres_url: str, tmp_path: Path, metadata: dict[str, object], tags: list[str], detail: str
) -> None:
    with services.migrated(postgres_url) as url:
        database = Database(url)
        with database.transaction() as tx:
            tx.run(
                """
                INSERT INTO subscribers (email, email_normal, state, tags, metadata)
                VALUES ('a@example.org', 'a@example.org', 'unsubscribed', %(tags)s, %(metadata)s)
                """,
                tags=tags,
                metadata=as_json(metadata),
            )
            tx.run("UPDATE subscribers SET unsubscribed_at = created_at")
            tx.run(
                "INSERT INTO consents (subscriber_id, kind, source, evidence) "
                "VALUES (1, 'unsubscribed', %(detail)s, %(evidence)s)",
                detail=detail,
                evidence=as_json({"detail": detail}),
            )
        whole = exported(database)
        database.close()
    settings = factories.settings(tmp_path)
    assert roundtrip(postgres_url, tmp_path, whole, settings) == whole


FORMULAS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")


def test_no_cell_of_an_export_is_a_formula(newsletter: Web) -> None:
    _populate(newsletter.database)
    for sign in FORMULAS:
        add(newsletter, f"a{ord(sign)}@example.org")
        with newsletter.database.transaction() as tx:
            tx.run("UPDATE subscribers SET notes = %(note)s WHERE notes = ''", note=f"{sign}1+1")
    text = exported(newsletter.database)
    assert text.count("1+1") >= len(FORMULAS)
    for row in csv.reader(io.StringIO(text, newline="")):
        assert not any(cell.startswith(FORMULAS) for cell in row)


ATTACKS = ("a;=1+1", 'a;"=1+1;', "a\n=1+1", "a\r\n\t@SUM(1)", "1;\uff1d1", "a;'=1", "-1;-1")


def test_an_excel_that_splits_at_semicolons_finds_no_formula_in_an_export_and_it_is_read_back(
    newsletter: Web, postgres_url: str, tmp_path: Path
) -> None:
    for number, attack in enumerate(ATTACKS):
        email = f"a{number}@example.org"
        add(newsletter, email)
        with newsletter.database.transaction() as tx:
            tx.run(
                """
                UPDATE subscribers
                SET notes = %(attack)s, utm_source = %(attack)s, tags = ARRAY[%(attack)s], metadata = %(json)s
                WHERE email = %(email)s
                """,
                attack=attack,
                json=as_json({attack: attack}),
                email=email,
            )
            tx.run(
                "INSERT INTO suppressions (email_normal, reason, detail) VALUES (%(email)s, 'operator', %(attack)s)",
                email=email,
                attack=attack,
            )
    whole = exported(newsletter.database)
    assert whole.count("1+1") >= 15
    for row in csv.reader(io.StringIO(whole.replace("\r\n", "\n"), newline=""), delimiter=";"):
        assert not [cell for cell in row if cell.strip().startswith(tuple(own_format.FORMULA_SIGNS))]
    assert roundtrip(postgres_url, tmp_path, whole, factories.settings(tmp_path)) == whole


def test_no_cell_of_an_imports_report_is_a_formula(newsletter: Web, tmp_path: Path) -> None:
    text = "email\n" + "".join(f'"{sign}cmd"\n' for sign in FORMULAS if sign not in "\t\r\n")
    run(newsletter, text, apply=False, report=tmp_path / "report.csv")
    with (tmp_path / "report.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) == 9
    assert not any(cell.startswith(FORMULAS) for row in rows for cell in row)


def test_an_import_whose_lines_take_too_long_is_refused_and_keeps_nothing(newsletter: Web) -> None:
    before = newsletter.dump()
    with pytest.raises(BadInput, match="The import takes longer than 0 seconds: split the file into smaller ones"):
        run(newsletter, "email\nnew@example.org\n", evidence="asked on paper", max_seconds=0.0)
    assert newsletter.dump() == before


def test_every_line_read_is_new_changed_same_or_refused(newsletter: Web) -> None:
    add(newsletter, "known@example.org")
    text = "\n\nemail,tags\n\nnew@example.org,\nknown@example.org,\n,,\nnonsense,\nnew@example.org,\n"
    text += 'bad@example.org,"a" b\nother@example.org,"a\nb"\n'
    planned = run(newsletter, text, apply=False)
    assert (planned.read, planned.counts) == (6, {"new": 2, "changed": 0, "same": 1, "refused": 3})
    assert run(newsletter, text).read == 6


def test_a_line_without_a_verdict_stops_the_import(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = imports_store.judge_lines

    def lose_one(tx: Tx, *given: object) -> None:
        judge(tx, *given)  # type: ignore[arg-type]
        tx.run("DELETE FROM judged WHERE number = 3")

    monkeypatch.setattr(imports_store, "judge_lines", lose_one)
    with pytest.raises(RuntimeError, match="2 lines were read, and 1 have a verdict"):
        run(newsletter, "email\na@example.org\nb@example.org\n")
    assert newsletter.counted("subscribers") == 0


def test_a_subscriber_who_changes_during_an_import_is_refused_and_counted_so(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    add(newsletter, "known@example.org")
    judge = imports_store.judge_lines

    def overtake(tx: Tx, *given: object) -> None:
        judge(tx, *given)  # type: ignore[arg-type]
        add(newsletter, "new@example.org")
        with newsletter.database.transaction() as other:
            other.run("UPDATE subscribers SET state = 'unconfirmed' WHERE email_normal = 'known@example.org'")

    monkeypatch.setattr(imports_store, "judge_lines", overtake)
    text = "email,tags\nnew@example.org,\nother@example.org,\nknown@example.org,vip\n"
    done = run(newsletter, text, evidence="asked on paper", report=tmp_path / "report.csv")
    assert (done.read, done.counts) == (3, {"new": 1, "changed": 0, "same": 0, "refused": 2})
    assert done.reasons == {"changed meanwhile": 2}
    assert (tmp_path / "report.csv").read_text("utf-8-sig").count("refused,changed during the import") == 2
    with newsletter.database.transaction() as tx:
        assert tx.value("SELECT counts FROM import_runs") == done.counts
        assert tx.value("SELECT count(*) FROM consents WHERE kind = 'imported'") == 1


def test_an_export_that_is_imported_again_changes_nobody(newsletter: Web, tmp_path: Path) -> None:
    _populate(newsletter.database)
    path = tmp_path / "whole.csv"
    number = exports.export_to_path(newsletter.database, path)
    assert path.read_bytes().startswith(b"\xef\xbb\xbfemail,")
    before = newsletter.dump()
    plan = imports.plan_import(newsletter.database, newsletter.settings, ImportRequest(path, evidence="our own"))
    assert (plan.counts["same"], plan.read) == (number, number), (plan.counts, plan.refused, plan.changes)
    assert newsletter.dump() == before


def test_a_spreadsheet_that_saves_an_export_changes_nothing_in_it(newsletter: Web, tmp_path: Path) -> None:
    """As Excel in German saves it: another delimiter, a line that names it, and no quotes that it does not need."""
    _populate(newsletter.database)
    path = tmp_path / "saved.csv"
    rows = list(csv.reader(io.StringIO(exported(newsletter.database), newline="")))
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        file.write("sep=;\r\n")
        csv.writer(file, delimiter=";").writerows(rows)
    plan = imports.plan_import(newsletter.database, newsletter.settings, ImportRequest(path))
    assert plan.counts == {"new": 0, "changed": 0, "same": 5, "refused": 0}, plan.refused


@pytest.mark.parametrize("text", ["007", "1-2", "3/4", "May 5", "5 May", "true", "(12)", "$5", "1e5", "12:30"])
def test_no_text_of_an_export_is_a_number_or_a_date_for_a_spreadsheet(
    newsletter: Web, postgres_url: str, tmp_path: Path, text: str
) -> None:
    add(newsletter, "ada@example.org")
    with newsletter.database.transaction() as tx:
        tx.run("UPDATE subscribers SET notes = %(text)s, utm_source = %(text)s", text=text)
    whole = exported(newsletter.database)
    [row] = csv.DictReader(io.StringIO(whole))
    assert (row["notes"], row["utm_source"]) == (f"'{text}", f"'{text}")
    assert roundtrip(postgres_url, tmp_path, whole, newsletter.settings) == whole


@pytest.mark.parametrize("step", ["judge_lines", "apply_lines"])
def test_an_import_whose_statement_takes_too_long_is_refused_and_keeps_nothing(
    newsletter: Web, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    do = getattr(imports_store, step)

    def be_slow(tx: Tx, *given: object) -> None:
        do(tx, *given)
        tx.one("SELECT pg_sleep(20)")

    monkeypatch.setattr(imports_store, step, be_slow)
    started = time.monotonic()
    with pytest.raises(BadInput, match="The import takes longer than 1 seconds"):
        run(newsletter, "email\nnew@example.org\n", evidence="asked on paper", max_seconds=1.0)
    assert time.monotonic() - started < 10
    assert exported(newsletter.database).count("\n") == 1
    monkeypatch.undo()
    assert run(newsletter, "email\nnew@example.org\n", evidence="asked on paper").counts["new"] == 1


def test_the_command_shows_the_plan_the_columns_and_every_verdict(newsletter: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from mailer.cli import cli

    monkeypatch.setenv("DATABASE_URL", newsletter.database.url)
    monkeypatch.setenv("POSTMERGE_SECRET", newsletter.settings.secret)
    folder = newsletter.settings.build.parent
    (folder / "in.csv").write_text("Email Address;Topics\nada@example.org;x\nnobody;\n")
    words = ["subscribers", "import", str(folder / "in.csv"), "--report", str(folder / "verdicts.csv")]
    shown = CliRunner().invoke(cli, words)
    assert shown.exit_code == 0, shown.output
    assert "Nothing was imported" in shown.output
    assert "2 lines read = 1 new + 0 changed + 0 same + 1 refused" in shown.output
    assert "line 3: refused" in shown.output
    assert newsletter.counted("subscribers") == 0
    assert (folder / "verdicts.csv").read_text("utf-8-sig").splitlines()[1].startswith("2,new,")
    done = CliRunner().invoke(cli, [*words, "--apply", "--evidence", "paper", "--json"])
    facts = json.loads(done.output)
    assert (facts["applied"], facts["columns"]["Topics"]) == (1, "tags")
    out = CliRunner().invoke(cli, ["subscribers", "export", str(folder / "out.csv")])
    assert out.exit_code == 0
    assert (folder / "out.csv").stat().st_mode & 0o077 == 0
    assert "ada@example.org" in (folder / "out.csv").read_text()


@pytest.mark.parametrize("apply", [False, True])
def test_a_quote_that_is_not_closed_stops_the_whole_import_with_a_sentence(newsletter: Web, apply: bool) -> None:
    before = newsletter.dump()
    with pytest.raises(BadInput, match=r"quote that opens in line 3 of list\.csv .*Nothing was imported"):
        run(newsletter, 'email,name\na@example.org,A\n"b@example.org,B\nc@example.org,C\nd@example.org,D\n', apply)
    assert newsletter.dump() == before
