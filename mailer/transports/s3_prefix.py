"""A prefix in an S3 bucket: where its objects are, and boto3's client for them."""

from __future__ import annotations

from functools import cached_property
from typing import Any
from urllib.parse import urlsplit


class S3Prefix:
    """``s3://BUCKET/PREFIX``. Timeouts are in seconds. The client is made at its first use, which raises botocore's errors."""

    def __init__(self, url: str, connect_timeout: float, read_timeout: float) -> None:
        parts = urlsplit(url)
        self.name = url.rstrip("/")
        self.bucket, self._prefix = parts.netloc, parts.path.strip("/")
        self._connect_timeout, self._read_timeout = connect_timeout, read_timeout

    @cached_property
    def client(self) -> Any:
        """Boto3's client. botocore is imported here, because most newsletters use no S3."""
        from botocore.config import Config

        from mailer.transports.aws_client import make_client

        return make_client("s3", Config(connect_timeout=self._connect_timeout, read_timeout=self._read_timeout))

    def path(self, name: str) -> str:
        """Return an object's key in the bucket."""
        return f"{self._prefix}/{name}" if self._prefix else name

    def list_names(self, start: str = "") -> list[str]:
        """Return the names of objects that begin with ``start``, sorted."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=self.path(start))
        length = len(self.path(""))
        return sorted(one["Key"][length:] for page in pages for one in page.get("Contents", ()))
