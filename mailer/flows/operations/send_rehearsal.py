"""Rehearsals: publish and deliver an issue to as many test subscribers as its audience has, through a fake SES.

Nothing real is touched: it uses a temporary Postgres, a fake SES on this machine, and addresses at ``rehearsal.example``. The
real ledger is only asked for the size of the audience.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mailer.core import audience
from mailer.core.db import Database
from mailer.core.edition import Edition, SendIntent, by_text
from mailer.core.errors import BadInput
from mailer.core.migrate import run_migrations
from mailer.core.settings import Settings
from mailer.fakes import embedded_services
from mailer.fakes.fake_ses_process import FakeSes
from mailer.flows.publishing.preflight import ALLOWED
from mailer.flows.publishing.publish import Request, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.sending.send_status import list_send_statuses
from mailer.flows.subscribers import segment_rules
from mailer.store.operations import rehearsal_subscribers
from mailer.store.sending import audiences, send_reports
from mailer.store.sending.sends import SendState
from mailer.transports.ses_fast import FastSes

LATENCY_SECONDS = 0.05  # of the fake SES
FAULTS = (
    {"kind": "error_after", "share": 0.001},
    {"kind": "throttle", "share": 0.01},
)  # the first fault that applies to an email counts
_SLICE_SECONDS = 2.0  # between two reports of progress
_PAUSE_SECONDS = 0.2  # while nothing can be sent


@dataclass(frozen=True)
class RehearsalResult:
    """The result of a rehearsal. ``seconds`` is the time it took here, ``largest`` the bytes of the largest message.

    ``html`` is the bytes of the longest HTML part; ``texts`` the number of emails of each variant, if there are several.
    """

    key: str
    subject: str
    subscribers: int
    accepted: int
    twice: int
    missing: int
    uncertain: int
    responses_lost: int
    throttled: int
    seconds: float
    largest: int
    html: int
    broken: Mapping[str, int]
    texts: Mapping[str, int]

    @property
    def passed(self) -> bool:
        """Return whether everybody got the email once, except those whose response was dropped on purpose."""
        return not (self.twice or self.missing or self.broken or self.uncertain > self.responses_lost)


def count_audience(database: Database, edition: Edition) -> int:
    """Return the size of the issue's audience now. Raises BadInput if it is empty."""
    with database.transaction() as tx:
        size = audiences.count(tx, audience.of_issue(segment_rules.read_rule(tx, edition.audience), edition.key))
    if not size:
        raise BadInput(
            f"The audience {audience.shown(edition.audience)} of {edition.path} is empty:"
            " add subscribers, or give `--subscribers`."
        )
    return size


def find_edition(found: Sequence[Edition], issue: str) -> Edition:
    """Return the edition of the issue with this key or path. Raises BadInput if there is none."""
    for edition in found:
        if issue in (edition.key, edition.path):
            return edition
    raise BadInput(f"No issue has the key or path {issue!r}: `postmerge plan --all` lists them.")


def rehearse_send(
    settings: Settings,
    edition: Edition,
    subscribers: int,
    faults: Sequence[Mapping[str, object]] = FAULTS,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> RehearsalResult:
    """Send the issue to this many test subscribers, reporting to ``progress``. Raises BadInput or Unavailable."""
    if subscribers < 1:
        raise BadInput("A rehearsal needs at least one subscriber: give a larger number with `--subscribers`.")
    issue = replace(edition, audience="everyone", send=SendIntent.YES, send_at=None, dated=datetime.now(UTC))
    with _rehearsal_services(settings) as (database, conf, fake):
        fake.control(latency_s=LATENCY_SECONDS, faults=[dict(one) for one in faults])
        transport = FastSes(connections=conf.connections)
        with database.transaction() as tx:
            rehearsal_subscribers.add_subscribers(
                tx, subscribers, [("", False), *((one.spoken, one.premium) for one in issue.variants)]
            )
        started = time.monotonic()
        request = Request(issue=issue.key, allow=ALLOWED)
        [send_id] = publish(database, conf, [issue], [], transport, request).send_ids
        _deliver_until_done(database, conf, transport, send_id, subscribers, progress)
        return _make_result(database, fake, issue, send_id, subscribers, time.monotonic() - started)


@contextmanager
def _rehearsal_services(settings: Settings) -> Iterator[tuple[Database, Settings, FakeSes]]:
    """Start a temporary Postgres and a fake SES, and point AWS's environment variables at the fake."""
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="postmerge-rehearsal-", ignore_cleanup_errors=True))
        )
        folder.chmod(0o755)  # Postgres may run as another user
        fake = stack.enter_context(FakeSes())
        stack.enter_context(_set_environ(fake.environ))
        conf = replace(
            settings,
            database_url=stack.enter_context(embedded_services.postgres(folder / "postgres")),
            transport="ses",
            sender=settings.sender or "Rehearsal <sender@rehearsal.example>",
            postal_address=settings.postal_address or "1 Rehearsal Street",
            secret=settings.secret or "a-rehearsal-needs-no-secret-of-its-own",
            fence=str(folder / "fence"),
            hold=timedelta(0),
            first_slice_wait=timedelta(0),
            first_slice=100.0,
        )
        database = Database(conf.database_url)
        stack.callback(database.close)
        run_migrations(database)
        yield database, conf, fake


@contextmanager
def _set_environ(values: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(values)
    for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        os.environ.pop(name, None)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _deliver_until_done(
    database: Database, conf: Settings, transport: FastSes, send_id: int, subscribers: int, progress: Callable[[int, int], None]
) -> None:
    while True:
        advance_sends(database, conf)
        done = deliver_send(database, conf, transport, send_id, seconds=_SLICE_SECONDS)
        [status] = list_send_statuses(database)
        progress(subscribers - status.deliveries["pending"], subscribers)
        if status.send.state not in (SendState.HOLDING, SendState.SCHEDULED, SendState.SENDING):
            return
        if not done.sent:
            time.sleep(_PAUSE_SECONDS)


def _make_result(
    database: Database, fake: FakeSes, issue: Edition, send_id: int, subscribers: int, seconds: float
) -> RehearsalResult:
    accepted = fake.accepted()
    times = Counter(one["to"] for one in accepted)
    [status] = list_send_statuses(database)
    with database.transaction() as tx:
        broken = {one.detail: one.number for one in send_reports.list_reasons(tx, send_id, 20) if one.state == "failed"}
        texts = by_text(send_reports.count_by_text(tx, send_id), issue.lang) if issue.variants else {}
    if status.send.state != SendState.FINISHED:
        broken = {**broken, f"the send is {status.send.state}: {status.send.reason}": status.deliveries["pending"]}
    stats = fake.stats()
    uncertain = status.deliveries["uncertain"]
    return RehearsalResult(
        key=issue.key,
        subject=issue.subject,
        subscribers=subscribers,
        accepted=len(accepted),
        twice=sum(number > 1 for number in times.values()),
        missing=max(0, subscribers - len(times) - sum(broken.values())),
        uncertain=uncertain,
        responses_lost=stats["lost"],
        throttled=stats["throttled"],
        seconds=seconds,
        largest=max((one["size"] for one in accepted), default=0),
        html=max([len(issue.html.encode()), *(len(one.html.encode()) for one in issue.variants)]),
        broken=broken,
        texts=texts,
    )
