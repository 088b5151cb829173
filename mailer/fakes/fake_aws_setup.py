"""How the fake AWS account is set up: configuration sets, SNS topics, attributes of the queue, missing permissions.

``POST /_control`` with ``{"setup": {...}}``, all of it optional: ``configuration_sets`` by name, each with ``destinations``;
``topics`` by ARN, each with ``attributes`` and ``subscriptions``; the ``queue``'s attributes; ``account`` and ``identities``
override SES's answers; ``denied`` lists actions (``ses:GetAccount``); responses are dated ``behind_s`` seconds ago.
"""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

Answer = tuple[int, str, Any]
_SETS = "/v2/email/configuration-sets/"
_ACTIONS = {
    ("GET", "account"): "ses:GetAccount",
    ("GET", "identities"): "ses:GetEmailIdentity",
    ("GET", "configuration-sets"): "ses:GetConfigurationSet",
    ("GET", "suppression"): "ses:GetSuppressedDestination",
    ("POST", "outbound-emails"): "ses:SendEmail",
}


def deny(setup: dict[str, Any], action: str) -> Answer | None:
    """Return the refusal of an action that the credentials may not do, else None."""
    if action not in setup.get("denied", []):
        return None
    message = f"User is not authorized to perform: {action}"
    return 403, "AccessDeniedException", {"__type": "AccessDeniedException", "message": message, "Message": message}


def answer_setup(setup: dict[str, Any], method: str, path: str, body: bytes) -> Answer | None:
    """Return the response to a question about the set-up, or None if it is another request."""
    if (method, path) == ("POST", "/"):
        return _answer_sns(setup, {name: values[0] for name, values in parse_qs(body.decode()).items()})
    match = re.match(r"/v2/email/([a-z-]+)", path)
    if refused := deny(setup, _ACTIONS.get((method, match[1] if match else ""), "")):
        return refused
    if path.startswith(_SETS) and method == "GET":
        return _answer_configuration_set(setup, *path.removeprefix(_SETS).partition("/")[::2])
    return None


def _answer_configuration_set(setup: dict[str, Any], name: str, part: str) -> Answer:
    found = setup.get("configuration_sets", {}).get(name)
    if found is None:
        return 404, "NotFoundException", {"message": f"Configuration set <{name}> does not exist."}
    if part == "event-destinations":
        return 200, "", {"EventDestinations": found.get("destinations", [])}
    return 200, "", {"ConfigurationSetName": name, **{key: value for key, value in found.items() if key != "destinations"}}


def _answer_sns(setup: dict[str, Any], request: dict[str, str]) -> Answer:
    """Answer in SNS's query protocol, which is XML."""
    action, topic = request["Action"], setup.get("topics", {}).get(request.get("TopicArn", ""))
    if deny(setup, f"sns:{action}"):
        return _refuse(403, "AuthorizationError", f"not authorized to perform: SNS:{action}")
    if topic is None:
        return _refuse(404, "NotFound", "Topic does not exist")
    if action == "GetTopicAttributes":
        entries = "".join(
            _tag("entry", _tag("key", name) + _tag("value", value)) for name, value in topic["attributes"].items()
        )
        return 200, "", _respond(action, f"<Attributes>{entries}</Attributes>")
    items = "".join(
        f"<member>{''.join(_tag(name, value) for name, value in one.items())}</member>" for one in topic["subscriptions"]
    )
    return 200, "", _respond(action, f"<Subscriptions>{items}</Subscriptions>")


def _tag(name: str, inner: str) -> str:
    return f"<{name}>{inner if inner.startswith('<') else escape(inner)}</{name}>"


def _respond(action: str, inner: str) -> bytes:
    return f"<{action}Response><{action}Result>{inner}</{action}Result></{action}Response>".encode()


def _refuse(status: int, code: str, message: str) -> Answer:
    error = f"<Type>Sender</Type><Code>{code}</Code><Message>{message}</Message>"
    return status, code, f"<ErrorResponse><Error>{error}</Error></ErrorResponse>".encode()
