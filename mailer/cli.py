"""The command line: ``postmerge``. Prints facts (``--json`` for machines); exit 0 done, 1 refused or failed, 2 wrong usage."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import click

from mailer import editions, show
from mailer.actors import Bell, Work, Workshop
from mailer.commands import control, remote
from mailer.commands import events as back
from mailer.commands.building import build_site, editions_of
from mailer.commands.common import as_json, err, load_settings, need_redis, open_database, out, print_json, stop_signal
from mailer.commands.fence import fence
from mailer.commands.keys import keys
from mailer.commands.paying import COMMANDS as PAYING
from mailer.commands.rehearse import rehearse
from mailer.commands.report import report
from mailer.commands.subscribers_review import subscribers
from mailer.commands.webhooks import webhooks
from mailer.commands.writing import COMMANDS as WRITING
from mailer.db import Database
from mailer.errors import PostmergeError
from mailer.flows import publish as publishing
from mailer.flows.guards import ALLOWED
from mailer.flows.status import standing_facts
from mailer.flows.status import status as read_status
from mailer.migrate import migrate as run_migrations
from mailer.scheduler import run as run_scheduler
from mailer.settings import Settings
from mailer.transports import make as make_transport

built = click.option("--built", is_flag=True, help="Use the editions of the last build instead of building now.")
one_issue = click.option("--issue", metavar="KEY", default="", help="Send this one issue (key or path), whatever it asks for.")
allow_option = click.option(
    "--allow", multiple=True, type=click.Choice(ALLOWED), help="Pass a guard that refused (may be given more than once)."
)
gate_option = click.option(
    "--gate/--no-gate", default=None, help="Look at the live page first (default: only with the ses transport)."
)


def main() -> None:
    """Run ``postmerge``; a user's mistake ends with one sentence and exit code 1, never a traceback."""
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
        err.print(f"[bold red]error:[/] {show.plain(str(error))}", soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option("0.1.0", prog_name="postmerge")
def cli() -> None:
    """Your newsletter as a repository: what you reviewed is what was sent, once, and you can prove it.

    Settings come from the environment; .env.example lists them.
    """


for command in (
    keys,
    control.pause,
    control.resume,
    control.stop,
    control.cancel,
    report,
    rehearse,
    back.events,
    back.uncertain,
    fence,
):
    cli.add_command(command)
cli.add_command(subscribers)
cli.add_command(webhooks)
for command in (*WRITING, *PAYING):
    cli.add_command(command)


@cli.command()
@as_json
def build(json: bool) -> None:
    """Build the web archive, its feeds and the mail editions.

    Example: postmerge build
    """
    report = build_site(load_settings(), quiet=json)
    if json:
        return print_json({"editions": len(report.editions), "findings": [vars(f) for f in report.findings]})
    show.findings(err, report.findings)
    out.print(
        f"Built {len(report.editions)} issues in {report.seconds:.1f} s ({report.converted} converted, {report.reused} reused)."
    )
    if any(finding.level == "error" for finding in report.findings):
        sys.exit(1)


@cli.command()
@built
def adopt(built: bool) -> None:
    """Write every issue down as already public, so that it is never mailed by itself.

    Example: postmerge adopt
    """
    settings = load_settings()
    found, _ = editions_of(settings, built)
    number = publishing.adopt(open_database(settings), settings, found)
    out.print(f"Adopted {number} of {len(found)} issues; nothing was sent. New issues with `Send: yes` will be mailed.")


@cli.command()
@built
@one_issue
@allow_option
@gate_option
@click.option("--all", "everything", is_flag=True, help="Show issues with nothing to do as well.")
@as_json
def plan(built: bool, issue: str, allow: Sequence[str], gate: bool | None, everything: bool, json: bool) -> None:
    """Show what publishing would do now: which issues, to how many, when, how long. Changes nothing.

    Example: postmerge plan
    """
    settings = load_settings()
    found, findings = editions_of(settings, built, quiet=json)
    request = publishing.Request(issue, allow, _gate(settings, gate))
    outlook = publishing.look(open_database(settings), settings, found, findings, make_transport(settings), request)
    if json:
        print_json(show.plan_facts(outlook))
    else:
        show.plan(out, outlook, everything)


@cli.command()
@built
@one_issue
@allow_option
@gate_option
@click.option("--server", metavar="URL", default="", help="Publish on this server, with the key in POSTMERGE_KEY.")
@as_json
def publish(built: bool, issue: str, allow: Sequence[str], gate: bool | None, server: str, json: bool) -> None:
    """Build, and mail what asks to be mailed and was not yet. Running it again sends nothing again.

    Examples: postmerge publish; postmerge publish --issue 2026-11-24-hello; postmerge publish --server https://example.org
    """
    settings = load_settings()
    found, findings = editions_of(settings, built, quiet=json)
    if server:
        facts = remote.publish(remote.server(server, settings), found, findings, issue, allow, gate)
        return print_json(facts) if json else out.print(show.plain("\n".join(remote.sentences(facts))))
    database = open_database(settings)
    request = publishing.Request(issue, allow, _gate(settings, gate))
    done = publishing.publish(database, settings, found, findings, make_transport(settings), request)
    if settings.redis_url and settings.hold.total_seconds() == 0:
        ring(settings, done.send_ids)
    if json:
        print_json({**show.steps_facts(done.plan), "sends": list(done.send_ids)})
    else:
        show.published(out, done)


@cli.command()
@click.argument("send", required=False, default="")
@as_json
def status(send: str, json: bool) -> None:
    """Show sends and what became of each delivery; SEND is an id or an issue's key.

    Example: postmerge status 12
    """
    standings = read_status(open_database(load_settings()), send)
    if json:
        print_json([standing_facts(one) for one in standings])
    else:
        show.status(out, standings)


@cli.command()
def migrate() -> None:
    """Bring the database up to date; safe to run again, and while the program runs.

    Example: postmerge migrate
    """
    done = run_migrations(Database(load_settings().need_database()))
    out.print(f"Applied {', '.join(done)}." if done else "The database is up to date.")


@cli.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=8025, show_default=True, type=click.IntRange(1, 65535))
@click.option("--until-eof", is_flag=True, hidden=True)
def serve(host: str, port: int, until_eof: bool) -> None:
    """Serve the archive, the forms, the outbox viewer and the API.

    Example: postmerge serve --port 8025
    """
    from api.server import serve as run_server

    settings = load_settings("serve")
    settings.need_secret()
    run_server(settings, open_database(settings), editions.site_name(settings.config), host, port, stop_signal(until_eof))


