"""The REST API under ``/v1``, with the paths and shapes of Buttondown's: token keys, pages, one sentence for each error.

One module for each resource, in ``subscribers``, ``sending`` and ``operations``; ``common`` has what they share:
authentication, rate limits, paging, idempotency keys, errors and the OpenAPI description.
"""

from __future__ import annotations

from fastapi import APIRouter, Depends, FastAPI
from fastapi.responses import Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext
from api.v1.common import openapi, schemas
from api.v1.common.authentication import authenticate, authorize
from api.v1.common.entity_tags import EntityTagMiddleware
from api.v1.common.idempotency import IdempotencyMiddleware
from api.v1.common.rate_limit import RequestRateLimiter
from api.v1.common.request_log import RequestLog, RequestLogMiddleware
from api.v1.operations import account, api_requests, exports, permissions, unsupported, users, webhooks
from api.v1.sending import archive_files, drafts, emails, events, images, previews, publish, sends, test_emails
from api.v1.subscribers import bulk_actions, forms, imports, notes, segments, stripe_subscriptions, subscribers, tags

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
_rest = APIRouter()


@_rest.api_route("/{rest:path}", methods=_METHODS, include_in_schema=False)
def raise_for_unknown_path(rest: str) -> Response:
    """Answer 405 for a known path with another method, and 404 for every other path under ``/v1``."""
    if allowed := _list_methods(f"/{rest}"):
        raise HTTPException(405, headers={"Allow": ", ".join(allowed)})
    raise HTTPException(404)


def _list_methods(path: str) -> list[str]:
    """The methods that a path accepts; none for an unknown path. A path with a name of its own, no id, accepts only its own."""
    routes = _list_routes(path)
    routes = [route for route in routes if route.path == path] or routes
    found = {method for route in routes for method in route.methods or ()}
    return sorted(found | ({"HEAD"} if "GET" in found else set()))


def find_route(method: str, path: str) -> APIRoute | None:
    """The route that answers a method and a path of the app, None for an unknown one or one outside ``/v1``."""
    below = path.removeprefix("/v1")
    found = _list_routes(below) if below != path else ()
    return next((route for route in found if method in (route.methods or ())), None)


def _list_routes(path: str) -> list[APIRoute]:
    """The routes that match a path below ``/v1``, the first to answer first."""
    routes = (route for router in _ROUTERS for route in router.routes if isinstance(route, APIRoute) and router is not _rest)
    return [route for route in routes if route.path_regex.match(path)]


# In the order of matching: the most frequent first, the route that matches everything last.
_ROUTERS = (
    subscribers.router,
    account.router,
    tags.router,
    segments.router,
    notes.router,
    emails.router,
    drafts.router,
    events.router,
    forms.router,
    archive_files.router,
    images.router,
    users.router,
    api_requests.router,
    webhooks.router,
    bulk_actions.router,
    imports.router,
    exports.router,
    stripe_subscriptions.router,
    permissions.router,
    publish.router,
    test_emails.router,
    previews.router,
    sends.router,
    unsupported.router,
    _rest,
)


def include_routes(app: FastAPI) -> None:
    """Add every route under ``/v1``, directly to the app: each level of routers costs every request another search."""
    for router in _ROUTERS:
        app.include_router(
            router,
            prefix="/v1",
            dependencies=[Depends(authorize if router is _rest else authenticate)],  # a 405 or 404, whatever the query
            responses=schemas.COMMON_RESPONSES,
            generate_unique_id_function=openapi.name_operation,
        )
    app.include_router(exports.download_router)


def install_api(app: FastAPI, context: AppContext | None = None) -> None:
    """Add what the routes need of the app: limits, idempotency keys, entity tags, the request log, the OpenAPI description."""
    shared = context.shared_folder if context else None
    app.state.rate_limiter = RequestRateLimiter(shared and shared / "keys")
    app.state.stranger_limiter = RequestRateLimiter(shared and shared / "strangers")
    app.state.find_route = find_route
    if context:
        app.state.requests = RequestLog(context)
        app.add_middleware(IdempotencyMiddleware, context=context)
        app.add_middleware(EntityTagMiddleware, context=context)
        app.add_middleware(RequestLogMiddleware, log=app.state.requests)
    openapi.install_openapi(app)
