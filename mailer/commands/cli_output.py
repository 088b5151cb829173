"""Output of the command line: tables for people, plain data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.text import Text

from mailer.commands.folded_table import FoldedTable
from mailer.commands.plurals import count
from mailer.core.edition import Edition, by_text
from mailer.core.i18n import local_time
from mailer.flows.publishing.publish import Outlook, Published
from mailer.flows.publishing.publish_plan import Action, Plan, Step
from mailer.flows.publishing.sequence_plan import change_facts, list_sentences
from mailer.flows.sending.send_status import SendStatus
from mailer.flows.sending.warmup import WarmupState
from mailer.store.subscribers.subscribers import Subscriber
from mailer.transports.base import USD_PER_EMAIL, AccountLimits

JSON_VERSION = 1  # of what `plan` and `publish` print; see docs/reference/plan.schema.json
_BUSY = (Action.SEND, Action.UPDATE, Action.CANCEL, Action.RENAME, Action.RECORD)


def plan(console: Console, outlook: Outlook, everything: bool) -> None:
    """Print what happens to each issue, then what publishing would do or why it is refused."""
    steps = [step for step in outlook.plan.steps if everything or step.action in _BUSY]
    for step in steps:
        console.print(
            Text.assemble((step.key, "bold"), f"  {step.action}{f': {step.why}' if step.why else ''}"), soft_wrap=True
        )
        if step.edition and step.action in (Action.SEND, Action.UPDATE):
            console.print(f"  {_describe_send(step, step.edition, outlook.account)}", soft_wrap=True)
    sequences(console, outlook.plan, everything)
    if outlook.refusals:
        console.print(Text("Publishing is refused. Nothing is sent:", style="bold red"))
        for refusal in outlook.refusals:
            console.print(Text(f"- {refusal.sentence}", style="red"), soft_wrap=True)
    else:
        console.print(_verdict(outlook))
    if outlook.warmup:
        console.print(Text(_describe_warmup(outlook.warmup, outlook.plan)), soft_wrap=True)


def sequences(console: Console, plan: Plan, everything: bool = False) -> None:
    """Print what publishing does about sequences: a line for each, and for each step that changes."""
    for change in plan.sequences:
        if change.changed or everything:
            console.print(Text("\n".join(list_sentences(change_facts(change)))), soft_wrap=True)


def _describe_send(step: Step, edition: Edition, account: AccountLimits | None) -> str:
    first = f", first email {moment(step.due_at)}" if step.due_at else ""
    subscribers = count(step.size, "subscriber")
    return f"“{edition.subject}” to {subscribers}{step.texts_said}{first}, takes {lasts(step.size, account)}"


def _verdict(outlook: Outlook) -> str:
    if outlook.plan.first and not outlook.plan.of(Action.SEND):
        newest = max((s.edition for s in outlook.plan.steps if s.edition), key=lambda e: e.dated, default=None)
        hint = f" To send the newest one: `postmerge publish --issue {newest.key}`." if newest else ""
        adopted = count(len(outlook.plan.of(Action.ADOPT)), "issue")
        return f"The ledger is empty: publishing adopts {adopted} and sends nothing.{hint}"
    sending = outlook.plan.of(Action.SEND)
    if not sending:
        return "Publishing now would send nothing."
    emails = sum(step.size for step in sending)
    cost = f", costing about {emails * USD_PER_EMAIL:.2f} USD" if outlook.account else ""
    return f"Publishing now would send {count(len(sending), 'issue')} to {count(emails, 'subscriber')}{cost}."


def _describe_warmup(warmup: WarmupState, plan: Plan) -> str:
    emails = sum(step.size for step in plan.of(Action.SEND, Action.UPDATE))
    days = warmup.count_days(emails)
    return warmup.describe() + (f" {count(emails, 'email')} take {count(days, 'day')}." if emails else "")


def plan_facts(outlook: Outlook) -> dict[str, Any]:
    """The plan as JSON data."""
    return {
        **steps_facts(outlook.plan, outlook.account),
        "refusals": [{"check": refusal.name, "sentence": refusal.sentence} for refusal in outlook.refusals],
        "warmup": outlook.warmup.describe() if outlook.warmup else None,
    }


def steps_facts(plan: Plan, account: AccountLimits | None = None) -> dict[str, Any]:
    """The steps that change something, as JSON data."""
    return {
        "version": JSON_VERSION,
        "first": plan.first,
        "counts": {str(action): len(plan.of(action)) for action in Action},
        "steps": [_step_facts(step, account) for step in plan.steps if step.action in _BUSY],
        "sequences": [change_facts(change) for change in plan.sequences if change.changed],
    }


def _step_facts(step: Step, account: AccountLimits | None) -> dict[str, Any]:
    seconds = step.size / account.rate if account and account.rate > 0 else None
    return {
        "issue": step.key,
        "action": str(step.action),
        "why": step.why,
        "subject": step.edition.subject if step.edition else None,
        "edition": step.edition.number if step.edition else None,
        "digest": step.edition.digest if step.edition else None,
        "audience": step.edition.audience if step.edition else None,
        "from": step.edition.sender or None if step.edition else None,
        "reply_to": step.edition.reply_to or None if step.edition else None,
        "subscribers": step.size,
        "texts": by_text(step.texts, step.edition.lang) if step.edition else {},
        "due_at": step.due_at.isoformat() if step.due_at else None,
        "seconds": round(seconds, 1) if seconds is not None else None,
    }


def published(console: Console, done: Published) -> None:
    """Print what publishing did, one line for each step."""
    if done.plan.first:
        adopted = len(done.plan.of(Action.ADOPT))
        if adopted or not done.send_ids:
            console.print(f"First publish: {count(adopted, 'issue')} recorded as already published, none sent.")
        if not done.send_ids:
            console.print(_verdict(Outlook(done.plan, (), None)).split("sends nothing.")[-1].strip() or "")
    for step in done.plan.of(Action.SEND):
        assert step.edition
        console.print(
            Text(
                f"{step.key}: “{step.edition.subject}” goes to {count(step.size, 'subscriber')}{step.texts_said},"
                f" first email {moment(step.due_at)}{'; scheduled again after a cancellation' if step.send else ''}."
            ),
            soft_wrap=True,
        )
    for step in done.plan.of(Action.UPDATE, Action.CANCEL, Action.RENAME):
        console.print(Text(f"{step.key}: {step.action} ({step.why})."), soft_wrap=True)
    for step in done.plan.of(Action.KEEP):
        if step.held_back:
            console.print(Text(f"{step.key}: {step.why}."), soft_wrap=True)
    sequences(console, done.plan)
    if not done.plan.first and not done.send_ids:
        console.print("Nothing new to send.")


def status(console: Console, statuses: Sequence[SendStatus]) -> None:
    """Print two lines for each send. An issue's key is never cut, however narrow the terminal is."""
    if not statuses:
        console.print("No sends yet. `postmerge plan` shows what publishing would do.")
    for one in statuses:
        send = one.send
        head = Text.assemble(
            (f"Send {send.id}  ", "bold"),
            (send.issue_key, "bold"),
            f"  {f'edition {send.edition_number}, ' if send.edition_number > 1 else ''}{send.state}",
        )
        console.print(head, soft_wrap=True)
        counts = ", ".join(f"{number:,} {state}" for state, number in one.deliveries.items() if number)
        subscribers = "not frozen yet" if send.audience_size is None else count(send.audience_size, "subscriber")
        when = moment(send.finished_at or send.started_at or send.due_at)
        console.print(f"  {when}, {subscribers}{f': {counts}' if counts else ''}", soft_wrap=True)
        if note := explain_status(one):
            console.print(Text(f"  Send {send.id} {note}", style="yellow"), soft_wrap=True)


