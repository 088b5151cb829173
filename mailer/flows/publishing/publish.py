"""Publishing: from editions and a ledger to sends with frozen audiences, in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from mailer.core import audience, log
from mailer.core.db import Database, Tx
from mailer.core.edition import Edition, Finding, list_digests
from mailer.core.errors import BadInput, Refused
from mailer.core.settings import Settings
from mailer.editions.source import paid_leaks
from mailer.flows.publishing import preflight, sender_identities, sequence_publish
from mailer.flows.publishing.publish_plan import Action, Plan, PlanRequest, Step, build_known_issue, build_plan
from mailer.flows.publishing.sequence_plan import NewsletterSender, build_changes, change_facts
from mailer.flows.sending import fence, warmup
from mailer.flows.sending.send_control import find_send, halt_send
from mailer.flows.sending.warmup import WarmupState
from mailer.flows.subscribers import segment_rules
from mailer.store.publishing import editions, issue_texts, issues
from mailer.store.sending import audiences, deliveries, sends
from mailer.store.sending.sends import Canceller, SendState, SendTerms
from mailer.store.transactional import test_emails
from mailer.transports.base import AccountLimits, Transport

logger = log.get("publish")

_CHANGED = "The ledger changed while publishing ({}): run `postmerge publish` again."
MIN_SLICE_SUBSCRIBERS = 100  # a smaller audience is not split into waves


@dataclass(frozen=True)
class Request:
    """What to publish. ``issue`` is a key or path, ``allow`` names preflight checks to skip, ``gate`` checks the live page.

    ``commit`` is the git commit of the editions, for their receipts.
    """

    issue: str = ""
    allow: Collection[str] = ()
    gate: bool = False
    blind: bool = False  # whoever asks may learn nothing about subscribers
    commit: str = ""


@dataclass(frozen=True)
class Published:
    """What was done; ``send_ids`` are new sends."""

    plan: Plan
    send_ids: tuple[int, ...]


@dataclass(frozen=True)
class Outlook:
    """A plan with the reasons to refuse it. ``account`` is None if the transport has no limits, ``warmup`` if none runs.

    ``sequences`` say what happens to them, as JSON data.
    """

    plan: Plan
    refusals: tuple[preflight.Refusal, ...]
    account: AccountLimits | None
    warmup: WarmupState | None = None
    sequences: tuple[Mapping[str, Any], ...] = ()


def adopt_issues(database: Database, settings: Settings, found: Sequence[Edition]) -> int:
    """Record every issue without a send as public and not to be sent; return how many were new to the ledger."""
    with database.transaction() as tx:
        issues.lock(tx)
        plan = build_plan(tx, found, _build_request(settings, ""), datetime.now(UTC))
        open_steps = [step for step in plan.of(Action.SEND, Action.RECORD, Action.ADOPT) if step.edition]
        for step in plan.steps:
            _save_issue(tx, replace(step, action=Action.ADOPT) if step in open_steps else step)
    logger.info("publish.adopted", issues=len(open_steps))
    return len(open_steps)


def adopt_imported(database: Database, settings: Settings, found: Sequence[Edition], paths: Collection[str]) -> int:
    """Record the issues of these files as public and not to be sent; return how many were new to the ledger.

    The other issues stay what they are; those of an empty ledger are adopted too, as the first publish would do. Raises
    Refused, and records nothing, if the ledger could still send one of these files.
    """
    with database.transaction() as tx:
        issues.lock(tx)
        request = _build_request(settings, "")
        plan = build_plan(tx, found, request, datetime.now(UTC))
        imported = [step for step in plan.steps if step.edition and step.edition.path in paths]
        adopted = [step for step in imported if step.action in (Action.SEND, Action.RECORD, Action.ADOPT)]
        for step in plan.steps:
            _save_issue(tx, replace(step, action=Action.ADOPT) if step in adopted else step)
        after = build_plan(tx, found, request, datetime.now(UTC))
        for step in after.steps:
            sends_it = step.action in (Action.SEND, Action.UPDATE) or (step.send is not None and step.send.not_started)
            if sends_it and step.edition and step.edition.path in paths:
                raise Refused(f"The ledger has a waiting send of {step.key}, or would create one: nothing was recorded.")
    logger.info("publish.imported", issues=len(adopted))
    return len(adopted)


def make_plan(database: Database, settings: Settings, found: Sequence[Edition], issue: str = "", blind: bool = False) -> Plan:
    """The plan for these editions; ``issue`` names one to send by its key or path. Raises BadInput where that is not one.

    ``blind``: it is for somebody who may learn nothing about subscribers.
    """
    with database.transaction() as tx:
        plan = build_plan(tx, found, _build_request(settings, issue, blind), datetime.now(UTC))
    _require_issue(plan, issue)
    return plan


def preview_publish(
    database: Database,
    settings: Settings,
    found: Sequence[Edition],
    findings: Sequence[Finding],
    transport: Transport,
    request: Request,
) -> Outlook:
    """Show what publishing would do, and why preflight would refuse it. Writes nothing."""
    plan = make_plan(database, settings, found, request.issue, request.blind)
    with database.transaction() as tx:
        plan = _add_sequences(tx, settings, plan, found, findings)
    account = transport.account() if plan.of(Action.SEND, Action.UPDATE) else None
    refusals = preflight.check_plan(plan, settings, findings, account, request.allow, request.gate)
    if "sender" not in request.allow:
        refusals += sender_identities.check_senders(plan, settings, transport)
    if (plan.of(Action.SEND, Action.UPDATE) or plan.new_texts) and (trouble := fence.read_fence(database, settings).problem):
        refusals.insert(0, preflight.Refusal("", trouble))
    changes = tuple(change_facts(one) for one in plan.sequences if one.changed)
    return Outlook(plan, tuple(refusals), account, warmup.read_warmup(database), changes)


def publish(
    database: Database,
    settings: Settings,
    found: Sequence[Edition],
    findings: Sequence[Finding],
    transport: Transport,
    request: Request,
) -> Published:
    """Store the editions, create the sends and freeze their audiences, all or nothing; safe to run twice and at once.

    Raises Refused if preflight fails, or if what the ledger will show contains paid text; nothing is written then.
    """
    outlook = preview_publish(database, settings, found, findings, transport, request)
    withheld = [one for one in outlook.refusals if request.blind and one.about_subscribers]
    preflight.require_no_refusals([one for one in outlook.refusals if one not in withheld], outlook.plan, request.blind)
    paid_leaks.insist(_find_leaks(found, outlook.plan))
    if outlook.plan.of(Action.SEND, Action.UPDATE) or outlook.plan.new_texts:
        fence.require_fence(database, settings)
    with database.transaction() as tx:
        issues.lock(tx)
        plan = build_plan(tx, found, _build_request(settings, request.issue, request.blind), datetime.now(UTC))
        plan = _add_sequences(tx, settings, plan, found, findings)
        _require_same_intents(outlook.plan, plan)
        _cancel_sends(tx, plan)
        sequence_publish.apply_changes(tx, plan.sequences, _build_default_sender(settings), request.commit)
        new = [send_id for step in plan.steps if (send_id := _apply_step(tx, settings, step, request))]
        if plan.of(Action.SEND, Action.UPDATE):
            deliveries.analyze(tx)
        if withheld:
            _pause_sends(tx, [*new, *(step.send.id for step in plan.of(Action.UPDATE) if step.send)], withheld)
    logger.info("publish.done", sends=new, steps=len(plan.steps), first=plan.first)
    return Published(plan, tuple(new))


def _add_sequences(tx: Tx, settings: Settings, plan: Plan, found: Sequence[Edition], findings: Sequence[Finding]) -> Plan:
    whole = replace(plan, sequences=build_changes(tx, found, findings, _build_default_sender(settings)))
    digests = [digest for edition in whole.new_texts for digest in list_digests(edition)]
    return replace(whole, reviewed=plan.reviewed | test_emails.list_reviewed(tx, digests)) if digests else whole


def _build_default_sender(settings: Settings) -> NewsletterSender:
    return NewsletterSender(settings.sender, settings.reply_to)


def _pause_sends(tx: Tx, send_ids: Sequence[int], withheld: Sequence[preflight.Refusal]) -> None:
    """Pause sends that preflight would refuse, and notify the operator: a refusal would tell a publish key why."""
    for send_id in send_ids:
        if send := sends.get(tx, send_id):
            halt_send(tx, send, SendState.PAUSED, " ".join(one.sentence for one in withheld))


def is_empty(database: Database) -> bool:
    """Has the ledger never seen an issue?"""
    with database.transaction() as tx:
        return not issues.list_all(tx)


def cancel_send(database: Database, target: str, reason: str = "cancelled by the operator") -> sends.Send:
    """Cancel a send that has not begun (a paused one too), named by its id or its issue's key."""
    with database.transaction() as tx:
        send = find_send(tx, target)
        if _cancel_waiting_send(tx, send.id, reason, Canceller.OPERATOR):
            logger.info("send.cancelled", send=send.id)
            return send
        sends.set_canceller(tx, send.id, Canceller.OPERATOR)
        now = sends.get(tx, send.id) or send
    if now.state is SendState.CANCELLED:
        return now
    raise Refused(f"Send {send.id} of {send.issue_key} is {now.state}: only a send that has not begun can be cancelled.")


