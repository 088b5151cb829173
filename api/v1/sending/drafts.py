"""Writing emails: a draft is a file on a branch of the newsletter's repository. Only merging the branch can send it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import ValidationError

from api.common.dependencies import AppContext, Context
from api.v1.common import schemas
from api.v1.common.errors import ApiError, raise_not_found
from api.v1.sending.draft_input import EmailInput, EmailUpdateInput, as_changes
from api.v1.sending.emails import HELD_IN_GIT, as_emails
from mailer import forges
from mailer.core import public_ids
from mailer.core.errors import BadInput
from mailer.flows.publishing import drafts
from mailer.flows.publishing.drafts import DraftFields
from mailer.flows.sending import issue_overview
from mailer.forges.base import Forge
from mailer.store.publishing.drafts import Draft

router = APIRouter(prefix="/emails", tags=["Emails"])


async def _get_forge(context: Context, request: Request) -> Forge:
    """The newsletter's repository. Raises ApiError 403 without one, with the file that a merge would need."""
    forge = forges.make_forge(context.settings)
    if forge is None:
        raise ApiError(403, "held_in_git", HELD_IN_GIT, _propose_file(context, await request.body()))
    return forge


Repository = Annotated[Forge, Depends(_get_forge)]


@router.post("", status_code=201, responses=schemas.response("Email", 201) | schemas.error_responses(409))
def create_email(context: Context, forge: Repository, payload: EmailInput) -> JSONResponse:
    """Create an email.

    Commits a draft to the branch `postmerge/NAME` of the newsletter's repository and, at GitHub, opens a pull request.
    `about_to_send` and `scheduled` become `Send:` in the file. Nothing is sent before the branch is merged. `metadata.reason`
    says why a draft is not in the repository; its next change is pushed again. Without a repository: 403, and `metadata` has
    the file.
    """
    given = DraftFields(**as_changes(payload))
    made = drafts.create_draft(context.database, forge, given, context.settings.issues_folder)
    return JSONResponse(as_draft(context, made), 201)


@router.patch("/{id}", responses=schemas.response("Email") | schemas.error_responses(404, 409))
def update_email(context: Context, forge: Repository, id: str, change: EmailUpdateInput) -> JSONResponse:
    """Update an email.

    Commits the change of a draft to its branch. An email that is no draft is changed in git: 403.
    """
    draft = _find_draft(context, id)
    changes = as_changes(change)
    if "ignored" in changes:  # clients send back all that they retrieved: what is as it was is not ignored
        shown = as_draft(context, draft)
        changes["ignored"] = tuple(name for name in changes["ignored"] if getattr(change, name) != shown.get(name))
    return JSONResponse(as_draft(context, drafts.change_draft(context.database, forge, draft, changes)))


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(404, 409))
def delete_email(context: Context, forge: Repository, id: str) -> Response:
    """Delete an email.

    Deletes a draft with its branch and closes its pull request. An email that is no draft is removed in git: 403.
    """
    drafts.delete_draft(context.database, forge, _find_draft(context, id))
    return Response(status_code=204)


def as_draft(context: AppContext, draft: Draft) -> dict[str, Any]:
    """A draft in the contract's shape: `metadata` has the client's own and the draft's place in git."""
    found = issue_overview.find_by_keys(context.database, [draft.key]).get(draft.key)
    if found is None:
        raise_not_found("email")
    return as_emails(context, [found], {draft.key: draft})[0]


def _find_draft(context: AppContext, id: str) -> Draft:
    draft = drafts.find_draft(context.database, public_ids.number("em", id), id)
    if draft:
        return draft
    if issue_overview.find_issue(context.database, id):
        raise ApiError(403, "held_in_git", HELD_IN_GIT)
    return raise_not_found("email")


def _propose_file(context: AppContext, body: bytes) -> dict[str, str]:
    """The path and the text of the file that a client's email would be; nothing when the request cannot be read."""
    try:
        given = DraftFields(**as_changes(EmailInput.model_validate_json(body)))
    except (ApiError, BadInput, ValidationError):
        return {}
    path, text = drafts.propose_file(given, context.settings.issues_folder, datetime.now(UTC))
    return {"path": path, "file": text}
