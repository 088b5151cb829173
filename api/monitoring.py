"""Health and metrics, for operators."""

from __future__ import annotations

import redis
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

import mailer
from api.common.dependencies import UNTRUSTED_PROXY, AppContext, Context, saw_untrusted_proxy
from api.v1.common.authentication import authorize
from mailer.core.errors import Unavailable
from mailer.flows.operations import health
from mailer.flows.operations.metrics import LedgerCollector

router = APIRouter(include_in_schema=False)
metrics_router = APIRouter(include_in_schema=False)

_NO_STORE = {"Cache-Control": "no-store"}
_REDIS_TIMEOUT_SECONDS = 2.0  # to connect to Redis, and to get a response


@router.get("/health")
def report_health(context: Context) -> JSONResponse:
    """Answer 200 when everything needed responds, else 503 with one sentence."""
    sentence = _find_problem(context)
    body = {"status": "trouble" if sentence else "ok", "detail": sentence or "Everything responds."}
    body |= {"warning": UNTRUSTED_PROXY} if saw_untrusted_proxy() else {}
    return JSONResponse(body, 503 if sentence else 200, _NO_STORE)


@router.get("/health/live")
async def report_life() -> JSONResponse:
    """Answer 200 as long as this process answers at all."""
    return JSONResponse({"status": "ok", "version": mailer.__version__}, 200, _NO_STORE)


@router.get("/health/ready")
def report_readiness(context: Context) -> JSONResponse:
    """Answer 200 when this process can serve requests, else 503 with one sentence. Without Redis it can."""
    sentence = _find_database_problem(context)
    body = {"status": "trouble" if sentence else "ok", "detail": sentence or "Requests can be served."}
    return JSONResponse(body, 503 if sentence else 200, _NO_STORE)


@metrics_router.get("/metrics", dependencies=[Depends(authorize)])
def report_metrics(context: Context) -> Response:
    """Report the ledger's current counts in Prometheus' format, to a key with the scope read."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(LedgerCollector(context.database, context.settings))
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST, **_NO_STORE})


def _find_problem(context: AppContext) -> str:
    if sentence := _find_database_problem(context):
        return sentence
    if context.settings.redis_url and not _redis_answers(context.settings.redis_url):
        return "Redis does not respond: emails are delayed, and none is lost."
    return ""


def _find_database_problem(context: AppContext) -> str:
    try:
        missing = health.list_missing_migrations(context.database)
    except Unavailable:
        return "Postgres does not respond."
    if missing:
        return f"The database is missing migrations ({len(missing)}): run `postmerge migrate`."
    return ""


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_REDIS_TIMEOUT_SECONDS, socket_connect_timeout=_REDIS_TIMEOUT_SECONDS
        ) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
