"""Images that programs upload through the API: stored first, then committed with the drafts that show them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mailer.core import form_fields
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.editions.source.front_matter import slugify
from mailer.flows.subscribers.subscriber_admin import Rejected
from mailer.store.publishing import draft_images
from mailer.store.publishing.draft_images import DraftImage

FOLDER = "images"  # of the content, and of the site
MAX_IMAGE_UPLOAD_BYTES = 10 << 20
_MAX_STEM_CHARS = 60
_MAX_DIGEST_CHARS = 10  # of the digest in a name, so that no two pictures have one name
_BEGINNINGS = ((b"\x89PNG\r\n\x1a\n", ".png"), (b"\xff\xd8\xff", ".jpg"), (b"GIF87a", ".gif"), (b"GIF89a", ".gif"))


class NotAnImage(BadInput):
    """What was uploaded is no picture that emails can show."""


def add_image(database: Database, name: str, content: bytes, metadata: Mapping[str, Any]) -> DraftImage:
    """Store an image; the same content again is the same image. Raises NotAnImage, and Rejected for its metadata."""
    suffix = _find_suffix(content)
    if not form_fields.is_storable(metadata):
        raise Rejected("metadata_invalid", "The metadata is too long, or its objects and lists are too deep inside each other.")
    digest = hashlib.sha256(content)
    stem = slugify(Path(name).stem)[:_MAX_STEM_CHARS].strip("-") or "image"
    with database.transaction() as tx:
        whole = f"{stem}-{digest.hexdigest()[:_MAX_DIGEST_CHARS]}{suffix}"
        return draft_images.add(tx, whole, digest.digest(), content, metadata)


def list_images(database: Database) -> list[DraftImage]:
    """All uploaded images, by name."""
    with database.transaction() as tx:
        return draft_images.list_all(tx)


def delete_image(database: Database, image: DraftImage) -> None:
    """Forget an image. A branch that has it keeps it."""
    with database.transaction() as tx:
        draft_images.delete(tx, image.id)


def _find_suffix(content: bytes) -> str:
    """What a picture's file is called by its content, whatever the client calls it."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return ".webp"
    suffix = next((suffix for beginning, suffix in _BEGINNINGS if content.startswith(beginning)), "")
    if not suffix:
        raise NotAnImage("Unsupported image type. Please upload a PNG, JPG, GIF, or WebP image.")
    return suffix
