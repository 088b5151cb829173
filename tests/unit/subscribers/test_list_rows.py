"""Files as spreadsheets and programs write them: no row is lost to a quote, and every header and encoding is read."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mailer.core.errors import BadInput
from mailer.exchange.list_files import ListLine, open_list


def read(path: Path, text: str | bytes) -> list[ListLine]:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_list(path) as found:
        return list(found.lines)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('email,name\na@example.org,Ann\nb@example.org,"Bob\nc@example.org,Cy\nd@example.org,Di\n', 3),
        ('email,name\na@example.org,"Ann\nb@example.org,"Bob"\nc@example.org,Cy\n', 2),
        ('email,name\na@example.org,"Ann\nb@example.org,Bob"\nc@example.org,Cy\n', 2),
        ('email,name\na@example.org,"Ann\nb@example.org,"\nc@example.org,Cy\n', 2),
        ('email,name,city\na@example.org,Ann,"Oslo\nb@example.org,Bob,"Rome"\n', 2),
        ('email,name,city\na@example.org,"Ann\n(work)","Oslo\nb@example.org,Bob,Rome\n', 3),
        ('sep=;\nemail;name\na@example.org;"Ann\nb@example.org;Bob\n', 3),
        ('"email,name\na@example.org,Ann\n', 1),
    ],
)
def test_a_quote_that_is_not_closed_is_named_with_its_line_and_swallows_nobody(tmp_path: Path, text: str, line: int) -> None:
    with pytest.raises(BadInput, match=rf"quote that opens in line {line} of list\.csv .*Nothing was imported"):
        read(tmp_path / "list.csv", text)


@pytest.mark.parametrize(
    ("cell", "says"),
    [('"Ann" Smith', "write a quote inside a cell twice"), (f'"{"x" * 1_000_001}"', "more than 1,000,000 characters")],
)
def test_a_bad_quote_within_one_line_refuses_that_line_alone(tmp_path: Path, cell: str, says: str) -> None:
    bad, good = read(tmp_path / "a", f"email,name\na@example.org,{cell}\nb@example.org,Bob\n")
    assert says in bad.wrong
    assert (bad.number, good.number, good.email, good.wrong) == (2, 3, "b@example.org", "")


def test_the_last_line_with_an_open_quote_is_refused_alone(tmp_path: Path) -> None:
    good, bad = read(tmp_path / "a", 'email,name\na@example.org,Ann\nb@example.org,"Bob')
    assert (good.wrong, bad.number) == ("", 3)
    assert "never closed" in bad.wrong


def test_a_cell_of_several_lines_is_one_cell(tmp_path: Path) -> None:
    text = 'email,note\na@example.org,"first line\nwrite to b@example.org\r\n\n""quoted"", last"\nc@example.org,\n'
    lines = read(tmp_path / "a", text)
    assert [(line.number, line.wrong) for line in lines] == [(2, ""), (6, "")]
    assert json.loads(lines[0].metadata)["note"].endswith('"quoted", last')


@pytest.mark.parametrize(
    "header",
    ["E-mail Address", "Email Address *", "EMAIL_ADDRESS", "E-Mail", "e-mail:", "E-Mail-Adresse", "Email (required)", "邮箱",
     "Adresse e-mail", "Correo electrónico"],
)  # fmt: skip
@pytest.mark.parametrize("first", ["", "sep=;\n", '"sep=;"\r\n', "\n\nsep=;\n"])
def test_a_header_is_recognised_as_people_write_it(tmp_path: Path, header: str, first: str) -> None:
    [line] = read(tmp_path / "a", f"{first}{header};Topics\na@example.org;x\n")
    assert (line.email, line.tags, line.wrong) == ("a@example.org", ("x",), "")


@pytest.mark.parametrize(
    "encode",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.encode("utf-16"),
        lambda text: text.encode("utf-16-le"),
        lambda text: text.encode("utf-16-be"),
        lambda text: text.encode("cp1252"),
        lambda text: text.replace("\t", ",").encode(),
        lambda text: text.replace("\t", "|").encode(),
        lambda text: text.replace("\n", "\r").encode(),
        lambda text: text.replace("\n", "\r\n").encode("utf-16"),
        lambda text: text.replace("Email", '"Email"').encode("utf-8-sig"),
    ],
)
def test_every_encoding_and_delimiter_of_a_spreadsheet_is_read(tmp_path: Path, encode: Callable[[str], bytes]) -> None:
    [line] = read(tmp_path / "a", encode("Email\tName\na@example.org\tZoë\n"))
    assert (line.email, json.loads(line.metadata)["Name"], line.wrong) == ("a@example.org", "Zoë", "")


def test_a_mark_that_another_program_put_before_a_formula_is_removed(tmp_path: Path) -> None:
    [line] = read(tmp_path / "a", "email,note,more\n'+a@example.org,'=1+1,'quoted'\n")
    assert (line.email, json.loads(line.metadata)) == ("+a@example.org", {"note": "=1+1", "more": "'quoted'"})
