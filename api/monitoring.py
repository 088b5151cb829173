"""Health and metrics, for operators."""

from __future__ import annotations

from collections.abc import Mapping

import redis
from fastapi import APIRouter, Depends
from fastapi.responses import JSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from api.common.dependencies import UNTRUSTED_PROXY, AppContext, Context, saw_untrusted_proxy
from api.v1.common.authentication import authorize
from mailer.core.errors import Unavailable
from mailer.flows.operations import health

router = APIRouter(include_in_schema=False)
metrics_router = APIRouter(include_in_schema=False)

_REDIS_TIMEOUT_SECONDS = 2.0  # to connect to Redis, and to get a response


@router.get("/health")
def report_health(context: Context) -> JSONResponse:
    """Answer 200 when everything needed responds, else 503 with one sentence."""
    sentence = _find_problem(context)
    body = {"status": "trouble" if sentence else "ok", "detail": sentence or "Everything responds."}
    body |= {"warning": UNTRUSTED_PROXY} if saw_untrusted_proxy() else {}
    return JSONResponse(body, 503 if sentence else 200, {"Cache-Control": "no-store"})


@metrics_router.get("/metrics", dependencies=[Depends(authorize)])
def report_metrics(context: Context) -> Response:
    """Report the ledger's current counts in Prometheus' format, to a key with the scope read."""
    numbers = health.read_numbers(context.database)
    registry = CollectorRegistry()
    _add_gauge(registry, "postmerge_sends", "Sends in each state.", numbers.sends)
    recent = "Deliveries in each state, of sends that are unfinished or finished in the last 24 hours."
    _add_gauge(registry, "postmerge_deliveries", recent, numbers.deliveries)
    waiting = Gauge("postmerge_transactional_mails_pending", "Transactional emails that are pending.", registry=registry)
    waiting.set(numbers.waiting_transactional)
    return Response(generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST, "Cache-Control": "no-store"})


def _add_gauge(registry: CollectorRegistry, name: str, text: str, counts: Mapping[str, int]) -> None:
    gauge = Gauge(name, text, ["state"], registry=registry)
    for state, number in counts.items():
        gauge.labels(state).set(number)


def _find_problem(context: AppContext) -> str:
    try:
        missing = health.list_missing_migrations(context.database)
    except Unavailable:
        return "Postgres does not respond."
    if missing:
        return f"The database is missing migrations ({len(missing)}): run `postmerge migrate`."
    if context.settings.redis_url and not _redis_answers(context.settings.redis_url):
        return "Redis does not respond: emails are delayed, and none is lost."
    return ""


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(
            url, socket_timeout=_REDIS_TIMEOUT_SECONDS, socket_connect_timeout=_REDIS_TIMEOUT_SECONDS
        ) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False
