"""What Stripe posts to us: signed, at most 300 s old, read as far as needed to fetch the object again."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime

import stripe

from mailer.core.errors import BadInput, Refused
from mailer.payments.models import moment

TOLERANCE = 300  # seconds, Stripe's own advice
WANTED = ("checkout.session.", "customer.", "invoice.", "charge.refunded", "charge.dispute.")


@dataclass(frozen=True)
class Event:
    """``object_id`` is what it is about; ``account`` is only set for accounts that are connected to another."""

    id: str
    type: str
    object_id: str
    created_at: datetime
    livemode: bool
    account: str

    @property
    def wanted(self) -> bool:
        """Is it of a kind that we act on?"""
        return self.type.startswith(WANTED)


def read(secrets: str, header: str, body: bytes) -> Event:
    """The event in a body whose signature holds under one of the secrets (joined by commas, for changing them).

    Raises Refused for a wrong, missing or old signature and BadInput for a body that is no event.
    """
    _verify([secret.strip() for secret in secrets.split(",") if secret.strip()], header, body)
    try:
        raw = json.loads(body)
        return Event(
            id=str(raw["id"]),
            type=str(raw["type"]),
            object_id=str(raw["data"]["object"].get("id") or ""),
            created_at=moment(raw["created"]) or datetime.min,
            livemode=bool(raw["livemode"]),
            account=str(raw.get("account") or ""),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadInput("This is not an event of Stripe: post what Stripe posts.") from error


def _verify(secrets: list[str], header: str, body: bytes) -> None:
    reason = "no signing secret is set"
    for secret in secrets:
        try:
            stripe.WebhookSignature.verify_header(body.decode("utf-8"), header, secret, TOLERANCE)
            return
        except (stripe.SignatureVerificationError, ValueError) as error:
            reason = "it is older than 300 s" if "tolerance" in str(error) else "its signature does not hold"
    raise Refused(f"The event was not taken ({reason}): check STRIPE_WEBHOOK_SECRET and the clock of this machine.")
