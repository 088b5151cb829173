"""``/v1/users``: who may use this API. Here a user is a key: its name stands where the contract has an address."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict, Field

from api.common.dependencies import Desk, Here
from api.v1 import paging, schemas
from api.v1.errors import ApiError, not_found
from mailer.core import public_ids
from mailer.core.errors import BadInput
from mailer.flows.operations import api_keys, api_records
from mailer.store.operations.api_keys import Key

router = APIRouter(prefix="/users", tags=["Users"])

Level = Literal["none", "read", "write"]
_AREAS = ("subscriber", "email", "sending", "styling", "administrivia", "automations", "surveys", "forms")
_MAY = {
    "read": dict.fromkeys(_AREAS, "read") | {"administrivia": "none", "sending": "none"},
    "subscribers": dict.fromkeys(_AREAS, "read") | {"administrivia": "none", "sending": "none", "subscriber": "write"},
    "publish": dict.fromkeys(_AREAS, "none") | {"sending": "write"},
    "admin": dict.fromkeys(_AREAS, "write"),
}


class Permissions(BaseModel):
    """What a key may do. The nearest scope that allows no more is taken: read, subscribers, publish or admin."""

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
    """A new key; ``email_address`` becomes its name."""

    model_config = ConfigDict(extra="forbid")

    permissions: Permissions
    email_address: Annotated[str, Field(min_length=1, max_length=254)]


class UserUpdateInput(BaseModel):
    """What the key may do from now on."""

    model_config = ConfigDict(extra="forbid")

    permissions: Permissions


@router.get("", responses=schemas.answer("UserPage"))
def list_users(desk: Here, request: Request, page: paging.PageNumber = 1) -> JSONResponse:
    """Keys, revoked ones too, the oldest first."""
    found = api_keys.list_keys(desk.database)
    return paging.page(desk, request, [_user(key) for key in paging.cut(found, page)], len(found), page)


@router.post("", status_code=201, responses=schemas.answer("User", 201))
def create_user(desk: Here, wish: UserInput) -> JSONResponse:
    """A new key, shown this once in the field `key`, which the contract does not have."""
    name = wish.email_address.replace("@", " at ")
    try:
        secret = api_keys.create_key(desk.database, name, _scope(wish.permissions))
    except BadInput as error:
        raise ApiError(400, "invalid_input", str(error)) from error
    made = next(key for key in api_keys.list_keys(desk.database) if key.name == name and key.revoked_at is None)
    return JSONResponse({**_user(made), "key": secret}, 201)


@router.get("/{id}", responses=schemas.answer("User") | schemas.errors(404))
def get_user(desk: Here, id: str) -> JSONResponse:
    """One key, without its secret."""
    return JSONResponse(_user(_key(desk, id)))


@router.patch("/{id}", responses=schemas.answer("User") | schemas.errors(404))
def update_user(desk: Here, id: str, change: UserUpdateInput) -> JSONResponse:
    """Change what a key may do."""
    key = _key(desk, id)
    api_records.set_scope(desk.database, key.id, _scope(change.permissions))
    return JSONResponse(_user(_key(desk, id)))


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.errors(404, 409))
def delete_user(desk: Here, request: Request, id: str) -> Response:
    """Revoke a key: the next request with it is refused. The key of this very request cannot revoke itself."""
    key = _key(desk, id)
    if key.id == request.state.key.id:
        raise ApiError(409, "conflict", "This key is in use for this request: revoke it with another one.")
    if key.revoked_at is None:
        api_keys.revoke_key(desk.database, key.name)
    return Response(status_code=204)


def _key(desk: Desk, id: str) -> Key:
    number = public_ids.number("acc", id)
    found = api_keys.get_key(desk.database, number) if number is not None else None
    return found if found else not_found("user")


def _scope(asked: Permissions) -> str:
    if asked.administrivia == "write":
        return "admin"
    if asked.subscriber == "write":
        return "subscribers"
    return "publish" if asked.sending == "write" and asked.subscriber == "none" else "read"


def _user(key: Key) -> dict[str, Any]:
    return {
        "id": public_ids.public("acc", key.id),
        "creation_date": key.created_at.isoformat(),
        "email_address": key.name.replace(" at ", "@"),
        "permissions": _MAY[key.scope],
        "status": "accepted" if key.holds else "revoked",
        "last_logged_in": key.last_used_at.isoformat() if key.last_used_at else None,
    }
