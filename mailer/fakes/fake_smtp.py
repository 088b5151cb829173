"""An SMTP server for the fake SES, for programs that send by SMTP: the same latency, the same faults, the same log.

It responds like SES's SMTP interface (454 for throttling, 554 for a refusal) but requires neither TLS nor a password.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

# Accepts an email: (recipients, message with CRLF) -> SMTP reply, or None: drop the connection without one.
AcceptEmail = Callable[[list[str], bytes], Awaitable[str | None]]

_END = b"\r\n.\r\n"
_MAX_BUFFER_BYTES = 64 * 1024 * 1024  # unprocessed, of one connection
_PATH = re.compile(rb"^(?:MAIL FROM|RCPT TO):[ ]?<([^>]*)>", re.IGNORECASE)


def smtp_reply(status: int, code: str, message: str) -> str:
    """Convert SES's HTTP response to that of its SMTP interface; ``message`` is the email's id for 200."""
    match (status, code):
        case (200, _):
            return f"250 Ok {message}"
        case (429, _):
            return f"454 Throttling failure: {message}"
        case (400, "SendingPausedException"):
            return "554 Sending paused for this account."
        case (400, _):
            return f"554 Message rejected: {message}"
    return "451 Temporary service failure, please try again later"


class SmtpConnection(asyncio.Protocol):
    """One SMTP connection; commands are answered in their order."""

    def __init__(self, take: AcceptEmail) -> None:
        self.take = take
        self.buffer = bytearray()
        self.recipients: list[str] = []
        self.sender: str | None = None
        self.reading_data = False
        self.transport: asyncio.Transport | None = None
        self.taking: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._say("220 fake-ses ESMTP")

    def connection_lost(self, error: Exception | None) -> None:
        if self.taking:
            self.taking.cancel()

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        if len(self.buffer) > _MAX_BUFFER_BYTES and self.transport:
            self.transport.abort()
            return
        self._go_on()

    def _go_on(self) -> None:
        while not self.taking:
            end = self.buffer.find(_END if self.reading_data else b"\r\n")
            if end < 0:
                return
            found = bytes(self.buffer[:end])
            if self.reading_data:
                del self.buffer[: end + len(_END)]
                message = found.replace(b"\r\n..", b"\r\n.")[2:] + b"\r\n"  # the first CRLF was put there by DATA
                self.taking = asyncio.ensure_future(self._accept_email(message))
            else:
                del self.buffer[: end + 2]
                self._command(found)

    def _command(self, line: bytes) -> None:
        verb = line[:4].upper().decode("latin-1")
        match verb:
            case "EHLO":
                self._say("250-fake-ses", "250-8BITMIME", "250-SMTPUTF8", "250 SIZE 41943040")
            case "HELO":
                self._say("250 fake-ses")
            case "MAIL" | "RCPT":
                self._envelope(verb, line)
            case "DATA" if self.recipients:
                self.reading_data = True
                self.buffer[:0] = b"\r\n"  # so that an email which begins with its final dot ends too
                self._say("354 End data with <CR><LF>.<CR><LF>")
            case "DATA":
                self._say("503 Error: need RCPT command")
            case "RSET":
                self._forget()
                self._say("250 Ok")
            case "NOOP":
                self._say("250 Ok")
            case "QUIT":
                self._say("221 Bye")
                if self.transport:
                    self.transport.close()
            case _:
                self._say("502 Error: command not implemented")

    def _envelope(self, verb: str, line: bytes) -> None:
        found = _PATH.match(line)
        if not found:
            self._say("501 Error: bad address syntax")
        elif verb == "MAIL":
            self._forget()
            self.sender = found[1].decode("utf-8", "replace")
            self._say("250 Ok")
        elif self.sender is None:
            self._say("503 Error: need MAIL command")
        else:
            self.recipients.append(found[1].decode("utf-8", "replace"))
            self._say("250 Ok")

    async def _accept_email(self, message: bytes) -> None:
        recipients = self.recipients
        self._forget()
        answer = await self.take(recipients, message)
        self.taking = None
        if answer is None:
            if self.transport:
                self.transport.abort()
            return
        self._say(answer)
        self._go_on()

    def _forget(self) -> None:
        self.sender, self.recipients, self.reading_data = None, [], False

    def _say(self, *lines: str) -> None:
        if self.transport and not self.transport.is_closing():
            self.transport.write("".join(f"{line}\r\n" for line in lines).encode())
