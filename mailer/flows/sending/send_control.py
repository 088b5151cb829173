"""The operator's hand on a running send: pause, resume, stop. Workers ask before each claim, so it acts within a second."""

from __future__ import annotations

from datetime import UTC, datetime

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused
from mailer.flows.sending import circuit_breakers
from mailer.store.operations import notices
from mailer.store.publishing import issues
from mailer.store.sending import sends
from mailer.store.sending.sends import NOT_STARTED, Send, State

events = log.get("control")

_OPEN = (*NOT_STARTED, State.SENDING)


def pause(database: Database, target: str, reason: str = "paused by the operator") -> Send:
    """No more mails leave until ``resume``; again is fine. Raises Refused for a send that is over or stopped."""
    return _move(database, target, _OPEN, State.PAUSED, reason)


def stop(database: Database, target: str, reason: str = "stopped by the operator") -> Send:
    """Like ``pause``, but ``resume`` then needs the word that it is meant."""
    return _move(database, target, (*_OPEN, State.PAUSED), State.STOPPED, reason)


def resume(database: Database, target: str, sure: bool = False, gate: bool = True) -> Send:
    """Go on where the send was. A stopped one needs ``sure``; without ``gate`` it starts although its page is not live.

    Raises Refused for what does not stand still.
    """
    with database.transaction() as tx:
        send = sends.lock(tx, find(tx, target).id)
        assert send
        if not gate and send.started_at is None:
            sends.open_gate(tx, send.id)
        if send.state in _OPEN:
            return send
        if send.state not in (State.PAUSED, State.STOPPED):
            raise Refused(f"Send {send.id} of {send.issue_key} is {send.state}: only a paused or stopped send can go on.")
        if send.state is State.STOPPED and not sure:
            raise Refused(f"Send {send.id} was stopped ({send.reason}): when that is mended, resume it with `--yes`.")
        if send.state is State.STOPPED and sends.excused(tx, send.id).mails:
            circuit_breakers.excuse(tx, send)
        sends.move(tx, send.id, [send.state], _before(send))
        if send.started_at is None:
            sends.set_due(tx, send.id, max(send.due_at, datetime.now(UTC)))
        events.info("send.resumed", send=send.id)
        return sends.get(tx, send.id) or send


def halt(tx: Tx, send: Send, state: State, reason: str) -> bool:
    """Pause or stop a send from inside, and tell the operator; whether it was still going."""
    if not sends.move(tx, send.id, _OPEN, state, reason):
        return False
    notices.add(tx, f"Send {send.id} of {send.issue_key} is {state}: {reason}")
    events.error(f"send.{state}", send=send.id, reason=reason)
    return True


def find(tx: Tx, target: str) -> Send:
    """A send by id, or the newest one of an issue, also under the name it has now; ``send:12`` and ``issue:12`` say which.

    Raises BadInput when there is none, and when a bare number is both a send's and an issue's.
    """
    everything = sends.every(tx)
    by_name = {issue.key: issue.root for issue in issues.every(tx)}
    kind, name = named(target)
    by_id = next((send for send in everything if name == str(send.id) and kind != "issue"), None)
    keys = [] if kind == "send" else [name, by_name.get(name)]
    by_key = next((send for key in keys for send in everything if send.issue_key == key), None)
    if by_id and by_key and by_id.id != by_key.id:
        raise BadInput(
            f"{name} is the number of a send (of {by_id.issue_key}) and the name of an issue (send {by_key.id}):"
            f" write `send:{name}` or `issue:{name}`."
        )
    if found := by_id or by_key:
        return found
    raise BadInput(f"There is no send {target!r}: `postmerge status` lists them.")


def named(target: str) -> tuple[str, str]:
    """What kind of name an operator gave ("send", "issue", or "" for either), and the name."""
    kind, _, name = target.partition(":")
    return (kind, name) if kind in ("send", "issue") else ("", target)


def _before(send: Send) -> State:
    if send.audience_size is None:
        return State.SCHEDULED
    return State.HOLDING if send.started_at is None else State.SENDING


def _move(database: Database, target: str, source: tuple[State, ...], state: State, reason: str) -> Send:
    with database.transaction() as tx:
        send = find(tx, target)
        if sends.move(tx, send.id, source, state, reason):
            events.info(f"send.{state}", send=send.id)
        now = sends.get(tx, send.id) or send
    if now.state is State.STOPPED and state is State.PAUSED:
        raise Refused(
            f"Send {send.id} of {send.issue_key} is stopped already ({now.reason}): nothing leaves until"
            f" `postmerge resume {send.id} --yes`."
        )
    if now.state is not state:
        raise Refused(f"Send {send.id} of {send.issue_key} is {now.state}: only a send that is not over can be {state}.")
    return now
