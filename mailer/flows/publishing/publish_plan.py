"""The plan: what publishing would do now. Computed from the editions and the ledger; it writes nothing."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from mailer.core import audience
from mailer.core.db import Tx
from mailer.core.edition import PREMIUM, Edition, SendIntent, list_digests, list_issues, texts_said
from mailer.flows.publishing.issue_identity import Issue, Match, identify_issues, list_known_issues
from mailer.flows.publishing.sequence_plan import SequenceChange
from mailer.flows.subscribers import segment_rules
from mailer.store.billing import stripe_events
from mailer.store.publishing import issues
from mailer.store.publishing.editions import Fingerprint, compute_fingerprints, list_fingerprints
from mailer.store.publishing.issues import KnownIssue
from mailer.store.sending import audiences, sends
from mailer.store.sending.sends import Canceller, Send, SendState
from mailer.store.subscribers import text_selection
from mailer.store.transactional import test_emails


class Action(StrEnum):
    """What publishing does about one issue."""

    SEND = "send"  # a new intent
    UPDATE = "update"  # a send that has not started gets the new edition, time or audience
    CANCEL = "cancel"  # a send that has not started is no longer asked for
    ADOPT = "adopt"  # public before the ledger began: recorded as not to be sent
    RENAME = "rename"  # known under another key
    RECORD = "record"  # new, and does not ask to be sent
    KEEP = "keep"  # nothing to do


@dataclass(frozen=True)
class Step:
    """One issue of the plan. ``size`` is the audience's size now; ``due_at`` the earliest time of its first email.

    ``texts``: how many subscribers each variant has now ("": the original), when there are variants; ``marks``: a waiting
    send's. ``url_taken_by``: the file that would take the address of this issue; ``was_at``: a vanished issue's file.
    ``told``: what a server says about the number of subscribers, in place of ``size`` and ``texts``.
    """

    action: Action
    key: str
    root: str
    why: str
    edition: Edition | None = None
    send: Send | None = None
    size: int = 0
    unknown_tags: tuple[str, ...] = ()
    due_at: datetime | None = None
    scheduled: bool = False
    match: Match | None = None
    was_at: str = ""
    url_taken_by: str = ""
    chosen: bool = False
    marks: Set[Fingerprint] = frozenset()
    texts: Mapping[str, int] = field(default_factory=dict)
    told: str = ""

    @property
    def path(self) -> str:
        """The issue's file."""
        return self.edition.path if self.edition else self.was_at

    @property
    def held_back(self) -> bool:
        """Does its issue ask to be sent, and is not, because the operator cancelled its send?"""
        asks = self.edition is not None and self.edition.send is not SendIntent.NO
        cancelled = self.send is not None and self.send.cancelled_by is Canceller.OPERATOR
        return asks and cancelled and self.action in (Action.KEEP, Action.RENAME)

    @property
    def texts_said(self) -> str:
        """How many subscribers get which text, in parentheses; empty if all get the same."""
        said = texts_said(self.texts, self.edition.lang) if self.edition else ""
        return f" ({said})" if said else ""


@dataclass(frozen=True)
class Plan:
    """All steps, in the editions' request; ``first`` is set when the ledger has never seen an issue.

    ``settled``: by the path of an issue, the highest edition of it that asks for nothing any more, as it was sent or adopted.
    ``has_stripe``: the database belongs to a Stripe account, whatever the settings of this machine are.
    ``reviewed``: the digests of texts that a reviewer was sent. ``sequences`` are compared only by ``preview_publish``.
    """

    steps: tuple[Step, ...]
    first: bool
    made_at: datetime
    settled: Mapping[str, int] = field(default_factory=dict)
    has_stripe: bool = False
    reviewed: frozenset[str] = frozenset()
    sequences: tuple[SequenceChange, ...] = ()

    @property
    def new_texts(self) -> list[Edition]:
        """List the steps of sequences whose text would be sent from now on."""
        return [edition for change in self.sequences for edition in change.new_editions]

    def of(self, *actions: Action) -> list[Step]:
        """The steps with one of these actions."""
        return [step for step in self.steps if step.action in actions]


@dataclass(frozen=True)
class PlanRequest:
    """How publishing was asked for: ``issue`` names the one issue to send although nothing else would send it.

    ``blind``: whoever asks may learn nothing about subscribers. A send may be paused because nobody matches its audience.
    """

    sender: str
    reply_to: str
    hold: timedelta
    issue: str = ""
    blind: bool = False


