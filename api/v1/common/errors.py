"""Errors under ``/v1``: a code for programs, one sentence for people."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext
from mailer.core import form_fields
from mailer.core.errors import Mistyped


class ApiError(HTTPException):
    """An error with a code and facts for programs."""

    def __init__(
        self,
        status_code: int,
        code: str,
        detail: str,
        facts: Mapping[str, str] | None = None,
        retry: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status_code, detail, {**({"Retry-After": str(retry)} if retry is not None else {}), **(headers or {})})
        self.code = code
        self.facts = dict(facts or {})


def check_declared_fields(context: AppContext, metadata: Mapping[str, Any]) -> None:
    """Raise ApiError 400 if metadata that the sign-up form declares as a field has a value that the form would refuse."""
    try:
        form_fields.check_known(context.form_fields, metadata)
    except Mistyped as error:
        raise ApiError(400, "metadata_invalid", str(error)) from error


def raise_not_found(what: str) -> NoReturn:
    """Raise ApiError 404."""
    raise ApiError(404, "not_found", f"There is no such {what}.")
