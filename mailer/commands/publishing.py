"""From an edition to a send: adopt, plan, publish, status."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mailer import show
from mailer.commands.building import editions_of
from mailer.commands.common import as_json, load_settings, open_database, out, print_json
from mailer.flows import publish as flow
from mailer.flows.guards import ALLOWED
from mailer.flows.status import standing_facts
from mailer.flows.status import status as read_status
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


@click.command()
@built
def adopt(built: bool) -> None:
    """Write every issue down as already public, so that it is never mailed by itself.

    Example: postmerge adopt
    """
    settings = load_settings()
    found, _ = editions_of(settings, built)
    number = flow.adopt(open_database(settings), settings, found)
    out.print(f"Adopted {number} of {len(found)} issues; nothing was sent. New issues with `Send: yes` will be mailed.")


@click.command()
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
    request = flow.Request(issue, allow, _gate(settings, gate))
    outlook = flow.look(open_database(settings), settings, found, findings, make_transport(settings), request)
    if json:
        print_json(show.plan_facts(outlook))
    else:
        show.plan(out, outlook, everything)


@click.command()
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
        from mailer.commands import remote

        facts = remote.publish(remote.server(server, settings), found, findings, issue, allow, gate)
        return print_json(facts) if json else out.print("\n".join(remote.sentences(facts)))
    database = open_database(settings)
    request = flow.Request(issue, allow, _gate(settings, gate))
    done = flow.publish(database, settings, found, findings, make_transport(settings), request)
    if settings.redis_url and settings.hold.total_seconds() == 0:
        ring(settings, done.send_ids)
    if json:
        print_json({**show.steps_facts(done.plan), "sends": list(done.send_ids)})
    else:
        show.published(out, done)


@click.command()
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


def ring(settings: Settings, send_ids: Sequence[int]) -> None:
    """Ring for new sends; the scheduler does it too."""
    from mailer.actors import Bell

    bell = Bell(settings.redis_url)
    for send_id in send_ids:
        bell.ring_send(send_id)


def _gate(settings: Settings, asked: bool | None) -> bool:
    return settings.transport == "ses" if asked is None else asked
