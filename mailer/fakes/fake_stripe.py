"""A fake Stripe on a socket that keeps books, requires idempotency keys, and injects faults.

``with FakeStripe() as fake:`` serves ``fake.url`` in threads of this process; ``fake.books`` is the bank's view.
``lose_answers(n)`` executes the next n writing calls and then closes the connection without a response; ``break_calls(n)``
returns 500 without doing anything. Events wait in ``books.events`` until ``deliver`` posts them; ``EventFaults`` duplicates,
reorders, delays or loses them.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from mailer.fakes import fake_stripe_routes
from mailer.fakes.fake_stripe_books import Books, FakeStripeError, StripeObject

TEST_KEY = "sk_test_fake"
LIVE_KEY = "sk_live_fake"
SECRET = "whsec_fake_signing_secret"
START = 1_800_000_000


@dataclass(frozen=True)
class EventFaults:
    """The shares of affected events, from 0 to 1."""

    twice: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    shuffled: bool = False


class FakeStripe:
    """A server in threads of this process; use it as a context manager."""

    def __init__(self, now: int = START, livemode: bool = False) -> None:
        self.books = Books(now, livemode)
        self.key = LIVE_KEY if livemode else TEST_KEY
        self.calls: list[tuple[str, str]] = []
        self.unkeyed: list[str] = []  # writing calls without an idempotency key
        self.lock = threading.RLock()
        self._answers: dict[str, tuple[str, int, StripeObject]] = {}
        self._lose = self._break = 0

    def __enter__(self) -> FakeStripe:
        handler = type("OwnHandler", (StripeHandler,), {"fake": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()

    def lose_answers(self, number: int) -> None:
        """Execute so many calls without responding."""
        self._lose = number

    def break_calls(self, number: int) -> None:
        """Return 500 to so many calls without doing anything."""
        self._break = number

    def answer(self, method: str, path: str, params: StripeObject, once: str) -> tuple[int, StripeObject] | None:
        """Return a call's response; None if it is to be lost."""
        with self.lock:
            self.calls.append((method, path))
            if self._break:
                self._break -= 1
                return 500, {"error": {"type": "api_error", "message": "An error with us."}}
            if method == "POST" and not once:
                self.unkeyed.append(path)
            same = json.dumps([path, params], sort_keys=True)
            if once and once in self._answers:
                before, status, body = self._answers[once]
                if before != same:
                    message = "Keys for idempotent requests can only be used with the same parameters."
                    return 400, {"error": {"type": "idempotency_error", "message": message}}
                return status, body
            status, body = self._do(method, path, params)
            if once and status < 500:
                self._answers[once] = (same, status, json.loads(json.dumps(body)))
            if method != "GET" and self._lose:
                self._lose -= 1
                return None
            return status, body

    def _do(self, method: str, path: str, params: StripeObject) -> tuple[int, StripeObject]:
        try:
            return 200, fake_stripe_routes.route(self.books, method, path, params)
        except FakeStripeError as trouble:
            error = {"type": "invalid_request_error", "code": trouble.code, "message": str(trouble)}
            return trouble.status, {"error": error}

    def deliver(
        self, post: Callable[[bytes, str], object], chance: random.Random | None = None, habits: EventFaults | None = None
    ) -> int:
        """Post the pending events with ``post(body, signature)``; return how many were posted."""
        chance, habits = chance or random.Random(1), habits or EventFaults()
        with self.lock:
            waiting, self.books.events = self.books.events, []
        now: list[StripeObject] = []
        later: list[StripeObject] = []
        for event in waiting:
            if chance.random() < habits.lost:
                continue
            (later if chance.random() < habits.late else now).append(event)
            if chance.random() < habits.twice:
                now.append(event)
        if habits.shuffled:
            chance.shuffle(now)
        with self.lock:
            self.books.events = later + self.books.events
        for event in now:
            body = json.dumps(event).encode()
            post(body, sign(body))
        return len(now)


def sign(body: bytes, secret: str = SECRET, at: float | None = None) -> str:
    """Return a body's Stripe-Signature header."""
    stamp = int(time.time() if at is None else at)
    mac = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={stamp},v1={mac}"


def parse_form(pairs: list[tuple[str, str]]) -> StripeObject:
    """Parse ``a[b][0]=c`` to nested objects; lists are objects with numbers as keys until ``_build_lists`` converts them."""
    tree: StripeObject = {}
    for name, value in pairs:
        first, *rest = re.findall(r"[^\[\]]+", name) if "[" in name else [name]
        if name.endswith("[]"):
            rest.append(str(len(tree.get(first, {}))))
        at = tree
        for part, following in zip([first, *rest], [*rest, ""], strict=True):
            if following:
                at = at.setdefault(part, {})
            else:
                at[part] = value
    return {name: _build_lists(value) for name, value in tree.items()}


def _build_lists(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(name.isdecimal() for name in value):
        return [_build_lists(value[name]) for name in sorted(value, key=int)]
    return {name: _build_lists(inner) for name, inner in value.items()}


class StripeHandler(BaseHTTPRequestHandler):
    """Answers Stripe API calls on behalf of ``fake``."""

    fake: FakeStripe
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body are sent together: two small packets cost 40 ms
    disable_nagle_algorithm = True

    def _serve(self) -> None:
        split = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        text = self.rfile.read(length).decode() if length else split.query
        if self.headers.get("Authorization") != f"Bearer {self.fake.key}":
            return self._write(401, {"error": {"type": "invalid_request_error", "message": "Invalid API Key provided"}})
        params = parse_form(parse_qsl(text, keep_blank_values=True))
        answer = self.fake.answer(self.command, split.path, params, self.headers.get("Idempotency-Key") or "")
        if answer is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._write(*answer)

    do_GET = do_POST = do_DELETE = _serve

    def _write(self, status: int, body: StripeObject) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""