def _cancel_waiting_send(tx: Tx, send_id: int, why: str, canceller: Canceller) -> bool:
    """Cancel a send and forget its audience, unless it has begun meanwhile; whether it was cancelled."""
    held = sends.lock(tx, send_id)
    if held is None or not held.not_started:
        return False
    sends.move(tx, send_id, [held.state], SendState.CANCELLED, why)
    sends.set_canceller(tx, send_id, canceller)
    deliveries.delete_frozen(tx, send_id)
    sends.set_frozen(tx, send_id, 0)
    return True


def freeze_audience(tx: Tx, settings: Settings, send_id: int, rule: str) -> int:
    """Store a send's audience as pending deliveries, with those of the first slice marked; return how many."""
    send = sends.get(tx, send_id)
    size = audiences.freeze(tx, send_id, audience.of_issue(segment_rules.read_rule(tx, rule), send.issue_key if send else ""))
    sends.set_frozen(tx, send_id, size)
    first = max(MIN_SLICE_SUBSCRIBERS, int(size * settings.first_slice / 100))
    if first < size:
        deliveries.mark_first_wave(tx, send_id, first)
        sends.set_wave(tx, send_id, 0)
    else:
        sends.set_wave(tx, send_id, deliveries.LAST_WAVE)
    warmup.order_audience(tx, send_id)
    return size


