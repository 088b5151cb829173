"""The command line: ``postmerge``. Prints facts (``--json`` for machines); exit 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import ast
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from mailer import __version__
from mailer.commands.common import err
from mailer.core.errors import PostmergeError

# Modules are loaded on demand: a build needs neither Stripe nor Redis nor AWS.
COMMANDS = {
    "mailer.commands.publishing.build": ("build",),
    "mailer.commands.publishing.check": ("check",),
    "mailer.commands.publishing.comment": ("comment",),
    "mailer.commands.sending.send_control": ("pause", "resume", "stop", "cancel"),
    "mailer.commands.events.events": ("events", "uncertain"),
    "mailer.commands.operations.fence": ("fence",),
    "mailer.commands.publishing.gallery": ("gallery",),
    "mailer.commands.operations.api_keys": ("keys",),
    "mailer.commands.subscribers.unsubscribe_by_email": ("unsubscribe-by-email",),
    "mailer.commands.billing.revenue": ("money", "paid"),
    "mailer.commands.publishing.new": ("new",),
    "mailer.commands.publishing.publish": ("adopt", "plan", "publish", "status"),
    "mailer.commands.operations.rehearse": ("rehearse",),
    "mailer.commands.sending.report": ("report",),
    "mailer.commands.operations.processes": ("migrate", "serve", "worker", "scheduler", "stack"),
    "mailer.commands.subscribers.segments": ("segments",),
    "mailer.commands.billing.stripe": ("stripe",),
    "mailer.commands.subscribers.subscribers_review": ("subscribers",),
    "mailer.commands.operations.webhooks": ("webhooks",),
    "mailer.commands.publishing.write": ("write",),
}
_MODULES = {name: module for module, names in COMMANDS.items() for name in names}


class LazyGroup(click.Group):
    """A group that imports a command only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of all commands."""
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command by name, or return None."""
        module = _MODULES.get(cmd_name)
        found: click.Command | None = getattr(import_module(module), cmd_name.replace("-", "_")) if module else None
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all commands with their help, read from the source files: loading them all takes ten times as long."""
        width = formatter.width - 6 - max(map(len, _MODULES))
        texts = {name: read_help(_MODULES[name], name.replace("-", "_")) for name in self.list_commands(ctx)}
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, click.Command(name, help=text).get_short_help_str(width)) for name, text in texts.items()]
            )


def read_help(module: str, function: str) -> str:
    """Read a command's help from the source of its module, or of the module it is imported from."""
    spec = find_spec(module)
    body = ast.parse(Path(spec.origin).read_bytes()).body if spec and spec.origin else []
    for node in body:
        if isinstance(node, ast.FunctionDef) and node.name == function:
            return ast.get_docstring(node) or ""
    for node in body:
        if isinstance(node, ast.ImportFrom) and node.module and any(one.name == function for one in node.names):
            return read_help(node.module, function)
    return ""


def main() -> None:
    """Run ``postmerge``; a user error prints one sentence and exits with 1, without a traceback."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except PostmergeError as error:
        from rich.text import Text

        err.print(Text.assemble(("error:", "bold red"), f" {error}"), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="postmerge")
def cli() -> None:
    """Your newsletter as a repository: what you reviewed is what was sent, once, and you can prove it.

    Settings come from the environment; .env.example lists them.
    """


if __name__ == "__main__":
    main()
