"""A fake Amazon SES v2 on a socket, in a process of its own, that misbehaves on demand: the HTTP server and the program.

``python -m mailer.fakes.fake_ses --log FILE`` prints its port as JSON. Its log has one line for each email that it *accepted*,
written before it responds; every send test relies on it.

``POST /_control`` changes its behaviour, including the faults: see ``fake_ses_account.FakeBehaviour``.

Other programs may send through it too: emails of ``Content.Simple``, or by SMTP (``--smtp``, see ``fake_smtp``).

Events about accepted emails are in a queue of SQS on the same port, or are posted as SNS does: see ``fake_events``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import ssl
import sys
import threading
import time
import uuid
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from mailer.fakes.fake_aws_setup import answer_setup, deny
from mailer.fakes.fake_ses_account import FakeAccount, ResetConnection, ServerError
from mailer.fakes.fake_smtp import SmtpConnection

_SUPPRESSED = "/v2/email/suppression/addresses/"
_IDENTITIES = "/v2/email/identities/"


class FakeSesConnection(asyncio.Protocol):
    """One HTTP/1.1 connection, kept alive; it responds in the order of the requests."""

    def __init__(self, account: FakeAccount) -> None:
        self.account = account
        self.buffer = bytearray()
        self.transport: asyncio.Transport | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.account.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        for task in self.tasks:
            task.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).decode("latin-1")
            size = int(_header(head, "Content-Length") or 0)
            if "100-continue" in head.lower() and len(self.buffer) == end + 4 and size and self.transport:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(self.buffer) < end + 4 + size:
                return
            body = bytes(self.buffer[end + 4 : end + 4 + size])
            del self.buffer[: end + 4 + size]
            task = asyncio.ensure_future(self.answer(head, body))
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def answer(self, head: str, body: bytes) -> None:
        method, path = head.split(" ", 2)[:2]
        try:
            status, code, payload = await self.route(method, path, head, body)
        except ResetConnection:
            if self.transport:
                self.transport.abort()
            return
        except ServerError:
            status, code, payload = 500, "InternalServiceErrorException", {"message": "An internal error occurred."}
        except (ValueError, KeyError) as error:
            status, code, payload = 400, "BadRequestException", {"message": repr(error)}
        if self.transport and not self.transport.is_closing():
            self.transport.write(_response(status, code, payload, self.account.behaviour.setup.get("behind_s")))

    async def route(self, method: str, path: str, head: str, body: bytes) -> tuple[int, str, Any]:
        """Route a request to the fake's controls, the queue, SNS, or SES."""
        account = self.account
        if path.startswith("/_"):
            return 200, "", await self.steer(method, path, body)
        if target := _header(head, "X-Amz-Target"):
            action = target.replace("AmazonSQS.", "sqs:")
            return deny(account.behaviour.setup, action) or await account.events.sqs(target, json.loads(body))
        if method == "GET" and (page := account.sns.page(path)):
            return 200, "", page
        if f"Credential={account.behaviour.credential}/" not in head:
            return 403, "UnrecognizedClientException", {"message": "The security token included in the request is invalid."}
        if (answer := answer_setup(account.behaviour.setup, method, unquote(path), body)) is not None:
            return answer
        match (method, path):
            case ("GET", "/v2/email/account"):
                return 200, "", account.facts()
            case ("POST", "/v2/email/outbound-emails"):
                account.inflight += 1
                account.most_inflight = max(account.most_inflight, account.inflight)
                try:
                    return await account.take(lambda: account.accept(body))
                finally:
                    account.inflight -= 1
        if method == "GET" and path.startswith(_IDENTITIES):
            return account.answer_identity(unquote(path.removeprefix(_IDENTITIES)))
        if path.startswith(_SUPPRESSED):
            return account.answer_suppression(method, unquote(path.removeprefix(_SUPPRESSED)))
        return 404, "NotFoundException", {"message": f"no such operation: {method} {path}"}

    async def steer(self, method: str, path: str, body: bytes) -> Any:
        """Execute a control request of tests and rehearsals; ValueError for an unknown one."""
        account = self.account
        match (method, path):
            case ("POST", "/_control"):
                account.control(json.loads(body))
            case ("POST", "/_reset"):
                account.reset()
                account.log.seek(0)
                account.log.truncate()
            case ("GET", "/_stats"):
                counters = {name: value for name, value in vars(account).items() if isinstance(value, int)}
                return {**counters, **account.events.stats(), "suppressed": len(account.behaviour.suppressed)}
            case ("POST", "/_fill"):
                request = json.loads(body)
                account.events.fill(str(request["send"]), int(request["emails"]))
            case ("POST", "/_release"):
                account.events.release()
            case ("POST", "/_sns"):
                return await account.sns.post(account.behaviour.sns, json.loads(body))
            case _:
                raise ValueError(f"{method} {path} is not known here")
        return {}


def _header(head: str, name: str) -> str:
    match = re.search(rf"^{name}:[ \t]*(.*?)\r?$", head, re.IGNORECASE | re.MULTILINE)
    return match[1].strip() if match else ""


_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    500: "Internal Server Error",
}


def _response(status: int, code: str, payload: Any, behind_s: float | None = None) -> bytes:
    """Return an HTTP response; with ``behind_s``, its date is so many seconds ago."""
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    error = f"x-amzn-ErrorType: {code}\r\n" if code else ""
    date = "" if behind_s is None else f"Date: {formatdate(time.time() - behind_s, usegmt=True)}\r\n"
    head = (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n{date}{error}"
        f"x-amzn-RequestId: {uuid.uuid4()}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _serve(host: str, port: int, log: Path, smtp: bool = False, certificate: Path | None = None) -> None:
    with log.open("a+") as file:
        account = FakeAccount(file)
        loop = asyncio.get_running_loop()
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH) if certificate else None
        if tls and certificate:
            tls.load_cert_chain(certificate)
        listening = await loop.create_server(lambda: FakeSesConnection(account), host, port, backlog=1024, ssl=tls)
        port = listening.sockets[0].getsockname()[1]
        ports = {"port": port}
        if smtp:
            smtp_server = await loop.create_server(lambda: SmtpConnection(account.accept_smtp), host, 0, backlog=1024)
            ports["smtp_port"] = smtp_server.sockets[0].getsockname()[1]
        account.sns.base = f"{'https' if tls else 'http'}://{host}:{port}"
        posting = asyncio.ensure_future(_post_events(account))
        print(json.dumps(ports), flush=True)
        await listening.serve_forever()
        posting.cancel()


async def _post_events(account: FakeAccount) -> None:
    """Post due events, eight at a time, if events go through SNS."""
    while True:
        await asyncio.sleep(0.02)
        where = account.behaviour.sns
        while where and (due := account.events.take(8)):
            await asyncio.gather(*(account.sns.publish(where, body) for body in due))


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Serve until killed, or until standard input ends."""
    parser = argparse.ArgumentParser(description="A fake Amazon SES v2 that misbehaves on demand.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--smtp", action="store_true", help="also serve SMTP")
    parser.add_argument("--certificate", type=Path, help="speak TLS with the key and certificate in this PEM file")
    parser.add_argument("--until-eof", action="store_true")
    options = parser.parse_args()
    if options.until_eof:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(options.host, options.port, options.log, options.smtp, options.certificate))


if __name__ == "__main__":
    main()
