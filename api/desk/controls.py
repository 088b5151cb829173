"""The desk's buttons: each does what a command does, with its words and guards, and is written down."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import APIRouter, Response
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException

from api.common.dependencies import AppContext, Context
from api.desk import pages
from api.desk.authentication import OwnForm, Session
from api.web.forms import get_text
from mailer.core.errors import BadInput, Refused
from mailer.flows.operations import api_keys, webhooks
from mailer.flows.operations.desk import desk_access
from mailer.flows.operations.desk.desk_access import DeskSession
from mailer.flows.publishing import publish
from mailer.flows.sending import send_control, sequence_control, uncertain_deliveries
from mailer.flows.subscribers import signup_limits, suppression_lifting
from mailer.flows.subscribers.suppression_lifting import UnsuppressRequest

router = APIRouter(include_in_schema=False)
Render = Callable[[int, str, str], Response]  # status, note, error


def _act(context: AppContext, session: DeskSession, act: str, target: str, do: Callable[[], str], render: Render) -> Response:
    """Do it and show the page again: with the sentence, or with why it was refused."""
    try:
        said = desk_access.perform(context.database, session, act, target, do)
    except (BadInput, Refused) as error:
        status = 403 if not session.may_change else 409 if isinstance(error, Refused) else 422
        return render(status, "", str(error))
    return render(200, said, "")


@router.post("/desk/sends/{send_id}/{action}")
def control_send(context: Context, session: Session, form: OwnForm, send_id: int, action: str) -> Response:
    """Pause, resume, stop or cancel a send, or resolve its uncertain deliveries."""
    if action not in _SEND_ACTIONS:
        raise HTTPException(404)
    target = f"send:{send_id}"
    return _act(
        context, session, action, target, lambda: _SEND_ACTIONS[action](context, target, form),
        lambda status, note, error: pages.render_send(context, session, send_id, status, note, error),
    )  # fmt: skip


def _pause(context: AppContext, target: str, form: FormData) -> str:
    done = send_control.pause_send(context.database, target)
    return f"Send {done.id} of {done.issue_key} is paused."


def _resume(context: AppContext, target: str, form: FormData) -> str:
    sure, gate = get_text(form, "sure") == "yes", get_text(form, "no_gate") != "yes"
    done = send_control.resume_send(context.database, target, sure=sure, gate=gate)
    return f"Send {done.id} of {done.issue_key} is {done.state}."


def _stop(context: AppContext, target: str, form: FormData) -> str:
    reason = " ".join(get_text(form, "reason").split())[:200] or "stopped by the operator"
    done = send_control.stop_send(context.database, target, reason)
    return f"Send {done.id} of {done.issue_key} is stopped ({done.reason})."


def _cancel(context: AppContext, target: str, form: FormData) -> str:
    done = publish.cancel_send(context.database, target)
    later = f"To send the issue later, set `Edition: {done.edition_number + 1}` in it."
    return f"Send {done.id} of {done.issue_key} is cancelled. {later}"


def _resolve(context: AppContext, target: str, form: FormData) -> str:
    word = get_text(form, "resolve")
    if word not in ("sent", "not-sent") or (word == "not-sent" and get_text(form, "sure") != "yes"):
        raise BadInput("Choose whether they were sent; sending again needs the check mark, because some may arrive twice.")
    done = uncertain_deliveries.resolve_uncertain(context.database, target, None, sent=word == "sent")
    return f"Resolved: {done.moved:,}. Still uncertain, because an event shows that SES accepted them: {done.kept:,}."


_SEND_ACTIONS: dict[str, Callable[[AppContext, str, FormData], str]] = {
    "pause": _pause,
    "resume": _resume,
    "stop": _stop,
    "cancel": _cancel,
    "uncertain": _resolve,
}


@router.post("/desk/sequences/{name}/{action}")
def control_sequence(context: Context, session: Session, form: OwnForm, name: str, action: str) -> Response:
    """Stop or resume a sequence."""
    if action not in ("stop", "resume"):
        raise HTTPException(404)

    def control() -> str:
        do = sequence_control.stop_sequence if action == "stop" else sequence_control.resume_sequence
        do(context.database, name)
        return f"Sequence {name} {'is stopped' if action == 'stop' else 'runs'}."

    return _act(
        context, session, f"{action} sequence", name, control,
        lambda status, note, error: pages.render_sequences(context, session, status, note, error),
    )  # fmt: skip


@router.post("/desk/suppressions")
def lift_suppression(context: Context, session: Session, form: OwnForm) -> Response:
    """Lift the suppression of an address for a reason."""
    email, why = get_text(form, "email"), get_text(form, "why")

    def lift() -> str:
        request = UnsuppressRequest(email, why, "desk", complaint=False)
        done = suppression_lifting.unsuppress(context.database, context.settings, request)
        lifted = f"{email} may be emailed again." if done.lifted else f"{email} was not suppressed here."
        return f"{lifted} It may still not be emailed for another reason." if done.blocked else lifted

    return _act(
        context, session, "lift suppression", email, lift,
        lambda status, note, error: pages.render_suppressions(context, session, "", 1, status, note, error),
    )  # fmt: skip


@router.post("/desk/held/{action}")
def review_held(context: Context, session: Session, form: OwnForm, action: str) -> Response:
    """Release or drop held sign-ups."""
    if action not in ("release", "drop"):
        raise HTTPException(404)
    ids = [int(one) for one in form.getlist("id") if isinstance(one, str) and one.isdecimal() and len(one) < 19]

    def review() -> str:
        if not ids:
            raise BadInput("Choose at least one sign-up.")
        do = signup_limits.release_held if action == "release" else signup_limits.drop_held
        number = do(context.database, ids)
        return f"{'Released' if action == 'release' else 'Dropped'}: {number:,}."

    response = _act(
        context, session, f"{action} held sign-ups", ", ".join(map(str, ids)), review,
        lambda status, note, error: pages.render_held(context, session, status, note, error),
    )  # fmt: skip
    context.wake_transactional()
    return response


@router.post("/desk/webhooks/{webhook_id}/replay")
def replay_webhook(context: Context, session: Session, form: OwnForm, webhook_id: int) -> Response:
    """Post a webhook's failed messages again."""

    def replay() -> str:
        found = webhooks.find_webhook(context.database, str(webhook_id))
        return f"Queued again: {webhooks.replay_messages(context.database, found['id']):,}."

    return _act(
        context, session, "replay webhook", str(webhook_id), replay,
        lambda status, note, error: pages.render_webhooks(context, session, status, note, error),
    )  # fmt: skip


@router.post("/desk/keys/revoke")
def revoke_key(context: Context, session: Session, form: OwnForm) -> Response:
    """Revoke a key of the API, except the last of an admin."""
    name = get_text(form, "name")

    def revoke() -> str:
        api_keys.revoke_key(context.database, name)
        return f"Key {name} revoked."

    return _act(
        context, session, "revoke key", name, revoke,
        lambda status, note, error: pages.render_keys(context, session, status, note, error),
    )  # fmt: skip
