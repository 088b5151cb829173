"""Lists of subscribers as files: every program's export is known by its columns, and a bad cell is one sentence."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailer.core.addresses import Bulk, check, normal
from mailer.core.errors import BadInput
from mailer.exchange import cell_values, own_format
from mailer.exchange.list_files import ListLine, open_list

LISTS = {
    "mailchimp": (
        "Email Address,First Name,Last Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LEID,EUID,NOTES,TAGS\n"
        "ada@example.org,Ada,Lovelace,2,2020-01-02 03:04:05,192.0.2.1,2020-01-02 03:05:00,192.0.2.1,1,e1,,"
        '"""Python"",""early birds"""\n'
    ),
    "substack": (
        "email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at\n"
        "ada@example.org,true,,yearly,false,2020-01-02T03:04:05.000Z,\n"
        "bob@example.org,false,,free,true,2021-01-01T00:00:00.000Z,\n"
    ),
    "ghost": (
        "id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n"
        '1,ada@example.org,Ada,,true,false,,2020-01-02T03:04:05.000Z,,"python,early birds",\n'
        "2,bob@example.org,Bob,,false,false,,2020-01-02T03:04:05.000Z,,,\n"
    ),
    "listmonk": (
        "uuid,email,name,attributes,status,created_at,updated_at\n"
        'u1,ada@example.org,Ada,"{""city"": ""London""}",enabled,2020-01-02T03:04:05Z,2020-01-02T03:04:05Z\n'
        "u2,bob@example.org,Bob,{},blocklisted,2020-01-02T03:04:05Z,2020-01-02T03:04:05Z\n"
    ),
    "buttondown": (
        "email,notes,metadata,tags,type,source,creation_date\n"
        'ada@example.org,,"{""city"": ""London""}","python,early birds",regular,form,2020-01-02T03:04:05Z\n'
        "bob@example.org,,{},,unsubscribed,form,2020-01-02T03:04:05Z\n"
        "eve@example.org,,{},,complained,form,2020-01-02T03:04:05Z\n"
    ),
}


def read(path: Path, text: str | bytes, **more: object) -> list[ListLine]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_list(path, **more) as found:  # type: ignore[arg-type]
        return list(found.lines)


@pytest.mark.parametrize("name", LISTS)
def test_every_programs_export_is_recognised_and_understood(tmp_path: Path, name: str) -> None:
    path = tmp_path / "list.csv"
    path.write_text(LISTS[name])
    with open_list(path) as found:
        assert found.format == name
        lines = list(found.lines)
    ada = lines[0]
    assert (ada.email, ada.state, ada.suppressed, ada.wrong) == ("ada@example.org", "active", "", "")
    assert ada.created_at == datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)
    if name in ("mailchimp", "ghost", "buttondown"):
        assert list(ada.tags) == ["early birds", "python"]
    if name in ("listmonk", "buttondown"):
        assert json.loads(ada.metadata)["city"] == "London"
    if len(lines) > 1:
        assert lines[1].state == "unsubscribed"
    if name == "buttondown":
        assert lines[2].suppressed == "complaint"
    if name == "mailchimp":
        assert json.loads(ada.metadata) == {"First Name": "Ada", "Last Name": "Lovelace"}
        assert ada.proof == {"file: OPTIN_IP": "192.0.2.1", "file: CONFIRM_IP": "192.0.2.1"}


def test_mailchimps_other_two_files_say_who_left_and_who_bounced(tmp_path: Path) -> None:
    head = "Email Address,OPTIN_TIME,LEID,EUID,"
    [left] = read(tmp_path / "a", head + "UNSUB_TIME\nada@example.org,,1,e,2021-02-03 04:05:06\n")
    [cleaned] = read(tmp_path / "b", head + "CLEAN_TIME\nada@example.org,,1,e,2021-02-03 04:05:06\n")
    assert (left.state, left.unsubscribed_at) == ("unsubscribed", datetime(2021, 2, 3, 4, 5, 6, tzinfo=UTC))
    assert cleaned.suppressed == "hard bounce"


@pytest.mark.parametrize(
    ("head", "cell", "state"),
    [
        ("Unsubscribed", "Yes", "unsubscribed"),
        ("unsubscribed", "2021-02-03", "unsubscribed"),
        ("unsubscribed", "no", "active"),
        ("unsubscribed", "", "active"),
        ("opted out", "x", "unsubscribed"),
        ("subscribed", "false", "unsubscribed"),
        ("subscribed", "2020-01-02", "active"),
        ("subscribed", "", "unconfirmed"),
    ],
)
def test_a_plain_list_that_says_who_left_in_a_column_of_its_own_is_believed(
    tmp_path: Path, head: str, cell: str, state: str
) -> None:
    [line] = read(tmp_path / "a", f"email,{head}\nada@example.org,{cell}\n")
    assert (line.state, line.wrong) == (state, "")
    assert (line.unsubscribed_at is not None) == (state == "unsubscribed" and cell.startswith("20"))


def test_a_flag_that_cannot_be_read_or_is_empty_lets_nobody_be_mailed(tmp_path: Path) -> None:
    [line] = read(tmp_path / "a", "email,unsubscribed\nada@example.org,perhaps\n")
    assert "neither yes nor no" in line.wrong
    head = "email,deleted_at,subscribed_to_emails,complimentary_plan\n"
    [empty] = read(tmp_path / "b", head + "ada@example.org,,,false\n")
    [gone] = read(tmp_path / "c", head + "ada@example.org,2021-02-03,,false\n")
    assert (empty.state, gone.state) == ("unconfirmed", "unsubscribed")


@pytest.mark.parametrize(
    ("word", "state", "kept_away"), [("paused", "unconfirmed", ""), ("spammy", "unsubscribed", "operator")]
)
def test_a_state_that_says_nothing_of_email_wanted_now_lets_nobody_be_mailed(
    tmp_path: Path, word: str, state: str, kept_away: str
) -> None:
    [line] = read(tmp_path / "a", f"email,state\nada@example.org,{word}\n")
    assert (line.state, line.suppressed, line.wrong) == (state, kept_away, "")


def test_tags_are_read_as_json_and_as_python_write_them(tmp_path: Path) -> None:
    cells = ('"[""b"", ""a""]"', "\"['b', 'a']\"")
    lines = read(tmp_path / "a", "email,tags\n" + "".join(f"r{n}@example.org,{cell}\n" for n, cell in enumerate(cells)))
    assert [(line.tags, line.wrong) for line in lines] == [(("a", "b"), ""), (("a", "b"), "")]
    [odd] = read(tmp_path / "b", "email,tags\nada@example.org,\"[__import__('os'), 1]\"\n")
    assert "not a JSON array of strings" in odd.wrong


def test_columns_can_be_corrected(tmp_path: Path) -> None:
    text = "Who;Where;City;Junk\nada@example.org;a, b;London;x\n"
    with pytest.raises(BadInput, match="--column"):
        read(tmp_path / "a", text)
    [line] = read(tmp_path / "a", text, corrections={"who": "email", "Where": "tags", "junk": "ignore"})
    assert (line.email, list(line.tags), json.loads(line.metadata)) == ("ada@example.org", ["a", "b"], {"City": "London"})
    two = "email,Work address\nold@example.org,ada@example.org\n"
    [line] = read(tmp_path / "b", two, corrections={"work address": "email"})
    assert (line.email, json.loads(line.metadata)) == ("ada@example.org", {"email": "old@example.org"})
    for wrong in ({"nobody": "email"}, {"who": "emails"}):
        with pytest.raises(BadInput, match="column"):
            read(tmp_path / "a", text, corrections=wrong)


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ("not an address,,,", "not an email address"),
        (",active,,", "not an email address"),
        (f"{'a' * 65}@example.org,active,,", "not an email address"),
        ("a@example.org,sleeping,,", "the state 'sleeping'"),
        ("a@example.org,active,yesterdayish,", "not a date"),
        ("a@example.org,active,,{oops", "metadata"),
        ("a@example.org,active,,[1]", "metadata"),
        ("a@example.org,active,,,too,many", "6 cells"),
        ('a@example.org,active,,"{""a"": 1e999}"', "metadata"),
        ('a@example.org,active,,"{""a"": ""\\u0000""}"', "NUL"),
        ('a@example.org,active,,"{""a"": ""\\ud800""}"', "metadata"),
        ("a@example.org,active,9999999999-01-01,", "not a date"),
    ],
)
def test_a_bad_line_says_why_and_stops_nothing(tmp_path: Path, cells: str, says: str) -> None:
    lines = read(tmp_path / "a", f"email,state,created,metadata\n{cells}\ngood@example.org,active,,\n")
    assert says in lines[0].wrong
    assert (lines[1].email, lines[1].wrong, lines[1].number) == ("good@example.org", "", 3)


@pytest.mark.parametrize(
    "data",
    [
        "email\nadä@exämple.org\n".encode("cp1252"),
        "email\nada@exämple.org\n".encode("utf-16"),
        "\ufeffemail\nada@exämple.org\n".encode(),
        "\n\nemail\n\nada@exämple.org\r\n".encode(),
    ],
)
def test_what_spreadsheets_write_is_read(tmp_path: Path, data: bytes) -> None:
    [line] = read(tmp_path / "a", data)
    assert line.email.endswith("@exämple.org") or "not an email address" in line.wrong


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\x00\x01\x02", b"a,b\n1,2\n"])
def test_a_file_that_is_no_list_is_refused_in_one_sentence(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(BadInput) as refused:
        read(tmp_path / "a", data)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there_is_refused_in_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(BadInput, match="cannot be read"), open_list(path):
            pass


@given(st.text(alphabet=st.sampled_from("aA.-_+@1ü!#'\" \t,;xn--"), max_size=30))
def test_the_fast_check_says_what_the_careful_one_says(text: str) -> None:
    email = f"{text}@example.org" if "@" not in text else text
    try:
        expected = (check(email), normal(check(email)))
    except BadInput:
        with pytest.raises(BadInput):
            Bulk().check(email)
        return
    assert Bulk().check(email) == expected


@pytest.mark.parametrize(
    "email", ["Postmaster@Example.ORG", "a@münchen.de", "A+b@XN--MNCHEN-3YA.de", "a.b@c.test", "a@b", "a@straße.de"]
)
def test_the_fast_check_knows_the_odd_ones(email: str) -> None:
    test_the_fast_check_says_what_the_careful_one_says.hypothesis.inner_test(email)  # type: ignore[attr-defined]


@given(st.text(max_size=20) | st.text(alphabet="=+-@;'\"\t\r\n a", max_size=20))
def test_the_guard_against_formulas_comes_off_exactly(cell: str) -> None:
    guarded = own_format.escape_formula(cell)
    assert own_format.unescape_formula(guarded) == cell
    assert guarded[:1] not in {"=", "+", "-", "@", "\t", "\r"}
    assert not re.search('[;\t\r\n]"*[=+@-]', guarded)


@pytest.mark.parametrize("sign", list("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"))
def test_whatever_a_spreadsheet_takes_for_the_beginning_of_a_formula_is_guarded(sign: str) -> None:
    assert own_format.escape_formula(f"{sign}cmd|' /C calc'!A0").startswith("'")


@pytest.mark.parametrize("lead", [";", "a;", ";;", "a\n", "a\r\n", "a\t", 'a;"'])
def test_a_part_of_a_cell_that_another_separator_would_split_off_is_no_formula(lead: str) -> None:
    guarded = own_format.escape_formula(f"{lead}=1+1;-2")
    assert not any(part.startswith(("=", "-")) for part in re.split('[;\t\r\n]"*', guarded))
    assert own_format.unescape_formula(guarded) == f"{lead}=1+1;-2"


def test_a_column_name_that_would_blow_up_each_lines_metadata_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(f"email,{'x' * 501}\na@example.org,1\n")
    with pytest.raises(BadInput, match="column name longer than 500 characters"), open_list(path):
        pass


@given(st.text(max_size=40))
def test_any_cell_is_a_value_or_one_sentence(text: str) -> None:
    for read_cell in (cell_values.parse_moment, cell_values.parse_tags, cell_values.parse_metadata, cell_values.parse_state):
        try:
            read_cell(text)
        except BadInput as error:
            assert "\n" not in str(error)  # noqa: PT017