def explain_status(one: SendStatus) -> str:
    """Explain why a send is not progressing: it is paused, waiting, or watching its first slice."""
    send = one.send
    if send.reason:
        return f"{send.state}: {send.reason}"
    if send.waiting_reason:
        return f"is waiting: {send.waiting_reason}"
    if send.open_wave == 0 and send.watch_until:
        return f"is waiting for the outcomes of its first slice until {moment(send.watch_until)}, then sends to the rest"
    if send.open_wave == 0 and send.state == "sending":
        return "is sending its first slice and waits for the outcomes before it sends to the rest"
    return ""


def subscribers(console: Console, found: Sequence[Subscriber]) -> None:
    """Print subscribers as a table."""
    table = FoldedTable("email", "state", "tags")
    for one in found:
        table.add_row(one.email, one.state, ", ".join(one.tags))
    console.print(table)
    console.print(f"{count(len(found), 'subscriber')}.")


def moment(when: datetime | None) -> str:
    """Format a time for people; empty if there is none."""
    return local_time.moment(when, "%a %d %b %Y %H:%M") if when else ""


def lasts(emails: int, account: AccountLimits | None) -> str:
    """Format how long sending takes at the account's rate."""
    if account is None or account.rate <= 0:
        return "a moment"
    seconds = emails / account.rate
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
