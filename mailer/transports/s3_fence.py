"""The fence's outside half in S3, for workers without a disk; and the choice of its place."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mailer.core.errors import Unavailable
from mailer.core.fence_store import Change, FenceStore, FolderStore, RedisStore
from mailer.transports.s3_prefix import S3Prefix

_MISSING = ("NoSuchKey", "404")
_TAKEN = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")  # another process was faster
_MAX_ATTEMPTS = 20


def open_fence_store(place: str) -> FenceStore:
    """Return the store at ``place``: a folder, ``redis://HOST``, or ``s3://BUCKET/PREFIX``."""
    if place.startswith(("redis://", "rediss://", "unix://")):
        return RedisStore(place)
    return S3Store(place) if place.startswith("s3://") else FolderStore(Path(place))


class S3Store:
    """Objects in a bucket, written only if nobody wrote them meanwhile (If-Match, If-None-Match)."""

    def __init__(self, url: str) -> None:
        self._objects = S3Prefix(url, connect_timeout=5, read_timeout=10)
        self.name = self._objects.name

    def read(self, key: str) -> bytes | None:
        """Return the object's content, or None."""
        return self._get(key)[0]

    def update(self, key: str, change: Change) -> None:
        """Replace the object; if another process was faster, read it and try again."""
        for _ in range(_MAX_ATTEMPTS):
            now, tag = self._get(key)
            if (content := change(now)) is None or self._put(key, content, tag):
                return
        raise Unavailable(f"{self.name}/{key} was changed by others {_MAX_ATTEMPTS} times in a row: try again.")

    def list_keys(self, prefix: str) -> list[str]:
        """Return the names of objects that begin so."""
        with self._explaining():
            return self._objects.list_names(prefix)

    def _get(self, key: str) -> tuple[bytes | None, str]:
        from botocore.exceptions import ClientError

        with self._explaining():
            try:
                found = self._objects.client.get_object(Bucket=self._objects.bucket, Key=self._objects.path(key))
                return found["Body"].read(), found["ETag"]
            except ClientError as error:
                if error.response["Error"]["Code"] in _MISSING:
                    return None, ""
                raise

    def _put(self, key: str, content: bytes, tag: str) -> bool:
        from botocore.exceptions import ClientError

        condition = {"IfMatch": tag} if tag else {"IfNoneMatch": "*"}
        with self._explaining():
            try:
                self._objects.client.put_object(
                    Bucket=self._objects.bucket, Key=self._objects.path(key), Body=content, **condition
                )
            except ClientError as error:
                if error.response["Error"]["Code"] in _TAKEN:
                    return False
                raise
        return True

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            reason = error.response["Error"]["Code"] if isinstance(error, ClientError) else type(error).__name__
            raise Unavailable(
                f"The fence's half in {self.name} cannot be reached ({reason}): check POSTMERGE_FENCE, and"
                " that the bucket permits s3:GetObject, s3:PutObject and s3:ListBucket."
            ) from error