def build_plan(tx: Tx, editions: Sequence[Edition], request: PlanRequest, now: datetime) -> Plan:
    """The plan for these editions, from the ledger as it is in this transaction."""
    editions = list_issues(editions)
    rows = issues.list_all(tx)
    every = [send for send in sends.list_all(tx) if send.step_id is None]
    waiting = [one.edition_id for one in every if one.not_started]
    marks = list_fingerprints(tx, waiting) if waiting else {}
    begun = {one.issue_key: one for one in sorted(every, key=lambda one: one.edition_number) if one.started_at}
    by_edition = {send_key(one): one for one in every}
    book = _Book(
        rows,
        by_edition,
        identify_issues(editions, rows, _list_decided_roots(every)),
        marks,
        begun,
        {_get_url_path(one.url): one.path for one in editions},
    )
    steps = [_build_step(book, edition, request, now) for edition in editions]
    steps += _list_vanished(book, steps)
    counted = tuple(_count_audience(tx, step) for step in steps)
    settled = _list_settled(list_known_issues(rows), every)
    touched = [step.edition for step in counted if step.edition and step.action in (Action.SEND, Action.UPDATE)]
    digests = [digest for edition in touched for digest in list_digests(edition)]
    return Plan(
        counted,
        not rows,
        now,
        settled,
        has_stripe=stripe_events.get_account(tx) is not None,
        reviewed=test_emails.list_reviewed(tx, digests),
    )


def send_key(send: Send) -> tuple[str, int]:
    """What makes a send the only one of its kind: the issue's first key and the edition's number."""
    return send.issue_key, send.edition_number


@dataclass(frozen=True)
class _Book:
    """What the ledger says, and what each edition is by its path.

    ``begun``: each issue's send of the highest edition of which something may have left; ``addresses``: the path of the
    edition at each address.
    """

    known: Sequence[KnownIssue]
    by_edition: Mapping[tuple[str, int], Send]
    matches: Mapping[str, Match]
    marks: Mapping[int, Set[Fingerprint]]
    begun: Mapping[str, Send]
    addresses: Mapping[str, str]

    def url_taken_by(self, edition: Edition, origin: Issue | None) -> str:
        """The other file at the address that an issue, still at its path, has had so far."""
        if origin is None or not origin.latest.url or origin.latest.path != edition.path:
            return ""
        other = self.addresses.get(_get_url_path(origin.latest.url), edition.path)
        return "" if other == edition.path else other


def _list_decided_roots(every: Sequence[Send]) -> set[str]:
    """The roots of issues of which something was sent, or which the operator keeps from being sent."""
    kept = (SendState.PAUSED, SendState.STOPPED)
    return {one.issue_key for one in every if one.started_at or one.state in kept or one.cancelled_by is Canceller.OPERATOR}


def _get_url_path(url: str) -> str:
    return urlsplit(url).path.rstrip("/")


def _list_settled(known: Sequence[Issue], every: Sequence[Send]) -> dict[str, int]:
    numbers: dict[str, int] = defaultdict(int)
    for send in every:
        if not send.not_started and send.cancelled_by is not Canceller.MERGE:
            numbers[send.issue_key] = max(numbers[send.issue_key], send.edition_number)
    return {one.latest.path: max(numbers[one.root], one.latest.adopted_edition or 0) for one in known}


def _build_step(book: _Book, edition: Edition, request: PlanRequest, now: datetime) -> Step:
    match = book.matches[edition.path]
    origin, root = match.issue, match.root
    send = book.by_edition.get((root, edition.number))
    chosen = bool(request.issue) and request.issue in (edition.key, edition.path, match.key, root)
    url_taken_by = book.url_taken_by(edition, origin)
    blank = Step(
        Action.KEEP, match.key, root, "", edition=edition, send=send, match=match, chosen=chosen,
        url_taken_by=url_taken_by,
    )  # fmt: skip
    blank = replace(blank, marks=book.marks.get(send.edition_id, set())) if send else blank
    if send and send.state is not SendState.CANCELLED:
        return _keep_known_send(blank, edition, send, request, now, moved=bool(origin and origin.latest.path != edition.path))
    if not book.known and not chosen:
        return replace(blank, action=Action.ADOPT, why="public before the ledger began")
    if origin and (origin.latest.adopted_edition or 0) >= edition.number and not chosen:
        return _keep_or_rename(blank, origin, "adopted: public before the ledger began")
    if (newer := book.begun.get(root)) and newer.edition_number > edition.number:
        return _keep_or_rename(
            blank, origin, f"edition {newer.edition_number}, a higher one, is {newer.state} as send {newer.id}"
        )
    if edition.send is SendIntent.NO and not (chosen or _was_chosen(send)):
        return _keep_or_rename(blank, origin, "does not ask to be sent (no `Send:` in its front matter)")
    if send and send.cancelled_by is not Canceller.MERGE and not chosen:
        return _keep_or_rename(blank, origin, f"cancelled by the operator: `postmerge publish --issue {match.key}` sends it")
    if request.issue and not chosen:
        return replace(blank, why=f"asks to be sent, but only {request.issue} was chosen")
    return _set_time(replace(blank, action=Action.SEND, why=_explain_send(send, chosen)), edition, request, now)


def _was_chosen(send: Send | None) -> bool:
    """Did the operator choose the issue, whatever it asks for, and a merge cancelled its send?"""
    return send is not None and send.chosen and send.cancelled_by is Canceller.MERGE


def _explain_send(send: Send | None, chosen: bool) -> str:
    why = "chosen with --issue" if chosen else "asks to be sent"
    if send is None:
        return why
    by = "a merge" if send.cancelled_by is Canceller.MERGE else "the operator"
    return f"{why} again: send {send.id}, which {by} cancelled, is armed again"


