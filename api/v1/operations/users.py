"""``/v1/users``: API keys. A user is a key here: the key's name takes the place of the contract's email address."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError, raise_not_found
from mailer.core import public_ids
from mailer.core.errors import BadInput
from mailer.flows.operations import api_keys
from mailer.store.operations.api_keys import ApiKey

router = APIRouter(prefix="/users", tags=["Users"])

Level = Literal["none", "read", "write"]
_AREAS = ("subscriber", "email", "sending", "styling", "administrivia", "automations", "surveys", "forms")
PERMISSIONS = {
    "read": dict.fromkeys(_AREAS, "read") | {"administrivia": "none", "sending": "none"},
    "subscribers": dict.fromkeys(_AREAS, "read") | {"administrivia": "none", "sending": "none", "subscriber": "write"},
    "publish": dict.fromkeys(_AREAS, "none") | {"sending": "write"},
    "review": dict.fromkeys(_AREAS, "none") | {"sending": "read"},
    "admin": dict.fromkeys(_AREAS, "write"),
}


class Permissions(BaseModel):
    """What a key may do: exactly what one of the scopes read, subscribers, publish, review and admin grants."""

    model_config = ConfigDict(extra="forbid")

    subscriber: Level = "none"
    email: Level = "none"
    sending: Level = "none"
    styling: Level = "none"
    administrivia: Level = "none"
    automations: Level = "none"
    surveys: Level = "none"
    forms: Level = "none"


class UserInput(BaseModel):
    """A new key; ``email_address`` becomes its name. A key that may only publish expires in a year by default."""

    model_config = ConfigDict(extra="forbid")

    permissions: Permissions
    email_address: Annotated[str, Field(min_length=1, max_length=254)]
    expiration_date: AwareDatetime | None = None


class UserUpdateInput(BaseModel):
    """The key's new permissions."""

    model_config = ConfigDict(extra="forbid")

    permissions: Permissions


@router.get("", responses=schemas.response("UserPage"))
def list_users(context: Context, request: Request, page: paging.PageQuery) -> JSONResponse:
    """List users.

    All API keys, including revoked ones, oldest first.
    """
    found = api_keys.list_keys(context.database)
    shown = paging.cut_sorted(page, found, lambda key: key.id)
    return paging.page_response(context, request, page, [_as_user(key) for key in shown.rows], len(found), shown.after)


@router.post("", status_code=201, responses=schemas.response("User", 201))
def create_user(context: Context, payload: UserInput) -> JSONResponse:
    """Create a user.

    Creates an API key. The response shows it once, in the field `key`, which the contract does not have.
    """
    name, scope = payload.email_address.replace("@", " at "), _scope_for(payload.permissions)
    try:
        secret = api_keys.create_key(context.database, name, scope, expires_in=_lifetime(payload, scope))
    except BadInput as error:
        raise ApiError(400, "invalid_input", str(error)) from error
    made = next(key for key in api_keys.list_keys(context.database) if key.name == name and key.revoked_at is None)
    return JSONResponse({**_as_user(made), "key": secret}, 201)


@router.get("/{id}", responses=schemas.response("User") | schemas.error_responses(404))
def retrieve_user(context: Context, id: str) -> JSONResponse:
    """Retrieve a user.

    The API key is not included.
    """
    return JSONResponse(_as_user(_find_key(context, id)))


@router.patch("/{id}", responses=schemas.response("User") | schemas.error_responses(404, 409))
def update_user(context: Context, id: str, change: UserUpdateInput) -> JSONResponse:
    """Update a user.

    Changes the permissions of an API key. The last valid admin key keeps its own.
    """
    key = _find_key(context, id)
    api_keys.change_scope(context.database, key, _scope_for(change.permissions))
    return JSONResponse(_as_user(_find_key(context, id)))


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(404, 409))
def delete_user(context: Context, request: Request, id: str) -> Response:
    """Delete a user.

    Revokes an API key: its next request is refused. A key cannot revoke itself.
    """
    key = _find_key(context, id)
    if key.id == request.state.key.id:
        raise ApiError(409, "conflict", "A key cannot revoke itself: use another key.")
    if key.revoked_at is None:
        api_keys.revoke_key(context.database, key.name)
    return Response(status_code=204)


def _find_key(context: AppContext, id: str) -> ApiKey:
    number = public_ids.number("acc", id)
    found = api_keys.get_key(context.database, number) if number is not None else None
    return found if found else raise_not_found("user")


def _scope_for(permissions: Permissions) -> str:
    """The scope with exactly these permissions. Raises ApiError 400: a key never gets more or less than was asked for."""
    found = next((scope for scope, granted in PERMISSIONS.items() if granted == permissions.model_dump()), None)
    if found is None:
        choices = "; ".join(f"{scope}: {_describe(granted)}" for scope, granted in PERMISSIONS.items())
        raise ApiError(400, "permissions_invalid", f"No scope has these permissions. There are {choices}.")
    return found


def _describe(granted: dict[str, str]) -> str:
    return json.dumps({area: level for area, level in granted.items() if level != "none"})


def _lifetime(payload: UserInput, scope: str) -> timedelta | None:
    """The time until the key expires, or None for never."""
    if "expiration_date" not in payload.model_fields_set:
        return api_keys.DEFAULT_LIFETIMES.get(scope)
    left = payload.expiration_date - datetime.now(UTC) if payload.expiration_date else None
    if left is not None and left <= timedelta(0):
        raise ApiError(400, "expiration_date_invalid", "expiration_date is past: give a time in the future, or null for never.")
    return left


def _as_user(key: ApiKey) -> dict[str, Any]:
    return {
        "id": public_ids.public("acc", key.id),
        "creation_date": key.created_at.isoformat(),
        "email_address": key.name.replace(" at ", "@"),
        "permissions": PERMISSIONS[key.scope],
        "status": "accepted" if key.is_valid else "revoked",
        "expiration_date": key.expires_at.isoformat() if key.expires_at else None,
        "last_logged_in": key.last_used_at.isoformat() if key.last_used_at else None,
    }