@cli.command()
@click.option("--until-eof", is_flag=True, hidden=True)
def worker(until_eof: bool) -> None:
    """Deliver mails, as the doorbells ask. Run as many as you like, on any machine.

    Example: postmerge worker
    """
    settings = load_settings("worker")
    need_redis(settings)
    settings.need_secret()
    stopping = stop_signal(until_eof)
    work = Work(open_database(settings), settings, make_transport(settings), editions.site_name(settings.config))
    workshop = Workshop(work)
    workshop.start()
    stopping.wait()
    workshop.stop()


@cli.command()
@click.option("--until-eof", is_flag=True, hidden=True)
def scheduler(until_eof: bool) -> None:
    """Be the clock: start what is due, finish what is done, ring doorbells. One is enough, two do no harm.

    Example: postmerge scheduler
    """
    settings = load_settings("scheduler")
    need_redis(settings)
    run_scheduler(open_database(settings), settings, Bell(settings.redis_url), stop_signal(until_eof))


@cli.command()
@click.option("--content", type=click.Path(path_type=Path), default=None, help="Folder of issues (default: content).")
@click.option("--port", default=8025, show_default=True, type=click.IntRange(1, 65535))
@click.option("--home", type=click.Path(path_type=Path), default=Path(".postmerge"), show_default=True)
def stack(content: Path | None, port: int, home: Path) -> None:
    """Everything on one machine: Postgres, Valkey, site, forms, worker, scheduler. This is `make run`.

    Example: postmerge stack --content ../my-letter/content
    """
    from mailer.stack import run

    run(content, port, home, out)


def ring(settings: Settings, send_ids: Sequence[int]) -> None:
    """Ring for new sends; the scheduler does it too."""
    bell = Bell(settings.redis_url)
    for send_id in send_ids:
        bell.ring_send(send_id)


def _gate(settings: Settings, asked: bool | None) -> bool:
    return settings.transport == "ses" if asked is None else asked


if __name__ == "__main__":
    main()