def _keep_or_rename(step: Step, origin: Issue | None, why: str) -> Step:
    if origin is None:
        return replace(step, action=Action.RECORD, why=why)
    if step.edition and origin.latest.path != step.edition.path:
        return replace(step, action=Action.RENAME, why=f"was {origin.latest.path}; {why}")
    return replace(step, why=why)


def _keep_known_send(step: Step, edition: Edition, send: Send, request: PlanRequest, now: datetime, moved: bool) -> Step:
    if send.not_started:
        return _update_waiting_send(step, edition, send, request, now)
    why = f"edition {send.edition_number} is {send.state} as send {send.id}"
    return replace(step, action=Action.RENAME if moved else Action.KEEP, why=f"renamed; {why}" if moved else why)


def _update_waiting_send(step: Step, edition: Edition, send: Send, request: PlanRequest, now: datetime) -> Step:
    if edition.send is SendIntent.NO and not request.issue and not send.chosen:
        return replace(step, action=Action.CANCEL, why="no longer asks to be sent")
    timed = _set_time(step, edition, request, now)
    if _keeps_time(edition, send, now + request.hold):
        timed = replace(timed, due_at=send.due_at, scheduled=send.audience_size is None)
    same = (send.audience, send.due_at, step.marks) == (
        edition.audience,
        timed.due_at,
        compute_fingerprints(edition),
    ) and _keeps_sender(edition, send, request)
    why = f"waits as send {send.id}" if same else f"changed before send {send.id} started"
    if send.state not in sends.NOT_STARTED and not request.blind:
        sure = " --yes" if send.state is sends.SendState.STOPPED else ""
        why += f", which is {send.state}: `postmerge resume {send.id}{sure}` resumes it"
    return replace(timed, action=Action.KEEP if same else Action.UPDATE, why=why)


def _keeps_sender(edition: Edition, send: Send, request: PlanRequest) -> bool:
    """Is the send from whom it would be published now? A machine without the newsletter's sender cannot tell."""
    sender = edition.sender or request.sender
    return not sender or (send.sender == sender and send.reply_to in (None, edition.reply_to or request.reply_to))


def _keeps_time(edition: Edition, send: Send, earliest: datetime) -> bool:
    """Does the send stay at its moment? A hold window that has begun is not begun anew by another merge."""
    if edition.send is SendIntent.AT and edition.send_at and not send.chosen:
        return edition.send_at <= send.due_at <= earliest
    return send.audience_size is not None


def _set_time(step: Step, edition: Edition, request: PlanRequest, now: datetime) -> Step:
    earliest = now + request.hold
    if edition.send is SendIntent.AT and edition.send_at and not step.chosen:
        return replace(step, due_at=max(edition.send_at, earliest), scheduled=edition.send_at > earliest)
    return replace(step, due_at=earliest)


def _list_vanished(book: _Book, steps: Sequence[Step]) -> list[Step]:
    """Sends that have not started and whose issue is gone from the build: a revert."""
    alive = {(step.root, step.edition.number) for step in steps if step.edition}
    paths = {issue.root: issue.latest.path for issue in list_known_issues(book.known)}
    why = "its issue is gone from the build"
    return [
        Step(Action.CANCEL, send.issue_key, send.issue_key, why, send=send, was_at=paths.get(send.issue_key, ""))
        for key, send in book.by_edition.items()
        if send.not_started and key not in alive
    ]


def _count_audience(tx: Tx, step: Step) -> Step:
    if step.action not in (Action.SEND, Action.UPDATE) or step.edition is None:
        return step
    rule = audience.of_issue(segment_rules.read_rule(tx, step.edition.audience), step.root)
    unknown = audiences.list_unknown_tags(tx, audience.tags(rule))
    names = [one.name for one in step.edition.variants]
    texts = audiences.count_by_text(tx, rule, text_selection.build_parameters(step.edition.lang, names)) if names else {}
    texts = {"": 0, PREMIUM: 0, **texts} if names == [PREMIUM] else texts  # no paid subscriber is worth saying
    return replace(step, size=audiences.count(tx, rule), texts=texts, unknown_tags=tuple(unknown))


def build_known_issue(step: Step) -> KnownIssue | None:
    """Return what to store about a step's issue, if anything.

    While the match is ambiguous and nothing depends on it, only the file at its path is recorded: otherwise the ambiguity would
    be lost before the file asks to be sent.
    """
    if step.edition is None:
        return None
    match, waits = step.match, step.send is not None and step.send.not_started
    if match and match.issue and match.ambiguous and step.edition.send is SendIntent.NO and not waits:
        return match.issue.latest if match.issue.latest.path == step.edition.path else None
    return KnownIssue(
        key=step.key,
        path=step.edition.path,
        title=step.edition.title,
        dated=step.edition.dated,
        digest=step.edition.digest,
        sketch=step.match.sketch if step.match else [],
        renamed_from=step.root if step.root != step.key else None,
        adopted_edition=step.edition.number if step.action is Action.ADOPT else None,
        url=step.edition.url,
    )
