"""A Stripe to try out on your own machine: the fake with a checkout page, its own time, and delivered events.

``serve`` runs until it is stopped. Everything is in memory and lost on restart.
"""

from __future__ import annotations

import html
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from mailer.fakes import fake_stripe_routes
from mailer.fakes.fake_stripe import FakeStripe, StripeHandler
from mailer.fakes.fake_stripe_books import FakeStripeError, StripeObject

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Play money</title>
<style>body {{ font: 17px/1.6 sans-serif; max-width: 26rem; margin: 12vh auto; padding: 0 1rem; }}
input, button {{ font: inherit; padding: .6rem; width: 100%; box-sizing: border-box; margin: .3rem 0 1rem; }}
button {{ background: #1d4ea8; color: #fff; border: 0; border-radius: 4px; }}</style></head>
<body><h1>Play money</h1><p>This page takes the place of Stripe's. {what}</p>{form}</body></html>"""
_FORM = """<form method="post"><label for="email">Your email address</label>
<input id="email" name="email" type="email" required value="{email}">
<button type="submit">Pay with play money</button></form>"""


class PlayStripe(FakeStripe):
    """The fake with pages; its events are posted to ``webhook``."""

    def __init__(self, port: int, webhook: str) -> None:
        super().__init__(int(time.time()))
        self.port, self.webhook = port, webhook
        self.books.pages = f"http://127.0.0.1:{port}/checkout"

    def serve(self, stopping: threading.Event, said: Callable[[str], None]) -> None:
        """Serve, advance the time and post events until ``stopping`` is set. Raises OSError if the port is taken."""
        handler = type("PlayHandler", (_Pages,), {"fake": self})
        server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        while not stopping.wait(0.3):
            with self.lock:
                self.books.advance(max(0, int(time.time()) - self.books.now))
            self._tell(said)
        server.shutdown()
        server.server_close()

    def _tell(self, said: Callable[[str], None]) -> None:
        """Post the pending events; failed ones are retried."""
        with self.lock:
            before = list(self.books.events)
        try:
            if posted := self.deliver(self._post):
                said(f"{posted} events told")
        except (OSError, urllib.error.URLError):
            with self.lock:
                self.books.events = before + self.books.events

    def _post(self, body: bytes, signature: str) -> None:
        head = {"Stripe-Signature": signature, "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(self.webhook, body, head, method="POST"), timeout=10):
            pass

    def page(self, session_id: str) -> str:
        """Return the checkout page."""
        session = self.books.get(session_id, "checkout.session")
        if session["status"] == "complete":
            return _PAGE.format(what="This was paid for already.", form="")
        customer: StripeObject = self.books.things.get(session.get("customer") or "", {})
        email = customer.get("email") or session.get("customer_email") or ""
        return _PAGE.format(what="You don't need a card.", form=_FORM.format(email=html.escape(email, quote=True)))

    def pay(self, session_id: str, email: str) -> str:
        """Complete a checkout; return the URL to continue to."""
        with self.lock:
            return str(fake_stripe_routes.complete(self.books, session_id, email)["success_url"])


class _Pages(StripeHandler):
    fake: PlayStripe

    def do_GET(self) -> None:
        if urlsplit(self.path).path.startswith("/checkout/"):
            return self._html(lambda: self.fake.page(self._session()))
        return self._serve()

    def do_POST(self) -> None:
        if not urlsplit(self.path).path.startswith("/checkout/"):
            return self._serve()
        length = int(self.headers.get("Content-Length") or 0)
        email = parse_qs(self.rfile.read(length).decode()).get("email", [""])[0]
        try:
            target = self.fake.pay(self._session(), email)
        except FakeStripeError as trouble:
            return self._answer(trouble.status, str(trouble))
        self.send_response(303)
        self.send_header("Location", target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _session(self) -> str:
        return urlsplit(self.path).path.rpartition("/")[2]

    def _html(self, made: Callable[[], str]) -> None:
        try:
            self._answer(200, made())
        except FakeStripeError as trouble:
            self._answer(trouble.status, html.escape(str(trouble)))

    def _answer(self, status: int, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
