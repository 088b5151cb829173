"""``/v1/attachments``: files of the built archive. Read-only: the files are in git."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import raise_not_found
from mailer.core import public_ids

router = APIRouter(tags=["Files"])

_DOCUMENTS = {".pdf", ".zip", ".csv", ".txt", ".epub", ".mp3", ".mp4", ".docx", ".xlsx"}
Ids = Annotated[list[str], Query(max_length=1000)]


@router.get("/attachments", responses=schemas.response("AttachmentPage"))
def list_attachments(
    context: Context,
    request: Request,
    page: paging.PageQuery,
    ids: Ids = [],  # noqa: B006
) -> JSONResponse:
    """List attachments.

    Files under `files/` of the archive, by name.
    """
    found = _select(list_files(context, "files", _DOCUMENTS), "att", ids)
    shown = paging.cut_sorted(page, found, str)
    results = [_as_attachment(context, path) for path in shown.rows]
    return paging.page_response(context, request, page, results, len(found), shown.after)


@router.get("/attachments/{id}", responses=schemas.response("Attachment") | schemas.error_responses(404))
def retrieve_attachment(context: Context, id: str) -> JSONResponse:
    """Retrieve an attachment.

    A file under `files/` of the archive.
    """
    found = _select(list_files(context, "files", _DOCUMENTS), "att", [id])
    return JSONResponse(_as_attachment(context, found[0])) if found else raise_not_found("attachment")


def list_files(context: AppContext, folder: str, endings: Container[str]) -> list[str]:
    """Paths of files below a folder, relative to the archive."""
    root = context.site_folder
    found = (path for path in (root / folder).rglob("*") if path.suffix.lower() in endings and path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in found)


def file_number(path: str) -> int:
    """Derive a file's number from its path: the same on every server."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") >> 1


def _select(paths: list[str], kind: str, ids: list[str]) -> list[str]:
    wanted = {public_ids.number(kind, one) for one in ids}
    return [path for path in paths if not ids or file_number(path) in wanted]


def as_image(context: AppContext, path: str) -> dict[str, Any]:
    """An image of the archive in the contract's shape."""
    return {
        "id": public_ids.public("img", file_number(path)),
        "creation_date": _modified_at(context.site_folder / path),
        "image": f"{context.settings.site_url}/{quote(path)}",
        "metadata": {},
    }


def _as_attachment(context: AppContext, path: str) -> dict[str, Any]:
    return {
        "id": public_ids.public("att", file_number(path)),
        "creation_date": _modified_at(context.site_folder / path),
        "name": Path(path).name[:255],
        "file": f"{context.settings.site_url}/{quote(path)}",
        "size": (context.site_folder / path).stat().st_size,
    }


def _modified_at(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
