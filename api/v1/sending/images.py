"""``/v1/images``: files of the built archive, and those that clients upload for their drafts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response

from api.common.dependencies import AppContext, Context
from api.v1.common import paging, schemas
from api.v1.common.errors import ApiError
from api.v1.sending import archive_files
from mailer import forges
from mailer.core import public_ids
from mailer.editions.images import PICTURE_SUFFIXES
from mailer.flows.publishing import draft_images
from mailer.flows.publishing.draft_images import FOLDER, MAX_IMAGE_UPLOAD_BYTES, NotAnImage
from mailer.store.publishing.draft_images import DraftImage

router = APIRouter(prefix="/images", tags=["Files"])

IMAGES_IN_GIT = "Images are files in git: add them to content/images/ and merge."


@router.get("", responses=schemas.response("ImagePage"))
def list_images(
    context: Context,
    request: Request,
    page: paging.PageQuery,
    ids: Annotated[list[str], Query(max_length=1000)] = [],  # noqa: B006
) -> JSONResponse:
    """List images.

    Images under `images/` of the archive, and those uploaded for drafts, by name.
    """
    wanted = {public_ids.number("img", one) for one in ids}
    found = [one for one in list_all_images(context) if not ids or public_ids.number("img", one["id"]) in wanted]
    shown = paging.cut_sorted(page, found, lambda one: str(one["image"]))
    return paging.page_response(context, request, page, shown.rows, len(found), shown.after)


async def _require_repository(context: Context) -> None:
    """Raise ApiError 403 without a repository."""
    if forges.make_forge(context.settings) is None:
        raise ApiError(403, "held_in_git", IMAGES_IN_GIT)


@router.post(
    "",
    status_code=201,
    responses=schemas.response("Image", 201) | schemas.error_responses(403),
    dependencies=[Depends(_require_repository)],
)
def create_image(context: Context, image: UploadFile, metadata: Annotated[str, Form(max_length=20_000)] = "{}") -> JSONResponse:
    """Upload an image.

    At most 10 MB of PNG, JPEG, GIF or WebP. It is committed to the branches of drafts that show its address, and public once
    one of them is merged. The same content again is the same image. Without a repository: 403.
    """
    content = image.file.read(MAX_IMAGE_UPLOAD_BYTES + 1)
    if len(content) > MAX_IMAGE_UPLOAD_BYTES:
        raise ApiError(413, "invalid_input", f"The image is larger than {MAX_IMAGE_UPLOAD_BYTES >> 20} MB: make it smaller.")
    try:
        made = draft_images.add_image(context.database, image.filename or "", content, _parse_metadata(metadata))
    except NotAnImage as error:
        wrong = {"type": "value_error.file_extension", "loc": ("file", "image"), "msg": str(error)}
        raise RequestValidationError([wrong]) from error
    return JSONResponse(_as_uploaded(context, made), 201)


@router.delete("/{id}", status_code=204, response_class=Response, responses=schemas.error_responses(403, 404))
def delete_image(context: Context, id: str) -> Response:
    """Delete an image.

    One that was uploaded for a draft; a branch that has it keeps it. Images of the archive are removed in git: 403.
    """
    number = public_ids.number("img", id)
    found = next((one for one in draft_images.list_images(context.database) if _number(one.name) == number), None)
    if found is None or _is_public(context, found):
        raise ApiError(403, "held_in_git", IMAGES_IN_GIT)
    draft_images.delete_image(context.database, found)
    return Response(status_code=204)


def list_all_images(context: AppContext) -> Iterator[dict[str, Any]]:
    """All images in the contract's shape, by address."""
    files = archive_files.list_files(context, FOLDER, PICTURE_SUFFIXES)
    waiting = [one for one in draft_images.list_images(context.database) if not _is_public(context, one)]
    found = [archive_files.as_image(context, path) for path in files] + [_as_uploaded(context, one) for one in waiting]
    return iter(sorted(found, key=lambda one: str(one["image"])))


def _as_uploaded(context: AppContext, image: DraftImage) -> dict[str, Any]:
    return {
        "id": public_ids.public("img", _number(image.name)),
        "creation_date": image.created_at.isoformat(),
        "image": f"{context.settings.site_url}/{FOLDER}/{quote(image.name)}",
        "metadata": image.metadata,
    }


def _number(name: str) -> int:
    """The number of an image: the same before and after it is public."""
    return archive_files.file_number(f"{FOLDER}/{name}")


def _is_public(context: AppContext, image: DraftImage) -> bool:
    return (context.site_folder / FOLDER / image.name).is_file()


def _parse_metadata(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "metadata_invalid", "The metadata is not a JSON object.") from error
    if not isinstance(found, dict):
        raise ApiError(400, "metadata_invalid", "The metadata is not a JSON object.")
    return found
