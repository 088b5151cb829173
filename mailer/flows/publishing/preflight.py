"""Preflight: reasons to refuse a send, each with a sentence on what was found and, where it is safe, the way past it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from urllib.parse import unquote, urlsplit

from mailer.core import domain_names
from mailer.core.audience import shown
from mailer.core.edition import Edition, Finding, SendIntent
from mailer.core.errors import BadInput, Refused
from mailer.core.i18n import local_time
from mailer.core.net import http_client
from mailer.core.settings import Settings
from mailer.editions.mail.placeholder_places import is_misplaced
from mailer.flows.publishing.publish_plan import Action, Plan, Step
from mailer.store.publishing.issues import KnownIssue
from mailer.store.sending.sends import NOT_STARTED
from mailer.transports.base import AccountLimits

MAX_ISSUE_AGE = timedelta(days=7)
MAX_SCHEDULE_DELAY = timedelta(hours=6)
MAX_PAGE_BYTES = 4_000_000
ALLOWED = (
    "checks", "many", "old", "late", "unknown-tag", "duplicate", "identity", "url", "unsold", "sender", "quota", "sandbox",
)  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """A reason to refuse to publish. ``name`` is what ``--allow`` takes; empty if nothing overrides it."""

    name: str
    sentence: str
    about_subscribers: bool = False  # depends on who subscribes, so a key that may only publish is not told


def check_plan(
    plan: Plan,
    settings: Settings,
    findings: Iterable[Finding],
    account: AccountLimits | None,
    allow: Collection[str],
    gate: bool,
) -> list[Refusal]:
    """Collect the refusals of the plan's sends, except those that ``allow`` names. Fetch the live pages if ``gate``."""
    sending = plan.of(Action.SEND)
    touched = plan.of(Action.SEND, Action.UPDATE)
    of_sequences = [Step(Action.SEND, one.key, one.key, "", edition=one) for one in plan.new_texts]
    found = [
        *_check_sources(plan, findings),
        *_check_identities(plan),
        *(_check_settings(settings, [*touched, *of_sequences]) if touched or of_sequences else ()),
        *_check_number(sending),
    ]
    for step in of_sequences:
        found += [
            *_check_placeholder(step),
            *(() if settings.sells or plan.has_stripe else _check_paid_text(step)),
            *(_check_review(step, plan) if settings.require_review else ()),
        ]
    for step in touched:
        found += [
            *_check_issue(step, plan),
            *_check_placeholder(step),
            *(() if settings.sells or plan.has_stripe else _check_paid_text(step)),
            *(_check_review(step, plan) if settings.require_review else ()),
            *(_check_live_pages(step, settings.site_url) if gate and not step.scheduled else ()),
        ]
    found += [replace(one, about_subscribers=True) for one in _check_quota(touched, account)]
    return [refusal for refusal in found if refusal.name not in allow]


def require_no_refusals(refusals: list[Refusal], plan: Plan, blind: bool = False) -> None:
    """Raise Refused with all that was found, each on a line of its own; the error is named after the first.

    ``blind``: say nothing that depends on subscribers, such as whether a send that has not started is paused.
    """
    if refusals:
        lines = [refusal.sentence for refusal in refusals]
        if any(refusal.name == "checks" for refusal in refusals):
            lines.append("Correct what is named with its line, or publish with `--allow checks`.")
        raise Refused("\n".join([*lines, *_list_unchanged_sends(plan, blind)]), refusals[0].name)


def _list_unchanged_sends(plan: Plan, blind: bool) -> Iterator[str]:
    """Waiting sends that publishing would have cancelled or changed: their hold window ends all the same."""
    for step in plan.of(Action.CANCEL, Action.UPDATE):
        if step.send and (step.send.state in NOT_STARTED or blind):
            what = "cancelled" if step.action is Action.CANCEL else "changed"
            yield (
                f"Send {step.send.id} of {step.key} was not {what} and starts at {local_time.moment(step.send.due_at)} as it"
                f" was: `postmerge cancel {step.send.id}` stops it."
            )


def list_blocking_findings(plan: Plan, findings: Iterable[Finding]) -> list[Finding]:
    """The errors in what is to be sent: in a new or a waiting send's files, or in a file that asks and was left out for them.

    On an empty ledger all of them, for every issue has to be written down as public before the first one is sent.
    """
    sending = {path for step in plan.of(Action.SEND, Action.UPDATE) if step.edition for path in step.edition.paths}
    sending |= {step.was_at for step in plan.of(Action.CANCEL)}
    return [
        one
        for one in findings
        if one.level == "error"
        and (plan.first or one.path in sending or (one.asks and plan.settled.get(one.issue, 0) < one.asks))
    ]


