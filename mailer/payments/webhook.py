"""Stripe's webhook calls: signed, at most 300 s old, parsed as far as needed to fetch the object again."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import datetime

import stripe

from mailer.core.errors import BadInput, Refused
from mailer.payments.models import parse_timestamp

MAX_SIGNATURE_AGE_SECONDS = 300  # Stripe's recommendation
WANTED_TYPES = ("checkout.session.", "customer.", "invoice.", "charge.refunded", "charge.dispute.")


@dataclass(frozen=True)
class StripeEvent:
    """``object_id`` is what it is about; ``account`` is set only for connected accounts."""

    id: str
    type: str
    object_id: str
    created_at: datetime
    livemode: bool
    account: str

    @property
    def wanted(self) -> bool:
        """Return whether it is of a kind that we act on."""
        return self.type.startswith(WANTED_TYPES)


def verify_event(secrets: str, header: str, body: bytes) -> StripeEvent:
    """Return the event in a body with a valid signature for one of the secrets (comma-separated, for rotation).

    Raises Refused for a wrong, missing or old signature and BadInput for a body that is not an event.
    """
    _verify_signature([secret.strip() for secret in secrets.split(",") if secret.strip()], header, body)
    try:
        raw = json.loads(body)
        return StripeEvent(
            id=str(raw["id"]),
            type=str(raw["type"]),
            object_id=str(raw["data"]["object"].get("id") or ""),
            created_at=parse_timestamp(raw["created"]) or datetime.min,
            livemode=bool(raw["livemode"]),
            account=str(raw.get("account") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput("This is not a Stripe event.") from error


def _verify_signature(secrets: list[str], header: str, body: bytes) -> None:
    reason = "no signing secret is set"
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body.decode("utf-8"), header, secret, MAX_SIGNATURE_AGE_SECONDS)
        except (stripe.SignatureVerificationError, ValueError) as error:
            reason = "it is older than 300 s" if "tolerance" in str(error) else "its signature is invalid"
            continue
        if _read_signed_at(header) <= time.time() + MAX_SIGNATURE_AGE_SECONDS:  # the library takes any later time
            return
        reason = "it is dated in the future"
    raise Refused(f"The event was rejected ({reason}): check STRIPE_WEBHOOK_SECRET and this machine's time.")


def _read_signed_at(header: str) -> int:
    """The time of a valid signature, in seconds since 1970."""
    return next(int(words[1]) for words in (part.split("=") for part in header.split(",")) if words[0] == "t")
