"""The operator's hand on a running send: pause, resume, stop. Workers ask before each claim, so it acts within a second."""

from __future__ import annotations

from datetime import UTC, datetime

from mailer import log
from mailer.db import Database, Tx
from mailer.errors import BadInput, Refused
from mailer.store import issues, notices, sends
from mailer.store.sends import NOT_STARTED, Send, State

events = log.get("control")

_OPEN = (*NOT_STARTED, State.SENDING)


def pause(database: Database, target: str, reason: str = "paused by the operator") -> Send:
    """No more mails leave until ``resume``; again is fine. Raises Refused for a send that is over or stopped."""
    return _move(database, target, _OPEN, State.PAUSED, reason)


def stop(database: Database, target: str, reason: str = "stopped by the operator") -> Send:
    """Like ``pause``, but ``resume`` then needs the word that it is meant."""
    return _move(database, target, (*_OPEN, State.PAUSED), State.STOPPED, reason)


def resume(database: Database, target: str, sure: bool = False) -> Send:
    """Go on where the send was. A stopped one needs ``sure``. Raises Refused for what does not stand still."""
    with database.transaction() as tx:
        send = sends.lock(tx, find(tx, target).id)
        assert send
        if send.state in _OPEN:
            return send
        if send.state not in (State.PAUSED, State.STOPPED):
            raise Refused(f"Send {send.id} of {send.issue_key} is {send.state}: only a paused or stopped send can go on.")
        if send.state is State.STOPPED and not sure:
            raise Refused(f"Send {send.id} was stopped ({send.reason}): when that is mended, resume it with `--yes`.")
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
    """A send by id, or the newest one of an issue, also under the name it has now. Raises BadInput."""
    everything = sends.every(tx)
    for send in everything:
        if target in (str(send.id), send.issue_key):
            return send
    by_name = {issue.key: issue.root for issue in issues.every(tx)}
    for send in everything:
        if by_name.get(target) == send.issue_key:
            return send
    raise BadInput(f"There is no send {target!r}: `postmerge status` lists them.")


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
    if now.state is not state:
        raise Refused(f"Send {send.id} of {send.issue_key} is {now.state}: only a send that is not over can be {state}.")
    return now
