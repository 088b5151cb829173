"""The sign-up form for other sites, as ``postmerge embed`` prints it."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element

import pytest
import tinyhtml5
from click.testing import CliRunner

from mailer.cli import cli
from mailer.commands.subscribers.embed import render_form
from mailer.core import i18n
from mailer.core.form_fields import read_fields
from mailer.core.settings import Settings

SETTINGS = Settings(api_url="https://api.example.org")
FIELDS = read_fields([{"name": "company", "label": 'A & "B"'}, {"name": "role", "choices": ["<Editor>"], "required": True}])


def parse(html: str) -> Element:
    page: Element = tinyhtml5.parse(html, namespace_html_elements=False)
    return page


@pytest.mark.parametrize("script", [False, True])
@pytest.mark.parametrize("lang", list(i18n.LANGUAGES))
def test_every_field_has_a_label_around_it(script: bool, lang: str) -> None:
    page = parse(render_form(SETTINGS, FIELDS, script, ["python"], lang))
    labelled = {field.get("name") for label in page.iter("label") for field in [*label.iter("input"), *label.iter("select")]}
    fields = [*page.iter("input"), *page.iter("select")]
    assert labelled == {field.get("name") for field in fields if field.get("type") != "hidden"}
    assert labelled == {"metadata__company", "metadata__role", "email", "website"}
    assert all("".join(label.itertext()).strip() for label in page.iter("label"))
    assert ["".join(one.itertext()) for one in page.iter("option")][1:] == ["<Editor>"]


def test_the_plain_form_has_no_script_and_the_other_has_its_own_and_a_live_region() -> None:
    plain, scripted = render_form(SETTINGS, (), False, [], "en"), render_form(SETTINGS, (), True, [], "de")
    assert "<script" not in plain
    assert plain.startswith('<form method="post" action="https://api.example.org/subscribe">\n')
    page = parse(scripted)
    assert [form.get("action") for form in page.iter("form")] == ["https://api.example.org/subscribe?lang=de"]
    assert page.find(".//form//p[@role='status']") is not None
    [script] = page.iter("script")
    assert script.get("src") is None
    assert "".join(script.itertext()).rstrip().endswith("})();")
    assert [one for one in page.iter() if one.get("src") or one.get("style")] == []


def test_the_command_prints_the_form_alone_and_names_the_setting_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tmp_path / "pelicanconf.py"
    config.write_text('SITENAME = "The Postmerge Letter"\nPOSTMERGE_FORM_FIELDS = [{"name": "company"}]\n')
    for name, value in (("CONFIG", str(config)), ("API_URL", "https://api.example.org")):
        monkeypatch.setenv(f"POSTMERGE_{name}", value)
    result = CliRunner().invoke(cli, ["embed", "--tag", "python"])
    assert result.exit_code == 0
    fields = read_fields([{"name": "company"}])
    assert result.stdout == render_form(SETTINGS, fields, False, ["python"], "en") + "\n"
    assert "POSTMERGE_FORM_ORIGINS" in result.stderr
