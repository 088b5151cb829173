"""The conformance test of transports, for packages that bring one: subclass ``TransportConformance`` in a pytest module.

    from mailer.transports.conformance import TransportConformance

    class TestMine(TransportConformance):
        def make_transport(self):
            return Mine(url=SANDBOX)

        def make_unreachable(self):
            return Mine(url="http://127.0.0.1:1")

It sends ten small emails to ``RECIPIENT``, so point the transport at a sandbox or a stand-in. It needs only pytest.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from mailer.core.message import plain_message
from mailer.transports.base import AccountLimits, Answer, AsyncTransport, Envelope, Outcome, Transport

RECIPIENT = "conformance-test@example.org"
_THREADS = 8
_DETAIL_CHARS = 500  # that the ledger keeps


class TransportConformance:
    """Checks what the sending code relies on; each failure is a sentence."""

    sender = "Conformance test <conformance@example.org>"

    def make_transport(self) -> Transport:
        """Return a transport that works."""
        raise NotImplementedError("Return your transport from make_transport.")

    def make_unreachable(self) -> Transport:
        """Return one whose other side does not answer: nothing listens there."""
        raise NotImplementedError("Return your transport, pointed at a closed port, from make_unreachable.")

    def make_envelope(self, number: int = 0) -> Envelope:
        """Return a small email with the tags of an issue."""
        raw = plain_message(
            to=RECIPIENT,
            subject=f"Conformance test {number}",
            html='<html lang="en"><body><p>ä</p></body></html>',
            text="ä\n",
            sender=self.sender,
            lang="en",
            headers={},
        )
        return Envelope(RECIPIENT, raw, {"send": "1", "subscriber": str(number)})

    def test_it_has_a_name(self) -> None:
        """The name is in logs and reports."""
        assert self.make_transport().name, "`name` must be a word."

    def test_an_accepted_email_has_a_message_id(self) -> None:
        """Without an id, events cannot be matched to the email."""
        answer = self._send(self.make_transport(), self.make_envelope())
        assert answer.outcome is Outcome.ACCEPTED, f"The email was not accepted: {answer.outcome} {answer.detail}"
        assert answer.message_id, "An accepted email must have a `message_id`."

    def test_it_sends_side_by_side(self) -> None:
        """Workers call ``send`` of one transport from many threads."""
        transport = self.make_transport()
        with ThreadPoolExecutor(_THREADS) as pool:
            answers = list(pool.map(lambda n: self._send(transport, self.make_envelope(n)), range(1, _THREADS + 1)))
        ids = [answer.message_id for answer in answers if answer.outcome is Outcome.ACCEPTED]
        assert len(ids) == _THREADS, f"Only {len(ids)} of {_THREADS} were accepted."
        assert len(set(ids)) == _THREADS, "Each email must have a `message_id` of its own."

    def test_limits_are_limits_or_none(self) -> None:
        """The send rate and the preflight use them."""
        limits = self.make_transport().account()
        assert limits is None or isinstance(limits, AccountLimits), "`account()` must return AccountLimits or None."
        assert limits is None or limits.rate > 0, "`rate` must be above 0."

    def test_an_unreachable_service_is_an_answer_and_no_error(self) -> None:
        """If no connection was made, the email is safe to retry; what may have arrived is UNCERTAIN and never retried."""
        answer = self._send(self.make_unreachable(), self.make_envelope())
        assert answer.outcome in (Outcome.RETRY, Outcome.HALT), (
            f"Nothing was sent, so RETRY was expected, not {answer.outcome}."
        )
        assert answer.detail, "`detail` must say why."

    def test_the_asynchronous_call_answers_the_same(self) -> None:
        """``send_async`` is optional."""
        transport = self.make_transport()
        if isinstance(transport, AsyncTransport):
            answer = asyncio.run(transport.send_async(self.make_envelope()))
            assert answer.outcome is Outcome.ACCEPTED, f"The email was not accepted: {answer.outcome} {answer.detail}"

    def _send(self, transport: Transport, envelope: Envelope) -> Answer:
        answer = transport.send(envelope)
        assert isinstance(answer, Answer), f"`send` must return an Answer, not {type(answer).__name__}."
        assert RECIPIENT not in answer.detail, "`detail` must not contain an address."
        assert len(answer.detail) <= _DETAIL_CHARS, f"`detail` must have at most {_DETAIL_CHARS} characters."
        return answer