def _find_leaks(found: Sequence[Edition], plan: Plan) -> list[paid_leaks.Leak]:
    """Find paid text in what becomes public of the editions: emails of new sends, and every title."""
    detector = paid_leaks.of_editions(found)
    if detector.empty:
        return []
    new = [step.edition for step in plan.of(Action.SEND, Action.UPDATE) if step.edition]
    new += plan.new_texts
    shown = [(one.key, f"{one.title}\n\n{one.path}\n\n{one.key}") for one in found]
    leaked = [leak for key, text in shown for leak in detector.find(f"the ledger's entry of {key}", text)]
    return [*(leak for edition in new for leak in detector.find_edition(edition)), *leaked]


def _build_request(settings: Settings, issue: str, blind: bool = False) -> PlanRequest:
    return PlanRequest(sender=settings.sender, reply_to=settings.reply_to, hold=settings.hold, issue=issue, blind=blind)


def _require_issue(plan: Plan, issue: str) -> None:
    chosen = [step.edition.path for step in plan.steps if step.chosen and step.edition]
    if issue and not chosen:
        raise BadInput(f"No issue has the key or path {issue!r}: `postmerge plan --all` lists them.")
    if len(chosen) > 1:
        raise BadInput(f"{issue!r} may be {' or '.join(chosen)}: name the issue by its path.")


