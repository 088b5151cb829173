"""From an edition to a send: adopt, plan, publish, status."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click
from rich.text import Text

from mailer.commands import cli_output
from mailer.commands.cli_findings import show_findings
from mailer.commands.cli_output import count
from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.commands.publishing import remote_publish
from mailer.commands.publishing.build_steps import editions_of, show_other_errors, with_checks
from mailer.core.edition import Edition, Finding
from mailer.core.errors import Refused
from mailer.core.settings import Settings
from mailer.flows import publishing
from mailer.flows.publishing.preflight import ALLOWED
from mailer.flows.publishing.publish import Request, adopt_issues, make_plan, preview_publish
from mailer.flows.publishing.publish_plan import Action, Plan
from mailer.flows.sending.send_status import list_send_statuses, send_facts
from mailer.transports import make_transport

built = click.option("--built", is_flag=True, help="Use the last build instead of building now.")
one_issue = click.option(
    "--issue", metavar="KEY", default="", help="Send this issue (key or path), whatever its front matter says."
)
allow_option = click.option(
    "--allow",
    multiple=True,
    type=click.Choice(ALLOWED),
    help="Publish although this preflight check fails (repeatable).",
)
gate_option = click.option(
    "--gate/--no-gate", default=None, help="Check the live page first (default: only with the ses transport)."
)

server_option = click.option("--server", metavar="URL", default="", help="Use this server, with the key in POSTMERGE_API_KEY.")


@click.command()
@built
def adopt(built: bool) -> None:
    """Record all issues as already published, so that they are never sent automatically.

    Example: postmerge adopt
    """
    settings = load_settings()
    found, findings = editions_of(settings, built)
    number = adopt_issues(open_database(settings), settings, found)
    out.print(f"Adopted {number} of {count(len(found), 'issue')}. Nothing was sent. New issues with `Send: yes` will be sent.")
    if errors := [one for one in findings if one.level == "error"]:
        show_findings(err, errors)
        raise Refused("Files with errors were not adopted: correct them, then run `postmerge adopt` again.")


@click.command()
@built
@one_issue
@allow_option
@gate_option
@server_option
@click.option("--all", "everything", is_flag=True, help="Also show issues with nothing to do.")
@as_json
def plan(
    built: bool, issue: str, allow: Sequence[str], gate: bool | None, server: str, everything: bool, json: bool
) -> None:  # fmt: skip
    """Show what publishing would do now, without changing anything. Exits with 1 if publishing would be refused.

    Examples: postmerge plan; postmerge plan --server https://news.example.org
    """
    settings = load_settings()
    found, findings = editions_of(settings, built, quiet=json)
    if server:
        order, _ = remote_publish.hand_over(remote_publish.server(server, settings), found, issue, allow, gate)
        facts = _plan_remotely(settings, remote_publish.server(server, settings), order, findings)[1]
        print_json(facts) if json else out.print(Text("\n".join(remote_publish.planned(facts))))
        sys.exit(1 if facts["refusals"] else 0)
    database = open_database(settings)
    findings = _checked(settings, make_plan(database, settings, found, issue), findings)
    request = Request(issue, allow, _gate(settings, gate))
    outlook = preview_publish(database, settings, found, findings, make_transport(settings), request)
    if json:
        print_json(cli_output.plan_facts(outlook))
    else:
        cli_output.plan(out, outlook, everything)
    if outlook.refusals:
        sys.exit(1)


@click.command()
@built
@one_issue
@allow_option
@gate_option
@server_option
@as_json
def publish(built: bool, issue: str, allow: Sequence[str], gate: bool | None, server: str, json: bool) -> None:
    """Build, check, and schedule the sends of all new issues. Running it again never sends an issue twice.

    Examples: postmerge publish; postmerge publish --issue 2026-11-24-hello; postmerge publish --server https://example.org
    """
    settings = load_settings()
    found, findings = editions_of(settings, built, quiet=json)
    if server:
        return _publish_remotely(settings, server, found, findings, issue, allow, gate, json)
    database = open_database(settings)
    findings = _checked(settings, make_plan(database, settings, found, issue), findings)
    request = Request(issue, allow, _gate(settings, gate))
    done = publishing.publish.publish(database, settings, found, findings, make_transport(settings), request)
    if settings.redis_url and settings.hold.total_seconds() == 0:
        wake_workers(settings, done.send_ids)
    if json:
        return print_json({**cli_output.steps_facts(done.plan), "sends": list(done.send_ids)})
    show_other_errors(findings)
    cli_output.published(out, done)


def _publish_remotely(
    settings: Settings, url: str, found: Sequence[Edition], findings: Sequence[Finding], issue: str,
    allow: Sequence[str], gate: bool | None, json: bool,
) -> None:  # fmt: skip
    there = remote_publish.server(url, settings)
    order, new = remote_publish.hand_over(there, found, issue, allow, gate)
    if not json:
        out.print(f"Uploaded {count(new, 'new edition')}.")
    findings, _ = _plan_remotely(settings, there, order, findings)
    facts = remote_publish.publish(there, order, findings)
    if json:
        return print_json({**facts, "handed_over": new})
    show_other_errors(findings)
    out.print(Text("\n".join(remote_publish.sentences(facts))))


def _plan_remotely(
    settings: Settings, there: remote_publish.Server, order: remote_publish.PublishRequest, findings: Sequence[Finding]
) -> tuple[Sequence[Finding], dict[str, Any]]:
    """The findings with the errors of the checks, which need the sources, and the server's plan with them."""
    facts = remote_publish.plan(there, order, findings)
    paths = [path for step in facts["steps"] if step["action"] in ("send", "update") for path in step["paths"]]
    checked = with_checks(settings, findings, paths)
    return checked, facts if len(checked) == len(findings) else remote_publish.plan(there, order, checked)


def _checked(settings: Settings, plan: Plan, findings: Sequence[Finding]) -> Sequence[Finding]:
    sending = [step.edition for step in plan.of(Action.SEND, Action.UPDATE) if step.edition]
    return with_checks(settings, findings, [path for edition in sending for path in edition.paths])


@click.command()
@click.argument("send", required=False, default="")
@as_json
def status(send: str, json: bool) -> None:
    """Show sends and their deliveries. SEND is an id or an issue's key.

    Example: postmerge status 12
    """
    statuses = list_send_statuses(open_database(load_settings()), send)
    if json:
        print_json([send_facts(one) for one in statuses])
    else:
        cli_output.status(out, statuses)


def wake_workers(settings: Settings, send_ids: Sequence[int]) -> None:
    """Wake the workers for new sends; otherwise the scheduler does it."""
    from mailer.workers.actors import WakeUps

    wake_ups = WakeUps(settings.redis_url)
    for send_id in send_ids:
        wake_ups.enqueue_send(send_id)


def _gate(settings: Settings, asked: bool | None) -> bool:
    return settings.transport == "ses" if asked is None else asked
