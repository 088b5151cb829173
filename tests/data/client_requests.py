"""The requests that public programs make of Buttondown's API, as their published source builds them.

None of their code is here. Read from the newest versions of 30 November 2026. ``{sub}``, ``{email}``, ``{tag}``, ``{image}``, ``{hook}`` and
``{news}`` stand for ids and addresses that exist; ``{"image": ...}`` alone is an upload.
"""

# ruff: noqa: E501
from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Asked:
    """A request, and what comes back; ``why`` says why one is refused, by design or as Buttondown does."""

    line: str
    body: Any = None
    status: int = 200
    why: str = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """A program and its requests, in order."""

    name: str
    source: str
    requests: tuple[Asked, ...]


MERGE = "a merge sends, not a program"
GIT = "kept in git"
NONE = "not supported"
BUTTONDOWN_TOO = "as Buttondown does"
TYPES = (
    "regular", "unactivated", "unpaid", "premium", "gifted", "churned", "churning", "past_due", "paused", "trialed", "removed",
    "blocked", "complained", "undeliverable", "unsubscribed", "upcoming",
)  # fmt: skip
_RENAMED = f"email is email_address, {BUTTONDOWN_TOO}"
_ADDRESS = {"email_address": "new@example.org"}
_OVERWRITE = {"X-Buttondown-Collision-Behavior": "overwrite"}
_DRAFT = {"subject": "A draft", "body": "Hello, world!", "status": "draft"}
_LATER = "2027-05-20T15:00:00Z"


def _asked_by_author(path: str, patch: bool = True) -> tuple[Asked, ...]:
    """What Terraform asks of a resource that is no resource here."""
    written = (Asked(f"POST /{path}", {}, 404, NONE), Asked(f"GET /{path}/1", None, 404, NONE))
    return (*written, Asked(f"PATCH /{path}/1", {}, 404, NONE), Asked(f"DELETE /{path}/1", None, 404, NONE))