def _check_sources(plan: Plan, findings: Iterable[Finding]) -> Iterator[Refusal]:
    for finding in list_blocking_findings(plan, findings):
        yield Refusal("checks", f"{finding.path}:{finding.line}: {finding.message}")


def _check_identities(plan: Plan) -> Iterator[Refusal]:
    """Files of which the ledger cannot say whether they are new issues."""
    for step in plan.steps:
        edition, match = step.edition, step.match
        if edition is None or match is None:
            continue
        asks = edition.send is not SendIntent.NO
        if match.rival and asks:
            yield Refusal(
                "",
                f"{edition.path} has the `Id: {edition.key}` of an issue that is in {match.rival}:"
                " give it an `Id:` of its own, or remove the line.",
            )
        if match.ambiguous and match.issue and (asks or step.chosen) and step.action in (Action.KEEP, Action.RENAME):
            yield Refusal(
                "identity",
                f"{edition.path} may be a new issue or {_describe_known(edition, match.issue.latest)}: if it is new, give it"
                f" an `Id:` of its own; if it is the same, write `Id: {match.root}` or publish with `--allow identity`.",
            )
        if step.url_taken_by:
            yield Refusal(
                "url",
                f"{step.url_taken_by} would take the address of {edition.path},"
                f" {match.issue.latest.url if match.issue else ''}: give {step.url_taken_by} a `Slug:` of its own,"
                " or publish with `--allow url`.",
            )


def _describe_known(edition: Edition, known: KnownIssue) -> str:
    where = "the one that was there" if known.path == edition.path else f"the one that was at {known.path}"
    return f"{where}, “{known.title}”"


def _check_settings(settings: Settings, touched: list[Step]) -> Iterator[Refusal]:
    if not settings.sender and any(step.edition and not step.edition.sender for step in touched):
        yield Refusal("", 'No sender is set: put POSTMERGE_SENDER="Name <address@your.domain>" into the environment.')
    if not settings.postal_address:
        yield Refusal("", "No postal address is set, which the law requires in every email: set POSTMERGE_POSTAL_ADDRESS.")


def _check_number(sending: list[Step]) -> Iterator[Refusal]:
    if len(sending) > 1:
        keys = ", ".join(step.key for step in sending[:5])
        yield Refusal(
            "many",
            f"{len(sending)} issues ask to be sent at once ({keys}):"
            " publish one with `--issue KEY`, or all with `--allow many`.",
        )


def _check_issue(step: Step, plan: Plan) -> Iterator[Refusal]:
    edition = step.edition
    if edition is None:
        return
    if step.action is Action.SEND and not step.chosen and not step.scheduled and plan.made_at - edition.dated > MAX_ISSUE_AGE:
        days = (plan.made_at - edition.dated).days
        yield Refusal("old", f"{edition.path} is dated {days} days ago: correct its `Date:`, or publish with `--allow old`.")
    if (
        edition.send_at
        and not step.chosen
        and plan.made_at - edition.send_at > MAX_SCHEDULE_DELAY
        and step.action is Action.SEND
    ):
        yield Refusal(
            "late",
            f"{edition.path} asks to be sent at {local_time.moment(edition.send_at)}, which is past:"
            " move `Send:` into the future, or publish with `--allow late`.",
        )
    if step.unknown_tags:
        tags = ", ".join(repr(tag) for tag in step.unknown_tags)
        yield Refusal(
            "unknown-tag",
            f"The audience of {edition.path} names the tag {tags}, which no subscriber has:"
            " correct `Audience:`, or publish with `--allow unknown-tag`.",
            about_subscribers=True,
        )
    if step.size == 0 and not step.scheduled:
        yield Refusal(
            "",
            f"The audience {shown(edition.audience)} of {edition.path} is empty:"
            " correct `Audience:`, or add subscribers first.",
            about_subscribers=True,
        )
    if step.match and step.match.copied and step.action is Action.SEND and not step.match.rival:
        yield Refusal(
            "duplicate",
            f"{edition.path} has nearly the same text as {step.match.copied}: write its own text into {edition.path} and leave"
            f" {step.match.copied} as it is, or publish with `--allow duplicate`.",
        )


def _check_placeholder(step: Step) -> Iterator[Refusal]:
    edition = step.edition
    texts = [(edition.html, edition.text), *((one.html, one.text) for one in edition.variants)] if edition else []
    if edition and any(is_misplaced(html, text) for html, text in texts):
        yield Refusal(
            "",
            f"The email of {edition.path} has the placeholder of the unsubscribe link in another place than the target of a"
            " link, where it could give the subscribers' own links away: correct the email template, and build again.",
        )


