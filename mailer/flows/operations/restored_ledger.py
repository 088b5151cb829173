"""Accept a restored database as the ledger without emailing anybody twice, or anybody who unsubscribed since the backup.

All open sends are paused, sequences are stopped, pending transactional emails are set aside, and the restore journal is
replayed. Then ``reconcile_sends`` marks what was sent since the backup, and the operator resumes the sends.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.settings import Settings
from mailer.flows.operations import restore_journal
from mailer.flows.operations.restore_journal import Line
from mailer.flows.sending import fence
from mailer.flows.sending.send_control import halt_send
from mailer.flows.subscribers import erasure
from mailer.store.operations import journal_rows
from mailer.store.publishing import issues
from mailer.store.publishing.issues import KnownIssue
from mailer.store.sending import deliveries, sends, sequences
from mailer.store.sending.sends import NOT_STARTED, Send, SendState
from mailer.store.subscribers import consent_log, subscribers, suppressions
from mailer.transports.s3_fence import open_fence_store

logger = log.get("restore")

PAUSE_REASON = (
    "paused because this database was restored: mark what was sent since the backup with `postmerge reconcile-sends`,"
    " then resume it"
)
_OPEN = (*NOT_STARTED, SendState.SENDING, SendState.PAUSED, SendState.STOPPED)
_SET_ASIDE = "set aside when this database was accepted after a restore: it may have been sent before"


@dataclass(frozen=True)
class OpenSend:
    """A send that could email somebody after the database is accepted."""

    send: Send
    deliveries: Mapping[str, int]


@dataclass
class AcceptedLedger:
    """What accepting changed. ``replayed`` counts the subscribers and addresses that the journal protected again, by kind."""

    paused: list[int] = field(default_factory=list)
    sequences: list[str] = field(default_factory=list)
    transactional: int = 0
    replayed: Counter[str] = field(default_factory=Counter)
    unknown_issues: list[str] = field(default_factory=list)


def list_open_sends(database: Database) -> list[OpenSend]:
    """Return every send that is not over, oldest first."""
    with database.transaction() as tx:
        found = [send for send in reversed(sends.list_all(tx)) if send.state in _OPEN]
        counts = deliveries.count_by_state(tx, [send.id for send in found])
    return [OpenSend(send, counts[send.id]) for send in found]


def accept_restored(database: Database, settings: Settings) -> AcceptedLedger:
    """Make the database safe, then accept it. If the fence agrees, or the ledger is new, nothing but the fence changes.

    Raises Refused when the fence is off. Safe to run again after a crash: the fence is accepted last.
    """
    done, before = AcceptedLedger(), fence.read_fence(database, settings)
    if before.row and before.problem:
        store = open_fence_store(settings.fence_place)
        with database.transaction() as tx:
            halt_everything(tx, done, PAUSE_REASON, _SET_ASIDE)
        if not fence.is_new_machine(before):
            _replay(database, settings, list(restore_journal.read_lines(store, before.row.id)), done)
    after = fence.accept_database(database, settings)
    if before.row and after.row and before.row.id != after.row.id:
        restore_journal.continue_in(store, before.row.id, after.row.id)
    return done


def halt_everything(tx: Tx, done: AcceptedLedger, why_paused: str, why_set_aside: str) -> None:
    """Pause every open send and set pending transactional emails aside, so that this database sends nothing by itself."""
    for send in sends.list_all(tx):
        if halt_send(tx, send, SendState.PAUSED, why_paused):
            done.paused.append(send.id)
    done.sequences += sequences.stop_all(tx)
    done.transactional = journal_rows.settle_open_transactional(tx, why_set_aside)


def _replay(database: Database, settings: Settings, lines: Sequence[Line], done: AcceptedLedger) -> None:
    with database.transaction() as tx:
        journal_rows.delete_all(tx)
        _replay_subscribers(tx, settings, lines, done)
        _replay_suppressions(tx, settings, lines, done)
        _replay_sends(tx, [line for line in lines if line["kind"] == "send"], done)
    logger.info("restore.replayed", **{name.replace(" ", "_"): number for name, number in done.replayed.items()})


def _replay_subscribers(tx: Tx, settings: Settings, lines: Sequence[Line], done: AcceptedLedger) -> None:
    """Replay in order: the address in a line is the one before the change, so a number given again is somebody else's."""
    final_states = {line["subscriber"]: line["to"] for line in lines if line["kind"] == "state"}
    erased = {line["address"] for line in lines if line["kind"] == "erased address"}
    for line in lines:
        subscriber = subscribers.lock(tx, line["subscriber"]) if "subscriber" in line else None
        if subscriber is None:
            continue
        if line["kind"] == "erased":
            if erased & _list_hashes(settings, subscriber.email_normal):
                erasure.erase_locked(tx, settings, subscriber)
                done.replayed["erasures"] += 1
        elif line["address"] not in _list_hashes(settings, subscriber.email_normal):
            continue
        elif line["kind"] == "state" and final_states[subscriber.id] == "unsubscribed":
            if subscribers.unsubscribe(tx, subscriber.id):
                consent_log.record(tx, subscriber.id, "unsubscribed", "restore journal", None, {"at": line["at"]})
                done.replayed["unsubscribes"] += 1
        elif line["kind"] == "address" and subscribers.find(tx, addresses.normal(line["to"])) is None:
            subscribers.set_address(tx, subscriber.id, line["to"], addresses.normal(line["to"]))
            what = {"before": subscriber.email, "after": line["to"]}
            consent_log.record(tx, subscriber.id, "address", "restore journal", None, what)
            done.replayed["changes of address"] += 1


def _replay_suppressions(tx: Tx, settings: Settings, lines: Sequence[Line], done: AcceptedLedger) -> None:
    """Suppress addresses again; those that this database does not know are remembered like erased ones, by their hash."""
    reasons = {line["address"]: line["to"] for line in lines if line["kind"] == "suppression"}
    reasons = {address: reason for address, reason in reasons.items() if reason}
    emails: dict[str, list[str]] = {}
    for subscriber in subscribers.list_all(tx) if reasons else ():
        for address in reasons.keys() & _list_hashes(settings, subscriber.email_normal):
            emails.setdefault(reasons.pop(address), []).append(subscriber.email_normal)
    for reason, some in emails.items():
        done.replayed["suppressions"] += suppressions.add(tx, some, reason)
    erased = {line["address"]: line["to"] for line in lines if line["kind"] == "erased address"}
    known = {**reasons, **{address: reason for address, reason in erased.items() if reason != "forgotten"}}
    done.replayed["addresses without a subscriber"] += journal_rows.restore_erased_hashes(
        tx, {bytes.fromhex(address): reason for address, reason in known.items()}
    )


def _replay_sends(tx: Tx, lines: Sequence[Line], done: AcceptedLedger) -> None:
    """Adopt issues whose send began after the backup: the next publish would send them to everybody a second time."""
    known = {issue.key: issue for issue in issues.list_all(tx)}
    for line in lines:
        if journal_rows.has_started_send(tx, line["key"], line["number"]):
            continue
        issue = known.get(line["key"]) or KnownIssue(
            line["key"], line["path"], line["title"], datetime.fromisoformat(line["dated"]), line["digest"], url=line["url"]
        )
        issues.save(tx, replace(issue, adopted_edition=max(issue.adopted_edition or 0, line["number"])))
        done.unknown_issues.append(line["key"])


def _list_hashes(settings: Settings, email_normal: str) -> set[str]:
    return {one.hex() for one in erasure.hash_address(settings, email_normal)}
