"""Adopt public Pelican sites and compare each with what Pelican alone makes of it: addresses, feeds, ids, seconds.

    python -m bench.adopted FOLDER… [--plugins FOLDER] [--config pelicanconf.py] [--content content]

A folder is a site, or a git directory, of which the newest commit is taken. Sites are copied first; nothing of them changes.
What their themes and plugins need has to be installed, or to lie in the folder of ``--plugins``. Exits with 1 if an address is
lost.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mailer import editions
from mailer.core.errors import BadInput
from mailer.editions import BuildOptions
from mailer.editions.site.stock_comparison import StockComparison, compare_with_stock

_OVERLAY = """
import sys
sys.path[:0] = {paths!r}
__file__ = {config!r}
exec(compile(open(__file__, encoding="utf-8").read(), __file__, "exec"))
PLUGIN_PATHS = [*globals().get("PLUGIN_PATHS", []), *{plugins!r}]
PLUGINS = [*globals().get("PLUGINS", []), "mailer.editions.plugin"]
"""


def main() -> None:
    """Compare all sites; print a line for each, and what would be lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sites", nargs="+", type=Path)
    parser.add_argument("--plugins", type=Path, action="append", default=[])
    parser.add_argument("--config", default="pelicanconf.py")
    parser.add_argument("--content", default="")
    options = parser.parse_args()
    lost = 0
    for site in options.sites:
        with tempfile.TemporaryDirectory() as scratch:
            folder = _copy(site.resolve(), Path(scratch, "site"))
            with contextlib.chdir(folder):
                lost += _compare_site(site, folder, options)
    sys.exit(1 if lost else 0)


def _copy(site: Path, folder: Path) -> Path:
    if (site / "HEAD").is_file() and (site / "objects").is_dir():
        folder.mkdir()
        archive = subprocess.run(["git", f"--git-dir={site}", "archive", "HEAD"], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    else:
        shutil.copytree(site, folder, symlinks=True, ignore=shutil.ignore_patterns(".git"))
    return folder


def _compare_site(site: Path, folder: Path, options: argparse.Namespace) -> int:
    config = folder / "postmerge_bench_conf.py"
    plugins = [str(one.resolve()) for one in options.plugins]
    facts = {"paths": [str(folder)], "config": str(folder / options.config), "plugins": plugins}
    config.write_text(_OVERLAY.format(**facts))
    content = folder / (options.content or _find_content(config))
    built = BuildOptions(content, folder.parent / "built" / "site", None, None, config)
    began = time.monotonic()
    try:
        report = editions.build(built)
        seconds = time.monotonic() - began
        found = compare_with_stock(built)
    except BadInput as error:
        print(f"{site}: {error}")
        return 1
    print(f"{site}: {_describe(found)}; {len(report.editions)} issues in {seconds:.1f} s")
    for one in found.differences:
        if one.kind in ("missing", "ids", "text"):
            print(f"  {one.kind} {one.path}: {one.why}")
    for finding in [one for one in report.findings if one.level == "error"][:20]:
        print(f"  error {finding.path}:{finding.line}: {finding.message}")
    return len(found.lost)


def _find_content(config: Path) -> str:
    from pelican.settings import read_settings

    path = str(read_settings(str(config))["PATH"])
    return "content" if Path(path).resolve() == config.parent.resolve() and (config.parent / "content").is_dir() else path


def _describe(found: StockComparison) -> str:
    kinds = [one.kind for one in found.differences]
    kept = found.files - kinds.count("missing")
    return (
        f"{kept} of {found.files} addresses, {found.feeds} feeds ({kinds.count('ids')} with other ids), {found.same} the same,"
        f" {kinds.count('markup')} with other markup, {kinds.count('text')} with other words"
    )


if __name__ == "__main__":
    main()
