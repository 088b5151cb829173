"""Receipts of sends: a page for people, the signed manifest for programs, and the public keys. Open to everybody."""

from __future__ import annotations

import re
from typing import Annotated, cast

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse

from api.common.content_policy import allow
from api.common.dependencies import Context
from api.common.language import get_language
from api.common.render import render_message, render_page
from mailer.flows.billing.billing_text import Localizer
from mailer.flows.sending.receipts import ReceiptSigner

router = APIRouter(include_in_schema=False)

Page = Annotated[str, Query(max_length=2000)]
_HEADERS = {"Cache-Control": "public, max-age=60", "Access-Control-Allow-Origin": "*"}
_NOT_SENT = "No email with this text was sent."


@router.get("/receipts/keys.json")
def list_keys(request: Request) -> Response:
    """Return the public keys of receipts, the one that signs now first."""
    return JSONResponse({"keys": list(_get_signer(request).keys.public)}, headers=_HEADERS)


@router.get("/receipts/{digest}.json")
def fetch_receipt(digest: str, request: Request, page: Page = "") -> Response:
    """Return the signed manifest of the send of the text with this digest, or else of what was sent of ``page``."""
    signer = _get_signer(request)
    found = signer.find(digest, page) if _is_digest(digest) else None
    if found is None:
        return JSONResponse({"detail": _NOT_SENT}, 404, headers=_HEADERS)
    return Response(signer.sign(found), 200, _HEADERS, "application/json")


@router.get("/receipts/{digest}")
def show_receipt(context: Context, digest: str, request: Request, page: Page = "") -> Response:
    """Say whether the text with this digest was sent and, if a page was edited since, show what was sent."""
    language = get_language(request)
    say = language.say
    found = _get_signer(request).find(digest, page) if _is_digest(digest) else None
    if found is None:
        sentences = [say("We haven’t sent an email with this text.")]
        return render_message(context, say("Not sent by email"), sentences, 404, language.lang)
    facts = {"found": found, "digest": digest, "counted_at": found.counted_at, "day": Localizer(language.lang).day}
    response = render_page(context, "receipt.html", 200, language.lang, **facts)
    allow(response, img_src="https: http:")
    return response


def _get_signer(request: Request) -> ReceiptSigner:
    return cast(ReceiptSigner, request.app.state.receipts)


def _is_digest(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f]{64}", text))
