"""``/v1/images`` and ``/v1/attachments``: files of the built archive. Read only: the truth is in git."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse

from api.common.dependencies import Desk, Here
from api.v1 import paging, schemas
from api.v1.errors import not_found
from mailer.core import public_ids

router = APIRouter(tags=["Files"])

_PICTURES = {".png", ".jpg", ".jpeg", ".gif", ".webp", ".avif", ".svg"}
_DOCUMENTS = {".pdf", ".zip", ".csv", ".txt", ".epub", ".mp3", ".mp4", ".docx", ".xlsx"}
Ids = Annotated[list[str], Query(max_length=1000)]


@router.get("/images", responses=schemas.answer("ImagePage"))
def list_images(
    desk: Here,
    request: Request,
    ids: Ids = [],  # noqa: B006
    page_size: paging.PageSize = paging.PAGE,
    page: paging.PageNumber = 1,
) -> JSONResponse:
    """Pictures under `images/` of the archive, by name."""
    found = _chosen(_files(desk, "images", _PICTURES), "img", ids)
    results = [_image(desk, path) for path in paging.cut(found, page, page_size)]
    return paging.page(desk, request, results, len(found), page, page_size)


@router.get("/attachments", responses=schemas.answer("AttachmentPage"))
def list_attachments(
    desk: Here,
    request: Request,
    ids: Ids = [],  # noqa: B006
    page_size: paging.PageSize = paging.PAGE,
    page: paging.PageNumber = 1,
) -> JSONResponse:
    """Files under `files/` of the archive, by name."""
    found = _chosen(_files(desk, "files", _DOCUMENTS), "att", ids)
    results = [_attachment(desk, path) for path in paging.cut(found, page, page_size)]
    return paging.page(desk, request, results, len(found), page, page_size)


@router.get("/attachments/{id}", responses=schemas.answer("Attachment") | schemas.errors(404))
def get_attachment(desk: Here, id: str) -> JSONResponse:
    """One file."""
    found = _chosen(_files(desk, "files", _DOCUMENTS), "att", [id])
    return JSONResponse(_attachment(desk, found[0])) if found else not_found("attachment")


def images(desk: Desk) -> Iterator[dict[str, Any]]:
    """Every picture in the contract's shape, by name."""
    return (_image(desk, path) for path in _files(desk, "images", _PICTURES))


def _files(desk: Desk, folder: str, endings: set[str]) -> list[str]:
    """Paths inside the archive."""
    root = desk.site_folder
    found = (path for path in (root / folder).rglob("*") if path.suffix.lower() in endings and path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in found)


def _number(path: str) -> int:
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big") >> 1


def _chosen(paths: list[str], kind: str, ids: list[str]) -> list[str]:
    wanted = {public_ids.number(kind, one) for one in ids}
    return [path for path in paths if not ids or _number(path) in wanted]


def _image(desk: Desk, path: str) -> dict[str, Any]:
    return {
        "id": public_ids.public("img", _number(path)),
        "creation_date": _changed(desk.site_folder / path),
        "image": f"{desk.settings.site_url}/{quote(path)}",
        "metadata": {},
    }


def _attachment(desk: Desk, path: str) -> dict[str, Any]:
    return {
        "id": public_ids.public("att", _number(path)),
        "creation_date": _changed(desk.site_folder / path),
        "name": Path(path).name[:255],
        "file": f"{desk.settings.site_url}/{quote(path)}",
        "size": (desk.site_folder / path).stat().st_size,
    }


def _changed(path: Path) -> str:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
