"""Amazon SES v2 with less work for each mail: botocore's own signer over kept-alive HTTP connections.

Credentials, region, endpoint and trusted certificates are those that boto3 finds; outcomes are sorted by ``ses.judge_answer``.
Measured with ``bench/send.py``; ``POSTMERGE_SES_CLIENT=boto3`` goes back to the reference.
"""

from __future__ import annotations

import base64
import queue
import ssl
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import orjson
from botocore.exceptions import NoCredentialsError
from botocore.httpsession import get_cert_path

from mailer.message import mailable
from mailer.transports.base import Account, Answer, Envelope, Outcome
from mailer.transports.connection import Connection, Response
from mailer.transports.ses import Ses, judge, judge_answer, tag
from mailer.transports.signing import sign

_PATH = "/v2/email/outbound-emails"
_HEADERS = {"content-type": "application/json"}


class LeanSes:
    """The same protocol as ``Ses``. Safe to call from many threads at once; timeouts are in seconds."""

    name = "ses"

    def __init__(
        self, configuration_set: str = "", connections: int = 32, connect_timeout: float = 5, read_timeout: float = 20
    ) -> None:
        self._reference = Ses(configuration_set, connections, connect_timeout, read_timeout)
        self._configuration_set = configuration_set
        self._connect_timeout = connect_timeout
        self._read_timeout = read_timeout
        self._idle: queue.LifoQueue[Connection] = queue.LifoQueue()

    def send(self, envelope: Envelope) -> Answer:
        """One POST at most; the answer says what is proven."""
        try:
            request = self._request(self._body(envelope))
        except Exception as error:
            return judge(error)
        try:
            connection = self._take()
        except OSError as error:
            return Answer(Outcome.RETRY, detail=f"SES could not be reached ({type(error).__name__}).")
        try:
            response = connection.ask(request)
        except Exception as error:
            connection.close()
            return Answer(Outcome.UNCERTAIN, detail=f"The answer of SES was lost ({type(error).__name__}).")
        self._give_back(connection, response.keep_alive)
        return _answer(response)

    def account(self) -> Account | None:
        """The limits that ``GetAccount`` tells, through boto3."""
        return self._reference.account()

    def _body(self, envelope: Envelope) -> bytes:
        request: dict[str, Any] = {
            "Destination": {"ToAddresses": [mailable(envelope.to)]},
            "EmailTags": [{"Name": tag(name), "Value": tag(value)} for name, value in envelope.tags.items()],
        }
        if self._configuration_set:
            request["ConfigurationSetName"] = self._configuration_set
        rest = orjson.dumps(request)[1:]
        return b"".join((b'{"Content": {"Raw": {"Data": "', base64.b64encode(envelope.raw), b'"}}, ', rest))

    def _request(self, body: bytes) -> bytes:
        """The whole HTTP request, signed."""
        client = self._reference.client()
        credentials = client._request_signer._credentials
        if credentials is None:
            raise NoCredentialsError
        frozen = credentials.get_frozen_credentials()
        path = f"{self._prefix}{_PATH}"
        headers = sign("ses", frozen, client.meta.region_name, self._host, path, _HEADERS, body)
        lines = [
            f"POST {path} HTTP/1.1",
            f"Content-Length: {len(body)}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + body

    @cached_property
    def _endpoint(self) -> str:
        return str(self._reference.client().meta.endpoint_url).rstrip("/")

    @cached_property
    def _host(self) -> str:
        return urlsplit(self._endpoint).netloc

    @cached_property
    def _prefix(self) -> str:
        return urlsplit(self._endpoint).path

    @cached_property
    def _tls(self) -> ssl.SSLContext | None:
        if urlsplit(self._endpoint).scheme != "https":
            return None
        verify: Any = self._reference.client()._endpoint.http_session._verify
        return ssl.create_default_context(cafile=get_cert_path(verify or True))

    def _take(self) -> Connection:
        """An idle connection that still lives, or a new one. Raises OSError when none can be made: nothing was sent."""
        while True:
            try:
                kept = self._idle.get_nowait()
            except queue.Empty:
                break
            if kept.is_fresh():
                return kept
            kept.close()
        parts = urlsplit(self._endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return Connection(parts.hostname or "", port, self._tls, self._connect_timeout, self._read_timeout)

    def _give_back(self, connection: Connection, keep: bool) -> None:
        if keep:
            self._idle.put(connection)
        else:
            connection.close()


def _answer(response: Response) -> Answer:
    try:
        facts: Any = orjson.loads(response.body)
    except ValueError:
        facts = {}
    if not isinstance(facts, dict):
        facts = {}
    if 200 <= response.status < 300:
        return Answer(Outcome.ACCEPTED, message_id=str(facts.get("MessageId", "")))
    code = (response.headers.get("x-amzn-errortype") or str(facts.get("__type", ""))).split(":")[0].rpartition("#")[2]
    return judge_answer(code, response.status, str(facts.get("message") or facts.get("Message") or ""))
