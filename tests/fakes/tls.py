"""TLS in front of a server on a socket: a certificate of its own for 127.0.0.1, and a proxy that speaks it."""

from __future__ import annotations

import asyncio
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


def certificate(folder: Path) -> Path:
    """A self-signed certificate with its key, as one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake SES")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path = folder / "fake.pem"
    path.write_bytes(secret + made.public_bytes(serialization.Encoding.PEM))
    return path


@contextmanager
def proxy(pem: Path, port: int) -> Iterator[str]:
    """An https URL whose bytes go to a port of 127.0.0.1 and back."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    ready, stopping = threading.Event(), threading.Event()
    found: list[int] = []

    async def one(incoming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_far, far_writer = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(_pump(incoming, far_writer), _pump(from_far, writer), return_exceptions=True)

    async def serve() -> None:
        server = await asyncio.start_server(one, "127.0.0.1", 0, ssl=context)
        found.append(server.sockets[0].getsockname()[1])
        ready.set()
        while not stopping.is_set():
            await asyncio.sleep(0.05)

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(10)
    try:
        yield f"https://127.0.0.1:{found[0]}"
    finally:
        stopping.set()
        thread.join(10)


async def _pump(incoming: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await incoming.read(65_536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
