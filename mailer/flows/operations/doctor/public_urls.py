"""The doctor on the web: whether pages and the unsubscribe link can be reached at their public addresses, over valid TLS."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlsplit

from mailer.core.errors import PostmergeError, Unavailable
from mailer.core.net import http_client
from mailer.core.net.ip_addresses import is_public, parse_ip
from mailer.core.settings import Settings
from mailer.flows.operations.doctor.checkups import Checkup, advise, fine, unknown, wrong
from mailer.flows.operations.doctor.dns_client import DnsClient
from mailer.flows.transactional.test_emails import UNSUBSCRIBE_TOKEN

MIN_CERTIFICATE_DAYS = 14
_TIMEOUT_SECONDS = 8.0
_READ_BYTES = 4096
_ONE_CLICK = b"List-Unsubscribe=One-Click"
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class PublicResponse:
    """A response; ``days`` until the certificate expires (None without TLS)."""

    status: int
    location: str
    body: bytes
    days: int | None


def examine_urls(dns: DnsClient, settings: Settings, allow_private: bool = False) -> Iterator[Checkup]:
    """Check the archive, the server and the unsubscribe link as somebody outside sees them, as far as that shows from here."""
    client = PublicClient(dns, allow_private)
    if settings.site_url:
        yield _check_url(client, "POSTMERGE_SITE_URL", settings.site_url, f"{settings.site_url}/")
    else:
        yield advise("POSTMERGE_SITE_URL", "Not set: SITEURL of pelicanconf.py is used.", "POSTMERGE_SITE_URL=https://…")
    server = _check_url(client, "POSTMERGE_API_URL", settings.api_url, f"{settings.api_url}/health", b'"status"')
    yield server
    if server.passed or "certificate expires" in server.found:
        yield from _check_unsubscribe(client, settings)


class PublicClient:
    """Requests to addresses that the name server gives, which must be public."""

    def __init__(self, dns: DnsClient, allow_private: bool) -> None:
        self._dns, self._allow_private = dns, allow_private

    def request(self, method: str, url: str, body: bytes = b"") -> PublicResponse:
        """Return the response to one request, without following redirects. Raises Unavailable with what is wrong."""
        host = urlsplit(url).hostname or ""
        headers = {"User-Agent": "postmerge doctor", "Content-Type": "application/x-www-form-urlencoded"}
        request = http_client.HttpRequest(
            method,
            url,
            headers,
            body or None,
            _TIMEOUT_SECONDS,
            max_bytes=_READ_BYTES,
            resolve=lambda name, _port: [self._find_address(name)],
        )
        try:
            response = http_client.send(request)
        except http_client.NoResponse as error:
            if error.certificate:
                raise Unavailable(f"{host} has no valid certificate: {error.certificate}.") from error
            port = urlsplit(url).port or (443 if url.startswith("https:") else 80)
            raise Unavailable(f"{host} does not answer on port {port} ({error}).") from error
        return PublicResponse(response.status, response.headers.get("location", ""), response.body, _days_left(response))

    def _find_address(self, host: str) -> str:
        literal = _is_literal(host)
        found = [host] if literal else [*self._dns.lookup(host, "A"), *self._dns.lookup(host, "AAAA")]
        addresses = [one for one in found if _is_literal(one)]
        if not addresses:
            raise Unavailable(f"{host} has no address in DNS.")
        private = [one for one in addresses if not is_public(parse_ip(one))]
        if private and not self._allow_private:
            raise Unavailable(f"{host} is {private[0]}, which cannot be reached from outside.")
        return addresses[0]


def _check_url(client: PublicClient, name: str, base: str, url: str, expected: bytes = b"") -> Checkup:
    parts = urlsplit(base)
    if (parts.hostname or "") in _LOOPBACK and not client._allow_private:
        return wrong(name, f"{base} can be reached on this machine only.", f"{name}=https://news.example.org")
    if parts.scheme != "https":
        found = f"{base} is not https: passwords and links could be read on the way, and RFC 8058 requires https."
        return wrong(name, found, f"{name}=https://{parts.netloc}{parts.path}")
    try:
        response = client.request("GET", url)
    except PostmergeError as error:
        return _explain_request(name, error, f"Check the DNS record of {parts.hostname}, the firewall and the proxy.")
    if response.status != 200 or expected not in response.body:
        said = f"{url} answers {response.status}{'' if expected in response.body else ' with something else than Postmerge'}."
        return wrong(name, said, "See that the proxy passes requests on to `postmerge serve` or the site folder.")
    if response.days is not None and response.days < MIN_CERTIFICATE_DAYS:
        how = "Renew it: certbot renew, or see in the proxy's log why it did not."
        return wrong(name, f"The certificate expires in {response.days} days.", how)
    return fine(name, f"{base}{'' if response.days is None else f', certificate valid for {response.days} days'}")


def _check_unsubscribe(client: PublicClient, settings: Settings) -> Iterator[Checkup]:
    """Open and post to the link of test emails, which changes nothing: providers post without cookies or redirects."""
    url = f"{settings.api_url}/leave/{UNSUBSCRIBE_TOKEN}"
    how = f"curl -i -X POST -d 'List-Unsubscribe=One-Click' {url}"
    for name, method, body in (("unsubscribe link", "GET", b""), ("one-click unsubscribe", "POST", _ONE_CLICK)):
        try:
            response = client.request(method, url, body)
        except PostmergeError as error:
            yield _explain_request(name, error, how)
            continue
        if 300 <= response.status < 400:
            yield wrong(name, f"A {method} is redirected to {response.location}, which RFC 8058 forbids.", how)
        elif response.status != 200:
            yield wrong(name, f"A {method} is answered with {response.status}.", how)
        else:
            yield fine(name, f"{method} answered, as seen from this machine")


def _explain_request(name: str, error: PostmergeError, how: str) -> Checkup:
    """A name server that fails proves nothing about the server."""
    return unknown(name, str(error), how) if "name server" in str(error) else wrong(name, str(error), how)


def _is_literal(host: str) -> bool:
    try:
        parse_ip(host)
    except ValueError:
        return False
    return True


def _days_left(response: http_client.Response) -> int | None:
    if response.certificate_expires is None:
        return None
    return (datetime.fromtimestamp(response.certificate_expires, UTC) - datetime.now(UTC)).days
