"""``postmerge sequences``: who is in them, at which step, and stopping one."""

from __future__ import annotations

import click
from rich.text import Text

from mailer.commands.common import Group, as_json, load_settings, open_database, out, print_json
from mailer.commands.plurals import count
from mailer.core.i18n.local_time import format_after
from mailer.flows.sending import sequence_control
from mailer.flows.sending.sequence_control import SequenceOverview, StepOverview


@click.group(cls=Group, invoke_without_command=True)
@as_json
@click.pass_context
def sequences(context: click.Context, json: bool) -> None:
    """List the sequences, with how many subscribers wait for each step and had it.

    Sequences are files in `content/sequences/`; `postmerge plan` shows what a change would do.

    Example: postmerge sequences
    """
    if context.invoked_subcommand:
        return None
    found = sequence_control.list_sequences(open_database(load_settings()))
    if json:
        return print_json([_facts(one) for one in found])
    if not found:
        return out.print("No sequences yet: add `content/sequences/NAME/sequence.toml` and its steps, then publish.")
    for one in found:
        _show(one)
    return None


@sequences.command("stop")
@click.argument("name")
def stop(name: str) -> None:
    """Stop the sequence NAME: nobody is enrolled and no step is queued until you resume it.

    Example: postmerge sequences stop welcome
    """
    sequence_control.stop_sequence(open_database(load_settings()), name)
    out.print(Text(f"Sequence {name!r} is stopped. Emails that are queued already are still sent."), soft_wrap=True)


@sequences.command("resume")
@click.argument("name")
def resume(name: str) -> None:
    """Resume the sequence NAME: steps that fell due meanwhile are queued at once.

    Example: postmerge sequences resume welcome
    """
    settings = load_settings()
    settings.need_transport()
    sequence_control.resume_sequence(open_database(settings), name)
    out.print(Text(f"Sequence {name!r} runs."))


def _show(one: SequenceOverview) -> None:
    head = f"{one.name}  {one.state}, by {one.trigger}: {count(one.enrolled, 'subscriber')} in it"
    out.print(Text(head, style="bold"), soft_wrap=True)
    for number, step in enumerate(one.steps, 1):
        out.print(Text(f"  {_describe_step(number, step)}"), soft_wrap=True)
    if one.ended:
        ended = ", ".join(f"{number:,} {reason}" for reason, number in one.ended.items())
        out.print(Text(f"  no longer in it: {ended}"), soft_wrap=True)


def _describe_step(number: int, step: StepOverview) -> str:
    after = format_after(round(step.after.total_seconds()))
    held = f"; send {step.send_id} is {step.send_state}" if step.send_state in ("paused", "stopped") else ""
    return f"{number:02} {step.name} ({after}): {step.waiting:,} waiting, {step.queued:,} queued so far{held}"


def _facts(one: SequenceOverview) -> dict[str, object]:
    steps = [{**vars(step), "after": round(step.after.total_seconds())} for step in one.steps]
    return {**vars(one), "enrolled": one.enrolled, "steps": steps}
