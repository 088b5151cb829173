"""Lift suppressions: the operator with a reason, the address's owner with a new confirmed sign-up, and time for soft bounces.

A complaint is lifted only by the operator, on the command line, and by a report of the provider that takes it back. What
Amazon SES lists itself is removed there too: a worker repeats the call until SES has answered it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from mailer.core import addresses, log
from mailer.core.db import Database, Tx
from mailer.core.errors import BadInput, Refused, Unavailable
from mailer.core.settings import Settings
from mailer.flows.subscribers import erasure, inbox_limit
from mailer.store.subscribers import lifted_suppressions, suppressions
from mailer.store.subscribers.lifted_suppressions import DueRemoval, LiftedSuppression, Lifting
from mailer.transports.base import SuppressingTransport, SuppressionRemoval, Transport

logger = log.get("suppressions")

SOFT_SUPPRESSION_ENDS_AFTER = timedelta(days=30)
MAX_REASON_CHARS = 1000
_RETRY_AFTER = timedelta(minutes=5)
_MAX_REMOVALS_A_ROUND = 10
_COMPLAINT = "complaint"
_LIFTABLE = ("hard bounce", "soft bounces", "operator")


@dataclass(frozen=True)
class UnsuppressRequest:
    """Which address to lift the suppression of, and the evidence. ``complaint``: even if they complained."""

    email: str
    why: str
    by: str
    complaint: bool = False
    ip: str | None = None


@dataclass(frozen=True)
class Unsuppressed:
    """What was lifted; ``blocked`` if the address may still not be emailed."""

    lifted: list[LiftedSuppression]
    blocked: bool


def unsuppress(database: Database, settings: Settings, request: UnsuppressRequest) -> Unsuppressed:
    """Lift the suppression of an address for a reason that is kept, and have SES's list cleared of it.

    Repeating it lifts nothing more, and clears SES's list again. Raises BadInput without a reason or an address, and Refused
    if somebody complained from the inbox, unless the request says ``complaint``; then nothing was changed.
    """
    normal = addresses.normal(addresses.check(request.email))
    if not request.why.strip() or len(request.why) > MAX_REASON_CHARS:
        raise BadInput(f"A reason is required, of at most {MAX_REASON_CHARS:,} characters: it is kept as evidence.")
    lifting = Lifting(request.by, request.why.strip(), request.ip, at_provider=True)
    reasons = (*_LIFTABLE, _COMPLAINT) if request.complaint else _LIFTABLE
    with database.transaction() as tx:
        if not request.complaint and _has_complained(tx, settings, normal):
            raise Refused(
                "Somebody with this inbox reported an email as spam. If they told you that it was a mistake, lift it with"
                " `postmerge subscribers unsuppress --complaint`."
            )
        others = inbox_limit.list_complaining_spellings(tx, normal) if request.complaint else []
        lifted = lifted_suppressions.lift(tx, sorted({normal, *others}), reasons, None, lifting)
        erasure.clear_erased_reasons(tx, settings, normal, reasons)
        if not lifted:
            lifted_suppressions.request_removal(tx, normal, lifting)
        blocked = not erasure.may_be_emailed(tx, settings, normal)
    logger.info("suppression.lifted", by=request.by, addresses=len(lifted), blocked=blocked)
    return Unsuppressed(lifted, blocked)


def _has_complained(tx: Tx, settings: Settings, email_normal: str) -> bool:
    erased = erasure.list_erased_reasons(tx, settings, email_normal)
    return _COMPLAINT in erased or inbox_limit.has_complained(tx, email_normal)


def lift_by_signup(tx: Tx, email_normal: str, asked: datetime, source: str, ip: str | None) -> bool:
    """Lift a bounce suppression made before ``asked``, when the confirmed email was built; return whether there was one."""
    lifting = Lifting(source, "confirmed a new sign-up", ip)
    lifted = lifted_suppressions.lift(tx, [email_normal], suppressions.BOUNCES, asked, lifting)
    if lifted:
        logger.info("suppression.lifted", by=source, addresses=len(lifted))
    return bool(lifted)


def lift_complaints(tx: Tx, emails: Sequence[str]) -> int:
    """Lift suppressions by complaints that their authors took back, here and at SES; return how many.

    The operator's block of such an address stays.
    """
    normals = sorted({addresses.normal(email) for email in emails})
    lifting = Lifting("ses", "reported as not spam", at_provider=True)
    lifted = lifted_suppressions.lift(tx, normals, [_COMPLAINT], None, lifting)
    suppressions.add(tx, [one.email_normal for one in lifted if one.detail == suppressions.ALSO_BLOCKED], "operator")
    if lifted:
        logger.info("suppression.lifted", by="ses", addresses=len(lifted))
    return len(lifted)


def end_soft_suppressions(database: Database, limit: int) -> int:
    """Lift suppressions by soft bounces that are SOFT_SUPPRESSION_ENDS_AFTER old; return how many."""
    with database.transaction() as tx:
        expired = lifted_suppressions.list_expired(tx, "soft bounces", SOFT_SUPPRESSION_ENDS_AFTER, limit)
        if not expired:
            return 0
        return len(lifted_suppressions.lift(tx, expired, ["soft bounces"], None, Lifting("clock", "soft bounces expire")))


def clear_provider_list(database: Database, transport: Transport, email: str = "") -> list[str]:
    """Remove lifted addresses (or one) from the provider's own list; return the outcome of each, as a sentence's end.

    What the provider could not do now is due again after five minutes.
    """
    normal = addresses.normal(email) if email else ""
    with database.transaction() as tx:
        due = lifted_suppressions.postpone_due_removals(tx, _RETRY_AFTER, _MAX_REMOVALS_A_ROUND, normal)
    return [_remove_from_provider(database, transport, removal) for removal in due]


def _remove_from_provider(database: Database, transport: Transport, removal: DueRemoval) -> str:
    try:
        outcome = str(remove_suppression(transport, removal.email, complaints=removal.reason == _COMPLAINT))
    except (Refused, Unavailable) as error:
        logger.warning("suppression.removal_postponed", removal=removal.id, error=str(error))
        return f"{error} Workers will try again."
    with database.transaction() as tx:
        lifted_suppressions.settle_removal(tx, removal.id, outcome)
    logger.info("suppression.removed_at_provider", removal=removal.id, outcome=outcome)
    return outcome


def remove_suppression(transport: Transport, email: str, complaints: bool = False) -> SuppressionRemoval:
    """Remove an address, as written and in its normal form, from the provider's list. Raises Refused or Unavailable."""
    if not isinstance(transport, SuppressingTransport):
        return SuppressionRemoval.NOT_LISTED
    found = [transport.remove_suppression(one, complaints) for one in sorted({email, addresses.normal(email)})]
    for outcome in (SuppressionRemoval.COMPLAINT, SuppressionRemoval.REMOVED):
        if outcome in found:
            return outcome
    return SuppressionRemoval.NOT_LISTED
