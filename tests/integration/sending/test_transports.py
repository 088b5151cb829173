"""Transports by entry point: ours and a stranger's pass the conformance test, and a bad one is one sentence."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mailer import transports
from mailer.core import setting_values
from mailer.core.db import Database
from mailer.core.errors import BadInput
from mailer.core.settings import Settings, load
from mailer.fakes.fake_ses_process import FakeSes
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.transports.base import AccountLimits, Answer, Envelope, Outcome, Transport
from mailer.transports.conformance import RECIPIENT, TransportConformance
from mailer.transports.outbox import Outbox
from mailer.transports.ses import Ses
from mailer.transports.ses_fast import FastSes
from tests.factories import add_subscribers, edition, old, settings


class Carrier:
    """A third party's transport, which keeps what it was given."""

    name = "carrier"

    def __init__(self, settings: Settings) -> None:
        self.sent: list[Envelope] = []

    def send(self, envelope: Envelope) -> Answer:
        self.sent.append(envelope)
        return Answer(Outcome.ACCEPTED, message_id=f"{id(envelope)}-{len(self.sent)}")

    def account(self) -> AccountLimits | None:
        return AccountLimits(rate=1000, quota=-1, sent=0)


class Unreachable(Carrier):
    def send(self, envelope: Envelope) -> Answer:
        return Answer(Outcome.RETRY, detail="no connection")


class TestOutbox(TransportConformance):
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make_transport(self) -> Transport:
        return Outbox(self.path / "outbox")

    def make_unreachable(self) -> Transport:
        (self.path / "file").write_text("not a folder")
        return Outbox(self.path / "file" / "outbox")


class TestFastSes(TransportConformance):
    made: type[Ses] | type[FastSes] = FastSes

    @pytest.fixture(autouse=True)
    def ses(self, fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> None:
        fake_ses.reset()
        self.patch = monkeypatch
        for name, value in fake_ses.environ.items():
            monkeypatch.setenv(name, value)

    def make_transport(self) -> Transport:
        return self.made("", _CONNECTIONS)

    def make_unreachable(self) -> Transport:
        self.patch.setenv("AWS_ENDPOINT_URL_SESV2", "http://127.0.0.1:1")
        return self.made("", _CONNECTIONS)


_CONNECTIONS = 8


class TestSes(TestFastSes):
    made = Ses


class TestCarrier(TransportConformance):
    def make_transport(self) -> Transport:
        return Carrier(Settings())

    def make_unreachable(self) -> Transport:
        return Unreachable(Settings())


class _Liar(Carrier):
    def send(self, envelope: Envelope) -> Answer:
        return self.answer  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (None, "must return an Answer, not NoneType"),
        (Answer(Outcome.ACCEPTED), "must have a `message_id`"),
        (Answer(Outcome.REFUSED, detail=f"{RECIPIENT} is unknown"), "must not contain an address"),
        (Answer(Outcome.REFUSED, detail="x" * 501), "at most 500 characters"),
        (Answer(Outcome.THROTTLED, detail="slow down"), "was not accepted: throttled slow down"),
    ],
)
def test_the_conformance_test_finds_what_is_wrong(answer: Answer | None, failure: str) -> None:
    class Broken(TransportConformance):
        def make_transport(self) -> Transport:
            made = _Liar(Settings())
            made.answer = answer  # type: ignore[attr-defined]
            return made

    with pytest.raises(AssertionError, match=failure):
        Broken().test_an_accepted_email_has_a_message_id()


def test_an_unreachable_service_must_not_be_uncertain() -> None:
    class Broken(TransportConformance):
        def make_unreachable(self) -> Transport:
            made = _Liar(Settings())
            made.answer = Answer(Outcome.UNCERTAIN, detail="timeout")  # type: ignore[attr-defined]
            return made

    with pytest.raises(AssertionError, match="RETRY was expected, not uncertain"):
        Broken().test_an_unreachable_service_is_an_answer_and_no_error()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Installs a package with an entry point of this value."""

    def install(value: str) -> None:
        found = [EntryPoint("carrier", value, setting_values.TRANSPORT_GROUP)]
        for module in (transports, setting_values):
            monkeypatch.setattr(module, "entry_points", lambda group: found)

    return install


def test_a_send_goes_through_the_transport_of_another_package(
    database: Database, tmp_path: Path, installed: Callable[[str], None]
) -> None:
    installed(f"{__name__}:Carrier")
    assert load({"POSTMERGE_TRANSPORT": "carrier"}).transport == "carrier"
    conf = settings(tmp_path, database.url, transport="carrier")
    made = transports.make_transport(conf)
    assert isinstance(made, Carrier)
    add_subscribers(database, 3)
    adopt_issues(database, conf, [old()])
    [send_id] = publish(database, conf, [old(), edition()], [], made, Request(gate=False)).send_ids
    advance_sends(database, conf)
    deliver_send(database, conf, made, send_id)
    assert sorted(one.to for one in made.sent) == [f"subscriber-{n}@example.org" for n in (1, 2, 3)]


def test_a_name_that_nobody_brings_is_refused_and_the_known_ones_are_named(installed: Callable[[str], None]) -> None:
    installed(f"{__name__}:Carrier")
    with pytest.raises(BadInput, match="POSTMERGE_TRANSPORT is 'pigeon': set it to one of outbox, ses, carrier"):
        load({"POSTMERGE_TRANSPORT": "pigeon"})


@pytest.mark.parametrize(
    ("value", "said"),
    [("no_such_package:make", "cannot be used .ModuleNotFoundError"), ("builtins:repr", "lacks name, send or account")],
)
def test_a_transport_that_cannot_be_loaded_is_one_sentence(installed: Callable[[str], None], value: str, said: str) -> None:
    installed(value)
    with pytest.raises(BadInput, match=said):
        transports.make_transport(Settings(transport="carrier"))
