"""A change's report in Markdown: what merging it sends, to whom, when and at what cost; findings; what is new."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from mailer.checks import Remark
from mailer.core.edition import Edition, Finding, SendIntent, spoken_in
from mailer.core.i18n import code
from mailer.editions.mail.gmail_clipping import MAX_HTML_BYTES
from mailer.exchange.fork_text import MARK
from mailer.flows.publishing.publish import Outlook
from mailer.flows.publishing.publish_plan import Action, Step
from mailer.flows.publishing.sequence_plan import list_sentences
from mailer.transports.base import AccountLimits
from mailer.workbench import email_facts, email_support
from mailer.workbench.picture import PHONE_WIDTH

_USD_PER_EMAIL = 0.0001  # Amazon SES, outgoing email: 0.10 USD for 1,000 (aws.amazon.com/ses/pricing, November 2026)
_HARMLESS = re.compile(r"[^`@|<>&#\n\\]+")  # in a span of code
_SIGNS = re.compile(r"://|[\\`*_{}\[\]()+.!|>~&<@#-]")
# Forges look for names and numbers in what Markdown made, so that an entity alone is not enough.
_ENTITIES = {"&": "&amp;", "<": "&lt;", "@": "&#64;&#8203;", "#": "&#35;&#8203;", "://": "&#58;//"}
_WORD = re.compile(r"[\"'(“„«]?[\w,;:%–—’-]+[.,;:?)\"'”“»]*")
_MOST_REMARKS, _MOST_LINES, _MOST_ISSUES, _MOST_LINKS = 30, 160, 5, 20
_BUSY = (Action.SEND, Action.UPDATE, Action.CANCEL)


@dataclass(frozen=True)
class Change:
    """An issue that a change touches: as it is now (None: gone), and as it was (None: new); for a translation, its original."""

    shown: str
    now: Edition | None
    before: Edition | None
    original: Edition | None = None


@dataclass(frozen=True)
class Review:
    """All that a report is made from; ``outlook`` is None when the ledger was not asked, and ``why`` says why not."""

    changes: Sequence[Change]
    remarks: Sequence[Remark]
    outlook: Outlook | None
    why: str
    zone: str
    hold: timedelta
    base: str
    picture: str = ""
    left_out: Sequence[tuple[str, str]] = ()  # changed files that are in no edition, each with why
    tested: str = ""  # what was sent to the reviewers, in a sentence
    sequence_errors: Sequence[Finding] = ()
    issues: Sequence[Edition] = ()  # all of the build, among them the last one before each
    preview: str = ""  # the URL of the site as it would be


def render_review(review: Review) -> str:
    """The report; its first line is the mark by which it is found again."""
    parts = [
        MARK,
        *_render_verdicts(review),
        *_list_other_sends(review),
        *_list_refusals(review),
        _describe_sequences(review),
        review.tested,
        *_link_preview(review),
        *_embed_picture(review),
        _render_findings(review.remarks),
    ]
    for change in review.changes[:_MOST_ISSUES]:
        if change.now:
            parts += [_render_facts(change, change.now, review.issues), _render_difference(change, review.base)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _link_preview(review: Review) -> list[str]:
    if not re.fullmatch(r"https?://[\w.:/\[\]-]+", review.preview):
        return []
    return [f"[The site as it would be](<{review.preview}>): scripts and forms do nothing there, and it shows no paid text."]


def _render_verdicts(review: Review) -> list[str]:
    if not review.changes and not review.left_out:
        return ["Merging this **sends nothing**, because it changes no issue."]
    found = [_render_verdict(review, change) for change in review.changes]
    found += [f"Merging this **sends nothing** for {escape_code(shown)}, because {why}." for shown, why in review.left_out]
    if len(found) > _MOST_ISSUES:
        told = [text for text in found if "sends nothing" not in text][:20]
        quiet = sum("sends nothing" in text for text in found)
        return [*told, f"Merging this **sends nothing** for {quiet} issues." if quiet else ""]
    return found


def _render_verdict(review: Review, change: Change) -> str:
    edition = change.now
    if edition is None:
        step = _find_step(review, change.shown)
        if step and step.action is Action.CANCEL and step.send:
            return (
                f"Merging this **cancels** send {step.send.id}, *{escape_text(step.send.subject)}*, because its issue is gone."
            )
        if step and step.action is Action.CANCEL:
            return f"Merging this **cancels** the send of {escape_code(change.shown)}, because it is gone."
        return f"Merging this **sends nothing**, because {escape_code(change.shown)} is gone."
    if step_of := (change.original or edition).step:
        name = escape_code(step_of.sequence.name)
        return f"*{escape_text(edition.title)}* is a step of the sequence {name}, sent to each subscriber when it is due."
    if change.original:
        return _describe_translation(review, change.original, edition)
    if review.outlook is None:
        return _explain_no_send(review, edition)
    step = _find_step(review, edition.path)
    if step is None or step.action not in _BUSY:
        why = step.why if step else "it is not in the build"
        return (
            f"Merging this **sends nothing** for *{escape_text(edition.title)}*, because {escape_sentence(_quote_reason(why))}."
        )
    if step.action is Action.CANCEL:
        return f"Merging this **cancels** the send of *{escape_text(edition.subject)}*, because it {escape_sentence(step.why)}."
    refused = bool(review.outlook and review.outlook.refusals)
    sends = "would send, once publishing does not refuse it," if refused else "will send"
    what = sends if step.action is Action.SEND else "changes the waiting send:"
    return f"Merging this **{what}** *{escape_text(edition.subject)}* to {_describe_terms(review, step)}."


def _describe_translation(review: Review, original: Edition, edition: Edition) -> str:
    """A translation goes out with its original, or not at all."""
    step, own = _find_step(review, original.path), code(edition.lang)
    with_it = f"*{escape_text(edition.title)}* is a translation of *{escape_text(original.title)}*"
    if review.outlook is None:
        return f"{with_it}: its subscribers get it when that is sent."
    if step is None or step.action not in (Action.SEND, Action.UPDATE):
        return f"Merging this **sends nothing** for *{escape_text(edition.title)}*, a translation: its original is not sent."
    if step.told:
        return f"{with_it}: its subscribers get it when that is sent."
    number = sum(count for name, count in step.texts.items() if spoken_in(name) == own)
    return f"{with_it}: **{number:,}** of its {step.size:,} subscribers get it in this language."


def _describe_terms(review: Review, step: Step) -> str:
    account = review.outlook.account if review.outlook else None
    emails = step.told or f"**{step.size:,} subscriber{'s' if step.size != 1 else ''}**{step.texts_said}"
    if step.scheduled and step.due_at:
        local = step.due_at.astimezone(ZoneInfo(review.zone))
        when = f"on **{local:%a} {local.day} {local:%b %H:%M %Z}**"
    else:
        when = f"{_format_minutes(review.hold)} after the merge"
    ends = f"{_describe_end(step, account, review.zone)}{_describe_cost(step.size, account)}"
    return f"{emails} {when}{ends}{_describe_sender(step)}"


def _describe_sender(step: Step) -> str:
    """The issue's own sender and address for replies: a reviewer has to see that they are not the newsletter's."""
    edition = step.edition
    sender = f", **from** {escape_code(edition.sender)}" if edition and edition.sender else ""
    return sender + (f", with **replies to** {escape_code(edition.reply_to)}" if edition and edition.reply_to else "")


def _describe_end(step: Step, account: AccountLimits | None, zone: str) -> str:
    if account is None or account.rate <= 0:
        return ""
    seconds = step.size / account.rate
    at_rate = f"at {account.rate:,.0f} emails/s"
    if step.scheduled and step.due_at:
        end = (step.due_at + timedelta(seconds=seconds)).astimezone(ZoneInfo(zone))
        return f", done by about {end:%H:%M} {at_rate}"
    return f", done in about {_format_minutes(timedelta(seconds=max(1.0, seconds)))} {at_rate}"


def _describe_cost(emails: int, account: AccountLimits | None) -> str:
    return f", costing about {emails * _USD_PER_EMAIL:.2f} USD" if account else ""


def _explain_no_send(review: Review, edition: Edition) -> str:
    if edition.send is SendIntent.NO:
        return f"Merging this **sends nothing** for *{escape_text(edition.title)}*, because it does not ask to be sent."
    when = (
        _format_moment(edition.send_at, review.zone) if edition.send_at else f"{_format_minutes(review.hold)} after the merge"
    )
    return (
        f"Merging this **will send** *{escape_text(edition.subject)}* to the audience {escape_code(edition.audience)} {when},"
        f" unless edition {edition.number} was sent before. {escape_sentence(review.why)}"
    )


def _list_other_sends(review: Review) -> list[str]:
    own = {change.now.path for change in review.changes if change.now}
    steps = review.outlook.plan.of(*_BUSY) if review.outlook else []
    return [
        f"Beside this change, the next publish also does: {step.action} *{escape_text(step.edition.subject)}*"
        f" ({escape_sentence(step.why)})."
        for step in steps
        if step.edition and step.path not in own
    ][:_MOST_ISSUES]


def _describe_sequences(review: Review) -> str:
    """What merging means for those who are in a sequence; errors keep one as it is."""
    lines = [line for facts in (review.outlook.sequences if review.outlook else ()) for line in list_sentences(facts)]
    lines += [f"{one.path}: {one.message} Until then the sequence stays as it is." for one in review.sequence_errors]
    return "\n".join(f"{'  ' * line.startswith('  ')}- {escape_sentence(line.strip())}" for line in lines)


def _list_refusals(review: Review) -> list[str]:
    refusals = review.outlook.refusals if review.outlook else ()
    return [f"> **Publishing would refuse this:** {escape_sentence(refusal.sentence)}" for refusal in refusals]


def _embed_picture(review: Review) -> list[str]:
    alt = "The email on a phone, light and dark"
    return [f'<img src="{review.picture}" alt="{alt}" width="{2 * PHONE_WIDTH}">'] if review.picture else []


def _render_findings(remarks: Sequence[Remark]) -> str:
    if not remarks:
        return "The checks found nothing."
    worst = sorted(remarks, key=lambda one: ("error", "warning", "note").index(one.level))
    rows = [
        f"| {one.level} | {escape_code(f'{one.path}:{one.line}')} | {escape_sentence(one.message)} |"
        for one in worst[:_MOST_REMARKS]
    ]
    more = f"\n\n… and {len(remarks) - _MOST_REMARKS} more: run `postmerge check`." if len(remarks) > _MOST_REMARKS else ""
    return "\n".join(["| level | where | what |", "|---|---|---|", *rows]) + more


def _render_facts(change: Change, now: Edition, issues: Sequence[Edition]) -> str:
    """Size, links and what email programs do not support, beside the last issue."""
    last = email_facts.find_last_issue(now, issues)
    added, gone = email_facts.compare_links(now, change.before)
    links = [f"+ {escape_code(one)}" for one in added] + [f"− {escape_code(one)}" for one in gone]
    more = f", … {len(links) - _MOST_LINKS} more" if len(links) > _MOST_LINKS else ""
    unsupported, same = email_facts.list_unsupported(now, last)
    known = f"{same} as in the last issue" if last else ""
    told = "; ".join([*map(escape_sentence, unsupported), *([known] if known else [])])
    return "\n".join(
        [
            f"| {escape_code(change.shown)} | |",
            "|---|---|",
            f"| Digest | `{now.digest}` |",
            f"| Size | {email_facts.describe_size(now, last)} |",
            f"| Links | {', '.join(links[:_MOST_LINKS]) + more if links else 'unchanged'} |",
            f"| Not supported everywhere | {told or 'nothing'} (caniemail, {email_support.get_date()}) |",
        ]
    )


def _render_difference(change: Change, base: str) -> str:
    assert change.now
    size = len(change.now.html.encode())
    facts = f"{size / 1024:.0f} of {MAX_HTML_BYTES // 1024} KB"
    if change.before is None:
        return f"{escape_code(change.shown)} is new: {facts}, {len(change.now.text.split()):,} words."
    lines = list(
        difflib.unified_diff(_split_into_lines(change.before), _split_into_lines(change.now), "before", "now", n=1, lineterm="")
    )[2:]
    if not lines:
        return f"{escape_code(change.shown)}: the email's words are the same as at {escape_text(base)} ({facts})."
    cut = [*lines[:_MOST_LINES], *([f"… {len(lines) - _MOST_LINES} more lines"] if len(lines) > _MOST_LINES else [])]
    body = "\n".join(cut)
    fence = "`" * max(3, 1 + max((len(ticks) for ticks in re.findall("`+", body)), default=0))
    return (
        f"<details><summary>What changed in <code>{escape_text(change.shown)}</code> since {escape_text(base)}"
        f" ({facts})</summary>\n\n"
        f"{fence}diff\n{body}\n{fence}\n\n</details>"
    )


def _split_into_lines(edition: Edition) -> list[str]:
    text = re.sub(r"\nSHA-256: [0-9a-f]+\n\S+: \S+\n*$", "\n", edition.text)  # the digest says nothing new
    return [f"Subject: {edition.subject}", f"Preheader: {edition.preheader}", *text.splitlines()]


def _find_step(review: Review, path: str) -> Step | None:
    steps = review.outlook.plan.steps if review.outlook else ()
    return next((step for step in steps if step.path == path), None)


def _quote_reason(why: str) -> str:
    if why.startswith(("edition", "its", "the ")):
        return why
    return f"it was {why.removeprefix('was ')}" if why.startswith(("adopted", "public", "renamed", "was ")) else f"it {why}"


def _format_moment(when: datetime, zone: str) -> str:
    local = when.astimezone(ZoneInfo(zone))
    return f"on {local:%a} {local.day} {local:%b %H:%M %Z}"


def _format_minutes(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 1:
        return "at once"
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def escape_text(text: str) -> str:
    """Text that Markdown shall show as it is: no links, images, HTML, names of people, numbers of issues, or new lines."""
    return _SIGNS.sub(lambda match: _ENTITIES.get(match[0]) or "\\" + match[0], " ".join(text.split()))


def escape_code(text: str) -> str:
    """Text as code that it cannot end, in a table too."""
    return f"`{text}`" if _HARMLESS.fullmatch(text) else f"<code>{escape_text(text)}</code>"


def escape_sentence(text: str) -> str:
    """A sentence of ours that quotes a change: what stands between backticks stays code, the rest is text."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return escape_text(text)
    return "".join(escape_code(part) if at % 2 else _escape_words(part) for at, part in enumerate(parts))


def _escape_words(text: str) -> str:
    """Like ``escape_text``, with the blanks at both ends, and the signs of an ordinary sentence as they are."""
    return re.sub(
        r"\S+", lambda match: match[0] if _WORD.fullmatch(match[0]) else escape_text(match[0]), " ".join(text.split("\n"))
    )
