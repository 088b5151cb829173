"""What a client writes as an email, as the fields of a draft."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.v1.common.errors import ApiError
from api.v1.common.request_validation import JsonObject
from api.v1.subscribers.segments import EmailFilterGroup
from mailer.flows.subscribers import segment_rules

MAX_DRAFT_CHARS = 500_000
Words = Annotated[str, Field(max_length=2000, pattern=r"^[^\x00]*$")]
Slug = Annotated[str, Field(max_length=100, pattern=r"^[a-zA-Z0-9_-]+$")]
Body = Annotated[str, Field(max_length=MAX_DRAFT_CHARS, pattern=r"^[^\x00]*$")]
Status = Literal[
    "draft", "managed_by_rss", "about_to_send", "scheduled", "in_flight", "paused", "deleted", "errored", "sent", "imported",
    "throttled", "resending", "transactional", "suppressed",
]  # fmt: skip
Archival = Literal["archive_only", "disabled", "enabled", "enabled_for_paid_subscribers", "enabled_for_subscribers"]
EmailType = Literal["public", "private", "premium", "free", "churned", "archival"]
# What a file of an issue cannot say; the first two values of each are those that mean nothing.
_IGNORED = (
    "attachments", "canonical_url", "commenting_mode", "featured", "related_email_ids", "secondary_id",
    "should_trigger_pay_per_email_billing", "suppression_reason", "template",
)  # fmt: skip
_WITHOUT_MEANING: tuple[Any, ...] = (None, "", [], False, "none", "enabled", "disabled")


class EmailUpdateInput(BaseModel):
    """The fields of a draft to change."""

    model_config = ConfigDict(extra="forbid")

    subject: Words | None = None
    body: Body | None = None
    description: Words | None = None
    slug: Slug | None = None
    status: Status | None = None
    publish_date: AwareDatetime | Literal["none"] | None = None
    filters: EmailFilterGroup | None = None
    archival_mode: Archival | None = None
    email_type: EmailType | None = None
    metadata: JsonObject | None = None
    attachments: list[Words] | None = None
    canonical_url: Words | None = None
    commenting_mode: Words | None = None
    featured: bool | None = None
    image: Words | None = None
    related_email_ids: list[Words] | None = None
    secondary_id: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = None
    should_trigger_pay_per_email_billing: bool | None = None
    suppression_reason: Words | None = None
    template: Words | None = None


class EmailInput(EmailUpdateInput):
    """A draft. It is committed to a branch of the newsletter's repository; only merging the branch can send it."""

    subject: Words
    status: Status = "about_to_send"


def as_changes(given: EmailUpdateInput) -> dict[str, Any]:
    """The given fields of a draft. Raises ApiError 400 for what would send an email to somebody it is not meant for."""
    fields = given.model_fields_set | ({"status"} if isinstance(given, EmailInput) else set())
    found: dict[str, Any] = {
        name: value
        for name in ("subject", "body", "description", "image", "slug", "metadata")
        if (value := getattr(given, name)) is not None
    }
    if (given.body or "").lstrip("\ufeff \n").startswith("---"):
        raise ApiError(400, "body_contains_frontmatter", "The body begins with front matter: send the fields beside it.")
    if given.filters is not None:
        rule = segment_rules.build_rule(given.filters.model_dump())
        found["audience"] = "" if rule == "everyone" else rule
    if given.email_type is not None or given.archival_mode is not None:
        found["premium"] = _is_premium(given)
    if "status" in fields and given.status is not None:
        found |= _read_status(given)
    elif "publish_date" in fields:
        found["send"] = given.publish_date.isoformat() if isinstance(given.publish_date, datetime) else "yes"
    ignored = [name for name in _IGNORED if name in fields and getattr(given, name) not in _WITHOUT_MEANING]
    return {**found, **({"ignored": tuple(ignored)} if ignored else {})}


def _is_premium(given: EmailUpdateInput) -> bool:
    if given.email_type not in (None, "public", "premium"):
        raise ApiError(400, "email_invalid", f"The email_type {given.email_type} is not supported: use public or premium.")
    if given.archival_mode not in (None, "enabled", "enabled_for_paid_subscribers"):
        sentence = f"The archival_mode {given.archival_mode} is not supported: use enabled or enabled_for_paid_subscribers."
        raise ApiError(400, "email_invalid", sentence)
    return "premium" in (given.email_type, "premium" if given.archival_mode == "enabled_for_paid_subscribers" else "")


def _read_status(given: EmailUpdateInput) -> dict[str, Any]:
    at = given.publish_date if isinstance(given.publish_date, datetime) else None
    if given.status not in ("draft", "about_to_send", "scheduled"):
        raise ApiError(400, "status_invalid", "The status must be draft, about_to_send or scheduled: a merge does the rest.")
    if given.status == "scheduled" and at is None:
        raise ApiError(400, "publish_date_missing", "A scheduled email needs its publish_date, with a time zone.")
    return {"is_ready": given.status != "draft", "send": at.isoformat() if at else "yes"}