def _check_paid_text(step: Step) -> Iterator[Refusal]:
    if step.edition and any(one.premium for one in step.edition.variants):
        yield Refusal(
            "unsold",
            f"{step.edition.path} has paid text, and nobody can pay for it here: write plans.toml and set"
            " STRIPE_SECRET_KEY, or publish with `--allow unsold`.",
        )


def _check_review(step: Step, plan: Plan) -> Iterator[Refusal]:
    edition = step.edition
    if edition is None:
        return
    texts = {"": edition.digest, **{one.name: one.digest for one in edition.variants}}
    for name, digest in texts.items():
        if digest not in plan.reviewed:
            option = f" --variant '{name}'" if name else ""
            yield Refusal(
                "",
                f"No reviewer was sent {edition.path} as it is now{f' ({name})' if name else ''}, and POSTMERGE_REQUIRE_REVIEW"
                f" is on: run `postmerge test {edition.key}{option}`, then publish again.",
            )


def _check_quota(touched: list[Step], account: AccountLimits | None) -> Iterator[Refusal]:
    if account is None:
        return
    needed = sum(step.size for step in touched if not step.scheduled)
    if needed and not account.sending:
        yield Refusal("", "SES has switched sending off for this account: open the SES console and follow what it says there.")
    if needed and not account.production:
        yield Refusal(
            "sandbox",
            "This SES account is in the sandbox, which sends only to verified addresses: ask AWS for production access"
            " in the SES console, or publish with `--allow sandbox`.",
        )
    if needed and account.quota == 0:
        yield Refusal(
            "", "SES does not let this account send at all (a quota of 0): open the SES console and follow its instructions."
        )
    elif needed > account.left:
        yield Refusal(
            "quota",
            f"The audience has {needed:,} subscribers, but SES accepts only {account.left:,.0f} more emails in these 24 hours:"
            " wait, ask AWS for more, or publish with `--allow quota`.",
        )


def _check_live_pages(step: Step, site_url: str) -> Iterator[Refusal]:
    if step.edition is None:
        return
    translations = [(one.url, one.digest) for one in step.edition.variants if one.url and not one.premium]
    for url, digest in [(step.edition.url, step.edition.digest), *translations]:
        if not is_below(url, site_url):
            yield Refusal("", f"{url} is not below {site_url}: build the site with the POSTMERGE_SITE_URL of the server.")
            return
        found = fetch_live_digest(url, site_url)
        if found != digest:
            what = "shows another text" if found else "does not show this issue yet"
            yield Refusal("", f"{url} {what}: deploy the site first, then publish again; without a site use `--no-gate`.")
            return


def is_below(url: str, site_url: str) -> bool:
    """Whether a URL is below the site's. Without ``site_url``, which only uploads need, every URL is."""
    try:
        asked, site = (domain_names.with_ascii_host(urlsplit(one)) for one in (url, site_url))
        same = (asked.scheme, asked.hostname, asked.port) == (site.scheme, site.hostname, site.port)
    except (BadInput, ValueError):
        return False
    within = asked.path.startswith(f"{site.path.rstrip('/')}/") and ".." not in unquote(asked.path)
    return not site_url or (same and within and "@" not in asked.netloc)


def fetch_live_digest(url: str, site_url: str = "", timeout: float = 10.0) -> str:
    """The digest that the public page at ``url`` carries, or "" when there is none (or no page, or not below ``site_url``).

    Raises nothing, whatever answers there. ``timeout`` in seconds: for each part of the response, and twice that for all of it.
    Redirects are followed below the site's URL only: an uploaded edition could name any page of our network otherwise.
    """
    if not url.startswith(("http://", "https://")) or not is_below(url, site_url):
        return ""
    request = http_client.HttpRequest(
        "GET", url, {"Cache-Control": "no-cache"}, seconds=timeout, total_seconds=2 * timeout, max_bytes=MAX_PAGE_BYTES,
        follow=lambda target: is_below(target, site_url),
    )  # fmt: skip
    try:
        response = http_client.send(request)
    except (http_client.NoResponse, BadInput):
        return ""
    head = response.body.decode("utf-8", "replace") if response.status == 200 else ""
    match = re.search(r'data-digest="([0-9a-f]{64})"|name="postmerge-digest"\s+content="([0-9a-f]{64})"', head)
    return (match[1] or match[2]) if match else ""