def _require_same_intents(judged: Plan, now: Plan) -> None:
    """Between preflight and the lock somebody else may have published: less to do is fine, more is not."""
    passed = {(step.root, step.edition.number, step.edition.digest) for step in judged.steps if step.edition}
    fresh = [s for s in now.of(Action.SEND) if s.edition and (s.root, s.edition.number, s.edition.digest) not in passed]
    if fresh:
        raise Refused(_CHANGED.format(fresh[0].key))


def _apply_step(tx: Tx, settings: Settings, step: Step, request: Request) -> int | None:
    _save_issue(tx, step)
    if step.action is Action.SEND:
        return _create_send(tx, settings, step, request)
    if step.action is Action.UPDATE:
        _update_send(tx, settings, step, request)
    return None


def _cancel_sends(tx: Tx, plan: Plan) -> None:
    """Cancel what no merge asks for any more; another edition of an issue is sent only if the one before it could be stopped.

    Raises Refused when that one has begun meanwhile: then the plan is another.
    """
    sending = {step.root for step in plan.of(Action.SEND)}
    for step in plan.of(Action.CANCEL):
        if step.send and not _cancel_waiting_send(tx, step.send.id, step.why, Canceller.MERGE) and step.root in sending:
            raise Refused(_CHANGED.format(step.key))


def _save_issue(tx: Tx, step: Step) -> None:
    known = build_known_issue(step)
    if known:
        issues.save(tx, known)
    if known and step.edition and step.send is None and step.action is not Action.SEND:
        issue_texts.save(tx, known.key, step.edition)


def _create_send(tx: Tx, settings: Settings, step: Step, request: Request) -> int | None:
    assert step.edition
    edition_id = editions.save(tx, step.root, step.edition, request.commit)
    terms = _build_terms(settings, step, edition_id, SendState.SCHEDULED if step.scheduled else SendState.HOLDING)
    if step.send:
        send_id = step.send.id
        if not sends.rearm(tx, step.send, terms, request.gate):
            raise Refused(_CHANGED.format(step.key))
    else:
        send_id = sends.create(tx, step.root, step.edition.number, terms, request.gate)
    sends.set_chosen(tx, send_id, step.chosen or (step.send is not None and step.send.chosen))
    if not step.scheduled:
        freeze_audience(tx, settings, send_id, step.edition.audience)
    return send_id


def _build_terms(settings: Settings, step: Step, edition_id: int, state: SendState) -> SendTerms:
    assert step.edition
    assert step.due_at
    return SendTerms(
        edition_id=edition_id,
        state=state,
        sender=step.edition.sender or settings.sender,
        reply_to=step.edition.reply_to or settings.reply_to,
        audience=step.edition.audience,
        due_at=step.due_at,
    )


def _update_send(tx: Tx, settings: Settings, step: Step, request: Request) -> None:
    """The send gets the new edition; a frozen audience is thawed and frozen anew, because the rule may have changed."""
    assert step.edition
    assert step.send
    held = sends.lock(tx, step.send.id)
    if held is None or not held.not_started:
        return
    edition_id = editions.save(tx, step.root, step.edition, request.commit)
    state = SendState.SCHEDULED if step.scheduled else SendState.HOLDING
    if held.state not in sends.NOT_STARTED:
        state = held.state  # a paused send stays paused
    sends.revise(tx, held.id, _build_terms(settings, step, edition_id, state))
    sends.set_chosen(tx, held.id, step.chosen or held.chosen)
    deliveries.delete_frozen(tx, held.id)
    sends.set_frozen(tx, held.id, None)
    if not step.scheduled:
        freeze_audience(tx, settings, held.id, step.edition.audience)
