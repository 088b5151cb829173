"""AWS clients: boto3's own, and signed POSTs over kept-alive connections with a fraction of boto3's work.

For the latter, credentials, region, endpoint and trusted certificates are those that boto3 finds for the client given.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from botocore.httpsession import get_cert_path

from mailer.core.settings import aws_region
from mailer.transports.http_connection import HttpPool, HttpResponse
from mailer.transports.sigv4 import sign


def make_client(service: str, config: Config) -> Any:
    """Create boto3's client for a service, in the region of ``AWS_REGION``, which botocore does not read.

    Raises botocore's errors for a set-up that is incomplete.
    """
    return boto3.session.Session(region_name=aws_region()).client(service, config=config)  # type: ignore[call-overload]


class AwsEndpoint:
    """One service. ``client`` is boto3's client; ``ask`` runs on one loop only. Timeouts are in seconds."""

    def __init__(self, service: str, client: Callable[[], Any], connect_timeout: float, read_timeout: float) -> None:
        self._service = service
        self._client = client
        self._timeouts = (connect_timeout, read_timeout)

    def request(self, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
        """Build a whole signed POST. Raises botocore's errors for an incomplete configuration."""
        client = self._client()
        credentials = client._request_signer._credentials
        if credentials is None:
            raise NoCredentialsError
        whole = f"{self._prefix}{path}"
        signed = sign(
            self._service, credentials.get_frozen_credentials(), client.meta.region_name, self._host, whole, headers, body
        )
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.items())
        return f"POST {whole} HTTP/1.1\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode("ascii") + body

    async def ask(self, request: bytes) -> HttpResponse:
        """Send it once. Raises Unreachable if nothing was sent; after any other error the outcome is unknown."""
        return await self._pool.ask(request)

    @cached_property
    def _pool(self) -> HttpPool:
        parts = urlsplit(self._endpoint)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        return HttpPool(parts.hostname or "", port, self._tls(), *self._timeouts)

    @cached_property
    def _endpoint(self) -> str:
        return str(self._client().meta.endpoint_url).rstrip("/")

    @cached_property
    def _host(self) -> str:
        return urlsplit(self._endpoint).netloc

    @cached_property
    def _prefix(self) -> str:
        return urlsplit(self._endpoint).path

    def _tls(self) -> ssl.SSLContext | None:
        if urlsplit(self._endpoint).scheme != "https":
            return None
        verify: Any = self._client()._endpoint.http_session._verify
        return ssl.create_default_context(cafile=get_cert_path(verify or True))


def error_code(response: HttpResponse, facts: Mapping[str, Any]) -> str:
    """Return AWS's error code, or '' if there is none."""
    said = response.headers.get("x-amzn-errortype") or str(facts.get("__type", ""))
    return said.split(":")[0].rpartition("#")[2]
