"""Whether the sender and the address for replies are verified with the provider: asked before a send, never while it runs."""

from __future__ import annotations

from collections.abc import Iterator

from mailer.core.characters import parse_sender
from mailer.core.settings import Settings
from mailer.flows.publishing.preflight import Refusal
from mailer.flows.publishing.publish_plan import Action, Plan
from mailer.transports.base import Transport, VerifyingTransport

_SENDER, _REPLY_TO = "POSTMERGE_SENDER", "POSTMERGE_REPLY_TO"
_OVERRIDE = "or publish with `--allow sender`"


def check_senders(plan: Plan, settings: Settings, transport: Transport) -> list[Refusal]:
    """Collect a refusal for each address that the provider has not verified. Raises Refused or Unavailable as it does."""
    if not isinstance(transport, VerifyingTransport):
        return []
    wanted = {parse_sender(text).address: where for text, where in _list_senders(plan, settings) if text}
    return [one for address, where in wanted.items() if (one := _check(transport, address, where))]


def _list_senders(plan: Plan, settings: Settings) -> Iterator[tuple[str, str]]:
    """List what emails are from and where replies go, each with the setting or the field that says so."""
    for step in plan.of(Action.SEND, Action.UPDATE):
        if edition := step.edition:
            yield edition.sender or settings.sender, f"`From:` of {edition.path}" if edition.sender else _SENDER
            yield edition.reply_to or settings.reply_to, f"`Reply-To:` of {edition.path}" if edition.reply_to else _REPLY_TO


def _check(transport: VerifyingTransport, address: str, where: str) -> Refusal | None:
    verified = transport.is_verified(address)
    if verified is None and where not in (_SENDER, _REPLY_TO):  # SES itself refuses the newsletter's own, as it always did
        how = f"give them ses:GetEmailIdentity, {_OVERRIDE}"
        return Refusal(
            "sender", f"The AWS credentials may not ask whether SES has verified {address}, the address in {where}: {how}."
        )
    if verified is not False:
        return None
    how = f"verify {address} or the domain {address.rpartition('@')[2]} in the SES console (Identities), {_OVERRIDE}"
    return Refusal("sender", f"SES has not verified {address}, the address in {where}: {how}.")
