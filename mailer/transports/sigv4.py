"""Signed requests to AWS with little work: botocore's signer does the cryptography, the canonical request is written here.

For a POST of one fixed shape (no query, a plain path) that is a third of botocore's work; a test compares the signatures.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest


def sign(
    service: str,
    credentials: Any,
    region: str,
    host: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes,
    now: datetime | None = None,
) -> dict[str, str]:
    """Return all headers of a signed POST. ``credentials`` are botocore's, frozen; names of ``headers`` are in lower case."""
    timestamp = (now or datetime.now(UTC)).strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": host, "x-amz-date": timestamp}
    if credentials.token:
        signed["x-amz-security-token"] = credentials.token
    names = sorted(signed)
    listed = "".join(f"{name}:{signed[name]}\n" for name in names)
    joined = ";".join(names)
    canonical = f"POST\n{path}\n\n{listed}\n{joined}\n{hashlib.sha256(body).hexdigest()}"
    signer = SigV4Auth(credentials, service, region)
    request = AWSRequest()
    request.context["timestamp"] = timestamp
    signature = signer.signature(signer.string_to_sign(request, canonical), request)
    signed["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, SignedHeaders={joined}, Signature={signature}"
    )
    return signed
