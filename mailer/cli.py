"""The command line: ``postmerge``. Prints facts (``--json`` for machines); exit 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import ast
import errno
import sys
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click

from mailer import __version__
from mailer.commands.common import MAX_SUMMARY_CHARS, err
from mailer.core.errors import PostmergeError

# Modules are loaded on demand: a build needs neither Stripe nor Redis nor AWS.
COMMANDS = {
    "mailer.commands.publishing.build": ("build",),
    "mailer.commands.publishing.check": ("check",),
    "mailer.commands.publishing.comment": ("comment",),
    "mailer.commands.publishing.comment_gitlab": ("comment-gitlab",),
    "mailer.commands.sending.send_control": ("pause", "resume", "stop", "cancel"),
    "mailer.commands.subscribers.embed": ("embed",),
    "mailer.commands.events.events": ("events", "uncertain"),
    "mailer.commands.operations.desk": ("desk",),
    "mailer.commands.operations.doctor": ("doctor",),
    "mailer.commands.operations.fence": ("fence",),
    "mailer.commands.publishing.gallery": ("gallery",),
    "mailer.commands.operations.growth": ("growth",),
    "mailer.commands.operations.backups": ("backup", "restore", "reconcile-sends"),
    "mailer.commands.operations.data_export": ("export", "import-data"),
    "mailer.commands.operations.api_keys": ("keys",),
    "mailer.commands.subscribers.unsubscribe_by_email": ("unsubscribe-by-email",),
    "mailer.commands.billing.revenue": ("money", "paid"),
    "mailer.commands.publishing.import_archive": ("import",),
    "mailer.commands.publishing.init": ("init",),
    "mailer.commands.publishing.new": ("new",),
    "mailer.commands.publishing.publish": ("adopt", "plan", "publish", "status"),
    "mailer.commands.operations.rehearse": ("rehearse",),
    "mailer.commands.sending.report": ("report",),
    "mailer.commands.sending.sequences": ("sequences",),
    "mailer.commands.operations.processes": ("migrate", "serve", "worker", "scheduler", "up"),
    "mailer.commands.subscribers.segments": ("segments",),
    "mailer.commands.billing.stripe": ("stripe",),
    "mailer.commands.subscribers.subscribers_review": ("subscribers",),
    "mailer.commands.publishing.test_email": ("test",),
    "mailer.commands.publishing.verify": ("verify",),
    "mailer.commands.operations.webhooks": ("webhooks",),
    "mailer.commands.sending.warmup": ("warmup",),
    "mailer.commands.publishing.write": ("write",),
}
_MODULES = {name: module for module, names in COMMANDS.items() for name in names}
_DISK_ERRORS = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT)
_FORMER_NAMES = {"stack": "up"}
_FUNCTIONS = {
    "import": "import_archive",
    "import-data": "import_data_command",
}  # where the command's name is no name of a function
GROUPS = {
    "Write": ("init", "import", "new", "write", "check", "build", "test", "gallery"),
    "Publish and send": (
        "plan", "publish", "status", "report", "pause", "resume", "cancel", "stop", "uncertain", "warmup", "verify", "adopt",
        "comment", "comment-gitlab",
    ),
    "Subscribers and payments": (
        "subscribers", "segments", "sequences", "growth", "embed", "unsubscribe-by-email", "money", "paid", "stripe",
    ),
    "Operate": (
        "up", "doctor", "desk", "serve", "worker", "scheduler", "events", "migrate", "keys", "webhooks", "rehearse", "fence",
        "backup", "restore", "reconcile-sends", "export", "import-data",
    ),
}  # fmt: skip


class LazyGroup(click.Group):
    """A group that imports a command only when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of all commands."""
        return sorted(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Load a command by name, or return None."""
        cmd_name = _FORMER_NAMES.get(cmd_name, cmd_name)
        module = _MODULES.get(cmd_name)
        found: click.Command | None = getattr(import_module(module), _function_of(cmd_name)) if module else None
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write all commands with their help, read from the source files: loading them all takes ten times as long."""
        column = max(map(len, _MODULES))
        for title, names in GROUPS.items():
            texts = {name: read_help(_MODULES[name], _function_of(name)) for name in names if name in _MODULES}
            with formatter.section(title):
                formatter.write_dl(
                    [
                        (name.ljust(column), click.Command(name, help=text).get_short_help_str(MAX_SUMMARY_CHARS))
                        for name, text in texts.items()
                    ]
                )

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; for a mistyped one, name those that it resembles."""
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            similar = get_close_matches(args[0], _MODULES, n=3, cutoff=0.6)
            hint = f"Did you mean {' or '.join(f'`postmerge {name}`' for name in similar)}?" if similar else ""
            raise click.UsageError(f"There is no command {args[0]!r}. {hint}".rstrip(), ctx)
        return super().resolve_command(ctx, args)


def _function_of(command: str) -> str:
    return _FUNCTIONS.get(command, command.replace("-", "_"))


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
        cli(standalone_mode=False, prog_name="postmerge")
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _show(_explain_usage(error))
        sys.exit(error.exit_code)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except PostmergeError as error:
        _show(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:  # a folder that no command expects to be read-only, or a full disk
        if error.errno not in _DISK_ERRORS or not error.filename:
            raise
        _show(
            f"{error.filename} cannot be read or written ({error.strerror}): check its permissions and the space on its disk."
        )
        sys.exit(1)


def _show(message: str) -> None:
    from rich.text import Text

    err.print(Text.assemble(("error:", "bold red"), f" {message}"), soft_wrap=True)


def _explain_usage(error: click.ClickException) -> str:
    """Return what is wrong with a command line, and where its options are listed."""
    message = error.format_message()
    message = message if message.endswith((".", "?")) else f"{message}."
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    return f"{message} `{ctx.command_path} --help` shows what it takes." if ctx else message


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="postmerge")
def cli() -> None:
    """Your newsletter as a repository: what you reviewed is what was sent, once, and you can prove it.

    Settings come from the environment; .env.example lists them.
    """


if __name__ == "__main__":
    main()
