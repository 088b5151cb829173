"""From an edition to a send: adopt, plan, publish, status."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click
from rich.text import Text

from mailer.commands import cli_output, process_overview
from mailer.commands.cli_findings import show_findings
from mailer.commands.common import as_json, err, load_settings, open_database, out, print_json
from mailer.commands.completion import complete_issue, send_argument
from mailer.commands.plurals import count
from mailer.commands.publishing import remote_publish
from mailer.commands.publishing.adopt_comparison import show_comparison
from mailer.commands.publishing.build_steps import editions_of, show_other_errors, with_checks
from mailer.commands.publishing.site_preview import PreviewOptions, run_preview
from mailer.core.edition import Edition, Finding
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.flows import publishing
from mailer.flows.publishing.preflight import ALLOWED
from mailer.flows.publishing.publish import Request, adopt_issues, make_plan, preview_publish
from mailer.flows.publishing.publish_plan import Action, Plan
from mailer.flows.sending.send_status import list_send_statuses, send_facts
from mailer.flows.sending.warmup import read_warmup
from mailer.transports import make_transport
from mailer.workbench.history import History

SENDS_SHOWN = 20  # by `status`: each is counted

built = click.option("--built", is_flag=True, help="Use the last build instead of building now.")
one_issue = click.option(
    "--issue",
    metavar="KEY",
    default="",
    shell_complete=complete_issue,
    help="Send this issue (key or path), whatever its front matter says.",
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


def _read_commit(_ctx: click.Context, _option: click.Parameter, text: str) -> str:
    if text and not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text):
        raise click.BadParameter(f"{text!r} is not a whole commit id, such as `git rev-parse HEAD` prints.")
    return text


commit_option = click.option(
    "--commit",
    metavar="ID",
    default="",
    callback=_read_commit,
    help="The git commit that was built, for the receipt (default: what git says).",
)


@click.command()
@built
@click.option("--compare", is_flag=True, help="Only compare the site with what Pelican alone would write.")
def adopt(built: bool, compare: bool) -> None:
    """Record all issues as already published, so that they are never sent automatically.

    Examples: postmerge adopt; postmerge adopt --compare
    """
    settings = load_settings()
    found, findings = editions_of(settings, built)
    if compare:
        return show_comparison(settings)
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
    there = remote_publish.server(server, settings, "plan") if server else None
    if not there:
        settings.need_transport()
    found, findings = editions_of(settings, built, quiet=json)
    if there:
        order, _ = remote_publish.hand_over(there, found, issue, allow, gate)
        facts = _plan_remotely(settings, there, order, findings)[1]
        versioned = {"version": cli_output.JSON_VERSION, **facts}
        if json:
            print_json(versioned)
        else:
            out.print(Text("\n".join(remote_publish.planned(facts))))
            if not facts["refusals"]:
                show_other_errors(findings)
        sys.exit(1 if facts["refusals"] else 0)
    database = open_database(settings)
    findings = _checked(settings, make_plan(database, settings, found, issue), findings)
    request = Request(issue, allow, _gate(settings, gate))
    outlook = preview_publish(database, settings, found, findings, make_transport(settings), request)
    if json:
        print_json(cli_output.plan_facts(outlook))
    else:
        cli_output.plan(out, outlook, everything)
        if not outlook.refusals:  # which name the errors that matter
            show_other_errors(findings)
    if outlook.refusals:
        sys.exit(1)


@click.command()
@built
@one_issue
@allow_option
@gate_option
@server_option
@commit_option
@click.option("--preview", is_flag=True, help="With --server: only show the built site to reviewers, at a private address.")
@click.option("--branch", metavar="NAME", default="", help="With --preview: whose site it is (default: what git says).")
@click.option(
    "--base",
    default="",
    metavar="REF",
    help="With --preview: the branch to merge into; new pictures come first in a large preview (default: origin/main).",
)
@click.option("--remove", is_flag=True, help="With --preview: remove it, once the branch is merged.")
@click.option("--reviewer-link", is_flag=True, help="With --preview: print the address that shows paid text, too.")
@as_json
def publish(
    built: bool, issue: str, allow: Sequence[str], gate: bool | None, server: str, commit: str,
    preview: bool, branch: str, base: str, remove: bool, reviewer_link: bool, json: bool,
) -> None:  # fmt: skip
    """Build, check, and schedule the sends of all new issues. Running it again never sends an issue twice.

    Examples: postmerge publish; postmerge publish --issue 2026-11-24-hello; postmerge publish --server https://example.org;
    postmerge publish --preview --server https://example.org
    """
    settings = load_settings()
    if preview:
        return run_preview(settings, server, PreviewOptions(branch, base, remove, reviewer_link, built, json))
    if branch or base or remove or reviewer_link:
        raise click.UsageError("--branch, --base, --remove and --reviewer-link need --preview.")
    there = remote_publish.server(server, settings, "publish") if server else None
    if not there:
        settings.need_transport()
    found, findings = editions_of(settings, built, quiet=json)
    commit = commit or _find_commit(settings)
    if there:
        return _publish_remotely(settings, there, found, findings, Request(issue, allow, commit=commit), gate, json)
    database = open_database(settings)
    findings = _checked(settings, make_plan(database, settings, found, issue), findings)
    request = Request(issue, allow, _gate(settings, gate), commit=commit)
    done = publishing.publish.publish(database, settings, found, findings, make_transport(settings), request)
    if settings.redis_url and settings.hold.total_seconds() == 0:
        wake_workers(settings, done.send_ids)
    if json:
        return print_json({**cli_output.steps_facts(done.plan), "sends": list(done.send_ids)})
    show_other_errors(findings)
    cli_output.published(out, done)


def _publish_remotely(
    settings: Settings, there: remote_publish.Server, found: Sequence[Edition], findings: Sequence[Finding], request: Request,
    gate: bool | None, json: bool,
) -> None:  # fmt: skip
    order, new = remote_publish.hand_over(there, found, request.issue, list(request.allow), gate)
    order = replace(order, commit=request.commit)
    if not json:
        out.print(f"Uploaded {count(new, 'new edition')}.")
    findings, _ = _plan_remotely(settings, there, order, findings)
    facts = remote_publish.publish(there, order, findings)
    if json:
        return print_json({"version": cli_output.JSON_VERSION, **facts, "uploaded": new})
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


def _find_commit(settings: Settings) -> str:
    """The commit of the content; empty outside git."""
    try:
        return History(settings.content).find_commit()
    except BadInput:
        return ""


def _checked(settings: Settings, plan: Plan, findings: Sequence[Finding]) -> Sequence[Finding]:
    sending = [step.edition for step in plan.of(Action.SEND, Action.UPDATE) if step.edition]
    return with_checks(settings, findings, [path for edition in sending for path in edition.paths])


@click.command()
@send_argument(required=False)
@click.option("--all", "everything", is_flag=True, help=f"Also show sends before the latest {SENDS_SHOWN}.")
@as_json
def status(send: str, everything: bool, json: bool) -> None:
    """Show which processes run, what is due, and the sends with their deliveries. SEND is an id or an issue's key.

    Example: postmerge status 12
    """
    from mailer.flows.operations.heartbeats import read_overview

    database = open_database(load_settings())
    shortened = not (send or everything or json)
    statuses = list_send_statuses(database, send, SENDS_SHOWN if shortened else None)
    if json:
        print_json([send_facts(one) for one in statuses])
    else:
        process_overview.show(out, read_overview(database))
        if found := read_warmup(database):
            out.print(Text(found.describe()), soft_wrap=True)
        cli_output.status(out, statuses)
        if shortened and len(statuses) == SENDS_SHOWN:
            out.print("Older sends, if there are any: `postmerge status --all`.")


def wake_workers(settings: Settings, send_ids: Sequence[int]) -> None:
    """Wake the workers for new sends; otherwise the scheduler does it."""
    from mailer.workers.actors import WakeUps

    wake_ups = WakeUps(settings.redis_url)
    for send_id in send_ids:
        wake_ups.enqueue_send(send_id)


def _gate(settings: Settings, asked: bool | None) -> bool:
    return settings.transport != "outbox" if asked is None else asked