CLIENTS = (
    Client("MCP server of dgalarza", "github.com/dgalarza/buttondown-mcp", (
        Asked("GET /emails?status=draft&page=1"),
        Asked("GET /emails/{email}"),
        Asked("POST /emails", {**_DRAFT, "email_type": "public", "description": "About it", "metadata": {"a": 1}}, 201),
        Asked("PATCH /emails/{email}", {"subject": "New", "body": "New text"}),
        Asked("POST /emails/{email}/send-draft", None, 409, "the draft's text is not uploaded yet"),
        Asked("PATCH /emails/{email}", {"status": "scheduled", "publish_date": _LATER}),
        Asked("GET /emails/{email}/analytics"),
        Asked("GET /subscribers?page=1&type=regular"),
        Asked("GET /subscribers/ada%40example.org"),
        Asked("GET /tags?page=1"),
        Asked("GET /tags/{tag}"),
        Asked("POST /tags", {"name": "Readers", "color": "#0069FF", "description": "They read"}, 201),
        Asked("POST /tags", {"name": "No colour"}, 422, BUTTONDOWN_TOO),
        Asked("PATCH /tags/{tag}", {"color": "#FF0000"}),
        *(Asked(f"GET /subscribers?type={kind}") for kind in TYPES),
        Asked("DELETE /tags/{tag}", None, 204),
    )),
    Client("MCP server of The Focus AI", "github.com/The-Focus-AI/buttondown-mcp", (
        Asked("GET /emails?status=draft"),
        Asked("GET /emails?status=scheduled"),
        Asked("GET /emails?status=sent"),
        Asked("POST /emails", {"body": "Text", "subject": "Untitled Draft", "status": "draft"}, 201),
        Asked("GET /emails/{email}/analytics"),
        Asked("PATCH /emails/{email}", {"scheduled_for": _LATER, "publish_date": _LATER, "status": "scheduled"}, 422,
              f"scheduled_for is no field, {BUTTONDOWN_TOO}"),
        Asked("GET /subscribers"),
        Asked("GET /tags"),
        Asked("DELETE /emails/{email}", None, 204),
    )),
    Client("Terraform provider", "github.com/edmondop/terraform-provider-buttondown", (
        Asked("GET /accounts/me"),
        Asked("POST /tags", {"name": "terraform", "color": "#0069FF", "subscriber_editable": True}, 201),
        Asked("GET /tags/{tag}"),
        Asked("PATCH /tags/{tag}", {"description": "New", "public_description": "Shown"}),
        Asked("DELETE /tags/{tag}", None, 204),
        Asked("POST /emails", {**_DRAFT, "slug": "from-terraform", "image": "https://x.example/a.png", "featured": False,
                               "related_email_ids": [], "metadata": {"managed": "yes"}}, 201),
        Asked("GET /emails/{email}"),
        Asked("PATCH /emails/{email}", {"subject": "Changed", "commenting_mode": "disabled"}),
        Asked("PATCH /emails/{email}", {"review_mode": "none"}, 422, "review_mode is not in the contract"),
        Asked("DELETE /emails/{email}", None, 204),
        Asked("POST /webhooks", {"event_types": ["subscriber.created"], "url": "https://hooks.example.org/x",
                                 "status": "enabled", "description": "For tests"}, 201),
        Asked("GET /webhooks/{hook}"),
        Asked("PATCH /webhooks/{hook}", {"event_types": ["subscriber.created"], "url": "https://hooks.example.org/z"}),
        Asked("DELETE /webhooks/{hook}", None, 204),
        Asked("GET /newsletters"),
        Asked("PATCH /newsletters/{news}", {"name": "New"}, 403, GIT),
        Asked("POST /snippets", {"identifier": "a", "name": "a", "content": "b"}, 403, GIT),
        Asked("POST /automations", {"name": "a", "trigger": "subscriber.confirmed", "actions": []}, 403, GIT),
        Asked("POST /forms", {"title": "a", "slug": "a"}, 403, GIT),
        *_asked_by_author("books"),
        *_asked_by_author("surveys"),
        *_asked_by_author("external_feeds"),
    )),
    Client("Zapier's app", "github.com/work-flowers/zapier-buttondown", (
        Asked("GET /emails?page=1"),
        Asked("POST /images", {"image": "chart.png"}, 201),
        Asked("POST /emails", {**_DRAFT, "body": "![]({image})\n\nHello", "description": "About it", "slug": "from-zapier",
                               "canonical_url": "https://x.example/"}, 201),
        Asked("POST /emails", {**_DRAFT, "status": "scheduled", "publish_date": _LATER}, 201),
        Asked("PATCH /emails/{email}", {"body": "New", "status": "scheduled", "publish_date": _LATER}),
        Asked("PATCH /emails/{email}", {"subject": "New", "description": ""}),
        Asked("POST /subscribers", {**_ADDRESS, "notes": "From Zapier", "tags": ["zap"], "metadata": {"key": "value"}}, 201,
              headers={**_OVERWRITE, "X-Buttondown-Bypass-Firewall": "true"}),
        Asked("GET /subscribers/{sub}"),
        Asked("GET /subscribers?type=unsubscribed&ordering=-unsubscription_date&page=1"),
        Asked("GET /emails?status=scheduled&ordering=-creation_date&page=1"),
    )),
    Client("WordPress plugin", "github.com/scottandrewlepera/wordpress-buttondown-plugin", (
        Asked("GET /subscribers/ada%40example.org", headers={"Accept": "application/json"}),
        Asked("GET /subscribers/nobody%40example.org", None, 404, BUTTONDOWN_TOO, {"Accept": "application/json"}),
    )),
    Client("Craft plugin", "github.com/studioespresso/craft-buttondown", (
        Asked("POST /subscribers", {**_ADDRESS, "metadata": [], "tags": []}, 201),
        Asked("POST /subscribers", {"email_address": "ada@example.org", "metadata": {"name": "Ada"}, "tags": ["craft"]}, 400,
              BUTTONDOWN_TOO),
    )),
    Client("Buttondown's Python examples", "github.com/buttondown/examples", (
        Asked("GET /subscribers"),
        Asked("POST /subscribers", {**_ADDRESS, "tags": ["a"], "utm_source": "python", "type": "regular"}, 201),
        Asked("GET /subscribers/{sub}"),
        Asked("PATCH /subscribers/{sub}", {"notes": "New", "metadata": {"a": "b"}}),
        Asked("GET /emails?status=draft"),
        Asked("POST /emails", _DRAFT, 201),
        Asked("GET /emails/{email}"),
        Asked("PATCH /emails/{email}", {"body": "New"}),
        Asked("DELETE /emails/{email}", None, 204),
        Asked("DELETE /subscribers/{sub}", None, 204),
    )),
    Client("npm package `buttondown` 1.1.2", "npm: buttondown", (
        Asked("GET /ping"),
        Asked("GET /subscribers?page=1"),
        Asked("POST /subscribers", {"email": "new@example.org", "tags": ["a"]}, 400, _RENAMED),
        Asked("GET /emails?page=1"),
        Asked("POST /emails", {"subject": "Hello", "body": "World"}, 201),
        Asked("GET /emails/{email}"),
        Asked("GET /tags?page=1"),
        Asked("GET /newsletters?page=1"),
        Asked("POST /drafts", {"body": "x"}, 404, f"gone, {BUTTONDOWN_TOO}"),
        Asked("GET /scheduled-emails?page=1", None, 404, f"gone, {BUTTONDOWN_TOO}"),
        Asked("GET /unsubscribers?page=1", None, 404, f"gone, {BUTTONDOWN_TOO}"),
        Asked("PUT /subscribers/{sub}", {"email": "x@example.org"}, 405, f"gone, {BUTTONDOWN_TOO}"),
    )),
    Client("tap-buttondown 0.3.0", "PyPI: tap-buttondown", (
        Asked("GET /subscribers?page=1&page_size=100", headers={"Content-Type": "application/json"}),
        Asked("GET /emails?page=1&page_size=100", headers={"Content-Type": "application/json"}),
    )),
    Client("Sign-up handlers of seven sites (Next, Vite, Netlify, Vercel, Sinatra)", "public repositories", (
        Asked("POST /subscribers", {"email_address": "a1@example.org", "type": "regular", "tags": ["news"]}, 201),
        Asked("POST /subscribers", {"email_address": "a2@example.org"}, 201),
        Asked("POST /subscribers", {"email_address": "a3@example.org", "tags": ["newsletter"], "metadata": {}}, 201),
        Asked("POST /subscribers", {"email": "a4@example.org", "tags": ["test.io"]}, 400, _RENAMED),
        Asked("POST /subscribers", {"email": "a5@example.org"}, 400, _RENAMED),
        Asked("POST /subscribers", {"email": "a6@example.org"}, 400, _RENAMED, {"Accept": "application/json"}),
        Asked("POST /subscribers", {"email": "a7@example.org"}, 401, "the key is sent as Bearer, not as Token",
              {"Authorization": "Bearer pm_key"}),
    )),
    Client("Digest bots and archive pages of six sites", "public repositories", (
        Asked("POST /emails", {**_DRAFT, "body": "<p>HTML</p>"}, 201),
        Asked("POST /emails", {"subject": "Weekly", "body": "Text", "status": "about_to_send"}, 201),
        Asked("POST /emails", {"subject": "Weekly", "body": "Text", "email_type": "public"}, 201),
        Asked("POST /emails", {"subject": "Weekly", "body": "Text", "status": "sent"}, 400, MERGE),
        Asked("GET /emails?status=sent", headers={"X-Buttondown-API-Version": "2026-04-01"}),
        Asked("GET /subscribers?status=active", None, 400, "there is no filter status; a misspelt one would select everybody"),
    )),
    Client("Examples of Buttondown's documentation", "github.com/buttondown/docs", (
        Asked("GET /emails/{email}/analytics"),
        Asked("GET /events?email_id={email}&event_type=delivered"),
        Asked("GET /subscribers?date=2025-01-01&date=2025-03-31", None, 400, "date is date__start and date__end"),
        Asked("GET /subscribers?date__start=2025-01-01&date__end=2025-03-31"),
        Asked("GET /comments/1", None, 404, NONE),
        Asked("GET /comments/1?expand=subscriber", None, 404, NONE),
        Asked("POST /subscribers", {"email_address": "telemachus@buttondown.email", "ip_address": "127.0.0.1"}, 201),
        Asked("GET /emails?ordering=subject"),
        Asked("GET /emails?ordering=-subject"),
        Asked("GET /emails?ordering=metadata:foo"),
        Asked("POST /emails", {"subject": "My first draft", "body": "Hello, world!", "status": "draft"}, 201),
        Asked("GET /emails/{email}"),
        Asked("PATCH /emails/{email}", {"body": "Hello, updated world!"}),
        Asked("PATCH /emails/{email}", {"status": "about_to_send"}),
        Asked("PATCH /emails/{email}", {"status": "scheduled", "publish_date": "2024-12-31T12:00:00Z"}),
        Asked("POST /emails", {"subject": "My scheduled email", "body": "Hello, future!", "status": "scheduled",
                               "publish_date": "2024-12-31T12:00:00Z"}, 201),
        Asked("PATCH /emails/{email}", {"publish_date": "2025-01-01T12:00:00Z"}),
        Asked("PATCH /emails/{email}", {"status": "draft"}),
        Asked("POST /bulk_actions", {"type": "add_notes", "metadata": {"body": "Reached out via support", "ids": ["{sub}"]}}, 201),
        Asked("POST /bulk_actions", {"type": "apply_metadata", "metadata": {"action": "add", "metadata": {"first_name": "John"}, "ids": ["{sub}"]}}, 201),
        Asked("POST /bulk_actions", {"type": "apply_tags", "metadata": {"action": "add", "tag_ids": ["{tag}"], "ids": ["{sub}"]}}, 201),
        Asked("POST /bulk_actions", {"type": "change_tags_colors", "metadata": {"color": "#ff0000", "ids": ["{tag}"]}}, 201),
        Asked("POST /bulk_actions", {"type": "modify_stripe_subscriptions", "metadata": {"price_id": "price_abc123", "ids": ["{sub}"]}}, 400,
              "subscriptions are changed at Stripe"),
        Asked("POST /bulk_actions", {"type": "rename_metadata", "metadata": {"rename_mapping": {"name": "first_name"}, "ids": ["all"]}}, 201),
        Asked("GET /subscribers?utm_campaign=spring_promo&utm_medium=social"),
        Asked("GET /subscribers", headers={"X-API-Version": "2026-04-01"}),
        Asked("GET /subscribers"),
        Asked("GET /subscribers", headers={"Buttondown-Context": "a1b2c3d4-5678-90ab-cdef-1234567890ab"}),
        Asked("GET /subscribers?source=api"),
        Asked("GET /subscribers?source=import&source=organic"),
        Asked("GET /subscribers?source=api&type=regular&tag=newsletter", None, 400, "an unknown tag is refused"),
        Asked("POST /subscribers", {"email_address": "john@example.com", "tags": ["newsletter-1", "newsletter-2"]}, 201, headers=_OVERWRITE),
        Asked("POST /exports", {"collections": ["subscribers"]}, 201),
        Asked("GET /subscribers?page=2"),
        Asked("GET /emails?status=draft"),
        Asked("GET /emails?status=draft&source=api"),
        Asked("GET /emails?status=draft&status=scheduled"),
        Asked("GET /emails?-status=draft"),
        Asked("GET /subscribers?metadata['foo']=bar"),
        Asked("GET /subscribers?-metadata['foo']=bar"),
        Asked("GET /subscribers?metadata['foo']=null"),
        Asked("PATCH /subscribers/{sub}", {"metadata": {"first_name": "John"}}),
        Asked("POST /subscribers", {"email_address": "telemachus@buttondown"}, 400, BUTTONDOWN_TOO),
        Asked("POST /subscribers", {"email_address": "telemachus@buttondown.email", "unexpected_field": True}, 422, BUTTONDOWN_TOO),
        Asked("GET /subscribers?undeliverability_reason=email_blocked"),
        Asked("GET /subscribers?undeliverability_date__start=2025-01-01&undeliverability_date__end=2025-03-25"),
        Asked("GET /subscribers?referrer_url=https://example.com"),
        Asked("POST /subscribers", {"email_address": "penelope@example.org", "type": "regular"}, 201,
              headers={"X-Idempotency-Key": "AaPYI03TpJgW7pgtPB09s"}),
        Asked("GET /newsletters/{news}/sending-domain", None, 404, NONE),
        Asked("GET /newsletters/{news}"),
        Asked("POST /attachments", None, 403, GIT),
        Asked("GET /attachments"),
        Asked("DELETE /attachments/1", None, 403, GIT),
    )),
)  # fmt: skip
