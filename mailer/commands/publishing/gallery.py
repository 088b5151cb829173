"""``postmerge gallery``: every component and page, in both directions and colour modes."""

from __future__ import annotations

from pathlib import Path

import click
from rich.text import Text

from mailer.commands.common import load_settings, out
from mailer.core.errors import BadInput
from mailer.editions.source import site_config


@click.command()
@click.option(
    "--output", "target", type=click.Path(file_okay=False, path_type=Path), help="Folder to write to (default: build/gallery)."
)
def gallery(target: Path | None) -> None:
    """Render every email component and page with your theme, in light and dark mode and both text directions.

    Example: postmerge gallery
    """
    from mailer.workbench.gallery import write_gallery

    settings = load_settings()
    folder = target or settings.build / "gallery"
    if folder.exists() and any(folder.iterdir()) and not (folder / "index.html").is_file():
        raise BadInput(f"{folder} contains other files: choose an empty folder with `--output`.")
    shots = write_gallery(site_config.read(settings.content, settings.config, settings.site_url), folder)
    out.print(Text(f"{len(shots)} pictures: open {folder / 'index.html'}"), soft_wrap=True)
