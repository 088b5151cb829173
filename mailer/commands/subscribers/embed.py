"""``postmerge embed``: the sign-up form as HTML to paste into any site."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

import click
import jinja2
from markupsafe import Markup

from mailer.commands.common import err, load_settings
from mailer.core import i18n
from mailer.core.form_fields import FormField
from mailer.core.settings import Settings

_ORIGIN = (
    "Unless it is POSTMERGE_SITE_URL’s, add the site’s origin (such as https://www.example.org) to POSTMERGE_FORM_ORIGINS."
)


@click.command()
@click.option("--script", is_flag=True, help="Add a script that shows the answer in place.")
@click.option("--tag", "tags", multiple=True, help="Subscribe to this topic (repeatable).")
@click.option("--lang", type=click.Choice(list(i18n.LANGUAGES)), default="en", show_default=True, help="The form's language.")
def embed(script: bool, tags: Sequence[str], lang: str) -> None:
    """Print the sign-up form as HTML, with your own fields, to paste into a page of any site.

    Example: postmerge embed --script > form.html
    """
    from mailer import editions

    settings = load_settings()
    click.echo(render_form(settings, editions.form_fields(settings.config), script, tags, lang))
    err.print(_ORIGIN, style="dim")


def render_form(settings: Settings, fields: Sequence[FormField], script: bool, tags: Sequence[str], lang: str) -> str:
    """Render the form, with or without its script."""
    from api.common.consent import make_consent
    from mailer import editions

    templates, say = files("mailer") / "templates", i18n.translator(lang)
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    source = (templates / "subscribe.js").read_text(encoding="utf-8") if script else ""
    return environment.from_string((templates / "embed.html").read_text(encoding="utf-8")).render(
        action=f"{settings.api_url}/subscribe" + (f"?lang={lang}" if lang != "en" else ""),
        script=Markup(source),  # noqa: S704
        fields=fields,
        tags=tags,
        lang=lang,
        wording=make_consent(settings, editions.site_name(settings.config), say).html,
        _=say,
    )
