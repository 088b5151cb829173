"""Which region AWS's clients use: the one that the environment names, under either name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from mailer.core.errors import Refused
from mailer.transports.aws_client import AwsEndpoint
from mailer.transports.base import Envelope, Outcome
from mailer.transports.ses import Ses
from mailer.transports.ses_fast import FastSes
from mailer.transports.ses_queue import FastSqs, Sqs
from tests.fakes.ses import FakeSes

ENVELOPE = Envelope("ada@example.org", b"Subject: x\r\n\r\nbody\r\n", {})
ENVIRONMENTS = {
    "AWS_REGION only": ({"AWS_REGION": "eu-north-1"}, "eu-north-1"),
    "AWS_DEFAULT_REGION only": ({"AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
    "both": ({"AWS_REGION": "eu-north-1", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-north-1"),
    "an empty AWS_REGION": ({"AWS_REGION": "", "AWS_DEFAULT_REGION": "eu-west-3"}, "eu-west-3"),
}


@pytest.fixture
def ses(fake_ses: FakeSes, monkeypatch: pytest.MonkeyPatch) -> FakeSes:
    """The fake's environment without any region: not in variables, not in files."""
    fake_ses.reset()
    for name, value in {**fake_ses.environ, "AWS_CONFIG_FILE": "/nonexistent", "AWS_PROFILE": ""}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name)
    return fake_ses


@pytest.mark.parametrize(("environment", "region"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize("made", [Ses, FastSes])
def test_ses_is_called_in_the_region_that_the_environment_names(
    ses: FakeSes, monkeypatch: pytest.MonkeyPatch, made: Callable[[], Ses | FastSes], environment: dict[str, str], region: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    one = made()
    assert one.send(ENVELOPE).outcome is Outcome.ACCEPTED
    assert one.account() is not None
    client = one.client() if isinstance(one, Ses) else one._reference.client()
    assert client.meta.region_name == region
    assert f"/{region}/ses/" in _signed(one)


@pytest.mark.parametrize(("environment", "region"), ENVIRONMENTS.values(), ids=ENVIRONMENTS)
@pytest.mark.parametrize("made", [Sqs, FastSqs])
def test_the_queue_is_read_in_the_region_that_the_environment_names(
    ses: FakeSes, monkeypatch: pytest.MonkeyPatch, made: type[Sqs], environment: dict[str, str], region: str
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    queue = made(f"{ses.url}/queue")
    assert queue.receive(0) == []
    assert queue.client().meta.region_name == region


@pytest.mark.parametrize("made", [Ses, FastSes])
def test_without_a_region_the_sentence_names_the_variable_to_set(ses: FakeSes, made: Callable[[], Ses | FastSes]) -> None:
    answer = made().send(ENVELOPE)
    assert (answer.outcome, answer.detail[:22]) == (Outcome.HALT, "AWS_REGION is not set:")
    with pytest.raises(Refused, match="AWS_REGION is not set"):
        made().account()


@pytest.mark.parametrize("made", [Sqs, FastSqs])
def test_without_a_region_the_queue_names_the_variable_to_set(ses: FakeSes, made: type[Sqs]) -> None:
    with pytest.raises(Refused, match="AWS_REGION is not set"):
        made(f"{ses.url}/queue").receive(0)


def _signed(one: Ses | FastSes) -> str:
    """The head of a request as it is signed for this transport."""
    reference = one if isinstance(one, Ses) else one._reference
    return AwsEndpoint("ses", reference.client, 1, 1).request("/", {}, b"").decode()
