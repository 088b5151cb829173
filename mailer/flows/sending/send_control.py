"""Control a running send: pause, resume, stop. Workers check before each claim, so it takes effect within a second."""

from __future__ import annotations

from datetime import UTC, datetime

from mailer.core import log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused
from mailer.flows.sending import circuit_breakers
from mailer.store.operations import notices
from mailer.store.publishing import issues
from mailer.store.sending import sends
from mailer.store.sending.sends import NOT_STARTED, Send, SendState

logger = log.get("control")

_OPEN = (*NOT_STARTED, SendState.SENDING)


def pause_send(database: Database, target: str, reason: str = "paused by the operator") -> Send:
    """Send no more emails until ``resume_send``; idempotent. Raises Refused when the send is over or stopped."""
    return _move(database, target, _OPEN, SendState.PAUSED, reason)


def stop_send(database: Database, target: str, reason: str = "stopped by the operator") -> Send:
    """Like ``pause_send``, but resuming needs a confirmation (``--yes``)."""
    return _move(database, target, (*_OPEN, SendState.PAUSED), SendState.STOPPED, reason)


def resume_send(database: Database, target: str, sure: bool = False, gate: bool = True) -> Send:
    """Continue a paused send, or with ``sure`` a stopped one. Without ``gate``, it starts even if its page is not live.

    Raises Refused when the send is over.
    """
    with database.transaction() as tx:
        send = sends.lock(tx, find_send(tx, target).id)
        assert send
        if not gate and send.started_at is None:
            sends.open_gate(tx, send.id)
        if send.state in _OPEN:
            return send
        if send.state not in (SendState.PAUSED, SendState.STOPPED):
            raise Refused(f"Send {send.id} of {send.issue_key} is {send.state}: you can only resume a paused or stopped send.")
        if send.state is SendState.STOPPED and not sure:
            raise Refused(f"Send {send.id} was stopped ({send.reason}): fix the cause, then resume it with `--yes`.")
        if send.state is SendState.STOPPED and sends.get_acknowledged(tx, send.id).emails:
            circuit_breakers.acknowledge_outcomes(tx, send)
        sends.move(tx, send.id, [send.state], _state_before_halt(send))
        if send.started_at is None:
            sends.set_due(tx, send.id, max(send.due_at, datetime.now(UTC)))
        logger.info("send.resumed", send=send.id)
        return sends.get(tx, send.id) or send


def halt_send(tx: Tx, send: Send, state: SendState, reason: str) -> bool:
    """Pause or stop a send automatically and notify the operator; returns whether it was still active."""
    if not sends.move(tx, send.id, _OPEN, state, reason):
        return False
    notices.add(tx, f"Send {send.id} of {send.issue_key} is {state}: {reason}")
    logger.error(f"send.{state}", send=send.id, reason=reason)
    return True


def find_send(tx: Tx, target: str) -> Send:
    """Find a send by its id, or the newest of an issue by its key, old or new; ``send:12`` and ``issue:12`` disambiguate.

    Raises BadInput when there is none, and when a bare number matches both a send and an issue.
    """
    everything = sends.list_all(tx)
    by_name = {issue.key: issue.root for issue in issues.list_all(tx)}
    kind, name = parse_target(target)
    by_id = next((send for send in everything if name == str(send.id) and kind != "issue"), None)
    keys = [] if kind == "send" else [name, by_name.get(name)]
    by_key = next((send for key in keys for send in everything if send.issue_key == key), None)
    if by_id and by_key and by_id.id != by_key.id:
        raise BadInput(
            f"{name} is both the id of a send (of {by_id.issue_key}) and the key of an issue (send {by_key.id}):"
            f" write `send:{name}` or `issue:{name}`."
        )
    if found := by_id or by_key:
        return found
    raise BadInput(f"There is no send {target!r}: `postmerge status` lists them.")


def parse_target(target: str) -> tuple[str, str]:
    """Split an operator's target into its kind ("send", "issue", or "" for either) and its name."""
    kind, _, name = target.partition(":")
    return (kind, name) if kind in ("send", "issue") else ("", target)


def _state_before_halt(send: Send) -> SendState:
    if send.audience_size is None:
        return SendState.SCHEDULED
    return SendState.HOLDING if send.started_at is None else SendState.SENDING


def _move(database: Database, target: str, source: tuple[SendState, ...], state: SendState, reason: str) -> Send:
    with database.transaction() as tx:
        send = find_send(tx, target)
        if sends.move(tx, send.id, source, state, reason):
            logger.info(f"send.{state}", send=send.id)
        now = sends.get(tx, send.id) or send
    if now.state is SendState.STOPPED and state is SendState.PAUSED:
        raise Refused(
            f"Send {send.id} of {send.issue_key} is already stopped ({now.reason}): nothing is sent until you run"
            f" `postmerge resume {send.id} --yes`."
        )
    if now.state is not state:
        raise Refused(f"Send {send.id} of {send.issue_key} is {now.state}: only an active send can be {state}.")
    return now
