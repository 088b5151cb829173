"""For those who run it: is it well?"""

from __future__ import annotations

import redis
from fastapi import APIRouter
from fastapi.responses import JSONResponse

from api.desk import Desk, Here
from mailer.errors import Unavailable
from mailer.flows import health as checks

router = APIRouter(include_in_schema=False)

_PATIENCE = 2.0  # seconds for Redis to answer


@router.get("/health")
def health(desk: Here) -> JSONResponse:
    """200 when all that is needed answers, else 503 with one sentence."""
    sentence = _trouble(desk)
    body = {"status": "trouble" if sentence else "ok", "detail": sentence or "Everything answers."}
    return JSONResponse(body, 503 if sentence else 200, {"Cache-Control": "no-store"})


def _trouble(desk: Desk) -> str:
    try:
        missing = checks.missing_migrations(desk.database)
    except Unavailable:
        return "Postgres does not answer."
    if missing:
        return f"The database lacks {len(missing)} migration(s): run `postmerge migrate`."
    if desk.settings.redis_url and not _redis_answers(desk.settings.redis_url):
        return "Redis does not answer: mails wait and nothing is lost."
    return ""


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=_PATIENCE, socket_connect_timeout=_PATIENCE) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
