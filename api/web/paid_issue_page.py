"""Reading in full what was paid for: pages and a feed behind a reader's own link, for nobody else's cache or eyes."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from api.common.dependencies import Desk, Here
from api.common.language import Tongue, tongue
from api.common.render import HEADERS, message, page
from api.web import paid_feed
from mailer.flows.billing import paid_content
from mailer.flows.billing.billing_text import Voice

router = APIRouter(include_in_schema=False)


@router.get("/read/{token}")
def read_all(desk: Here, token: str, request: Request) -> Response:
    """The issues that paying readers can read in full."""
    reader = paid_content.enter(desk.database, desk.settings, token)
    here = tongue(request, reader.lang if reader else "")
    if reader is None:
        return _closed(desk, here)
    issues = paid_content.issues(desk.database, reader.lang)
    return private(page(desk, "paid_issues.html", 200, here.lang, issues=issues, token=token, day=Voice(here.lang).day))


@router.get("/read/{token}/feed.xml")
def feed(desk: Here, token: str, request: Request) -> Response:
    """A reader's private feed with the full text."""
    reader = paid_content.enter(desk.database, desk.settings, token)
    if reader is None:
        return _closed(desk, tongue(request))
    base = f"{desk.settings.api_url}/read/{token}"
    data = paid_feed.atom(desk.site_name, base, paid_content.issues(desk.database, reader.lang))
    return private(Response(data, 200, HEADERS, "application/atom+xml"))


@router.get("/read/{token}/{key:path}")
def read(desk: Here, token: str, key: str, request: Request) -> Response:
    """One issue in full."""
    reader = paid_content.enter(desk.database, desk.settings, token)
    here = tongue(request, reader.lang if reader else "")
    if reader is None:
        return _closed(desk, here)
    found = paid_content.issue(desk.database, key, reader.lang)
    if found is None:
        say = here.say
        sentences = [say("Nothing was mailed under this name.")]
        return message(
            desk, say("There is no such issue"), sentences, 404, here.lang, href=desk.home, label=say("On to the archive")
        )
    response = page(desk, "paid_issue.html", 200, here.lang, issue=found, token=token)
    policy = response.headers["Content-Security-Policy"].replace("img-src 'self' data:", "img-src 'self' data: https: http:")
    response.headers["Content-Security-Policy"] = policy
    return private(response)


def private(response: Response) -> Response:
    """For this reader alone: no cache between us keeps it."""
    response.headers["Cache-Control"] = "private, no-store"
    return response


def _closed(desk: Desk, here: Tongue) -> Response:
    say = here.say
    sentences = [say("It is for paying readers, and this link does not hold any more: open your page from one of our mails.")]
    return message(desk, say("This is closed"), sentences, 403, here.lang, href="/join", label=say("How to read all of it"))
