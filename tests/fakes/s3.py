"""A fake S3 on a socket: objects with conditional writes, ranges, uploads in parts, and listings in pages."""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections.abc import Iterator, Mapping
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

PAGE_SIZE = 3  # keys in a page of a listing; S3's own pages have 1000


class FakeS3(BaseHTTPRequestHandler):
    """One bucket. ``broken``: the status of every answer, if not 0."""

    objects: ClassVar[dict[str, bytes]]
    parts: ClassVar[dict[str, dict[int, bytes]]]
    broken: ClassVar[int]
    numbers: ClassVar[Iterator[int]]
    lock: ClassVar[threading.Lock]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        key, query = self.parse()
        if "list-type" in query:
            return self.respond(200, self.list_page(query))
        content = self.objects.get(key)
        if content is None:
            return self.respond(404, b"<Error><Code>NoSuchKey</Code></Error>")
        if given := self.headers.get("Range"):
            first, _, last = given.removeprefix("bytes=").partition("-")
            end = min(int(last or len(content) - 1), len(content) - 1)
            extent = f"bytes {first}-{end}/{len(content)}"
            return self.respond(206, content[int(first) : end + 1], {"ETag": make_tag(content), "Content-Range": extent})
        return self.respond(200, content, {"ETag": make_tag(content)})

    do_HEAD = do_GET

    def do_PUT(self) -> None:
        key, query = self.parse()
        body = self.read_body()
        if self.broken:
            return self.respond(self.broken, b"")
        with self.lock:
            if "uploadId" in query:
                self.parts[query["uploadId"]][int(query["partNumber"])] = body
                return self.respond(200, b"", {"ETag": make_tag(body)})
            now = self.objects.get(key)
            if self.headers.get("If-None-Match") and now is not None:
                return self.respond(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            if (wanted := self.headers.get("If-Match")) and (now is None or wanted != make_tag(now)):
                return self.respond(412, b"<Error><Code>PreconditionFailed</Code></Error>")
            self.objects[key] = body
        return self.respond(200, b"", {"ETag": make_tag(body)})

    def do_POST(self) -> None:
        """Begin or end an upload in parts."""
        key, query = self.parse()
        self.read_body()
        if self.broken:
            return self.respond(self.broken, b"")
        with self.lock:
            if "uploads" in query:
                upload = str(next(self.numbers))
                self.parts[upload] = {}
                answer = f"<InitiateMultipartUploadResult><UploadId>{upload}</UploadId></InitiateMultipartUploadResult>"
                return self.respond(200, answer.encode())
            self.objects[key] = b"".join(body for _, body in sorted(self.parts.pop(query["uploadId"]).items()))
        return self.respond(200, b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>")

    def do_DELETE(self) -> None:
        key, query = self.parse()
        if self.broken:
            return self.respond(self.broken, b"")
        with self.lock:
            if "uploadId" in query:
                self.parts.pop(query["uploadId"], None)
            else:
                self.objects.pop(key, None)
        return self.respond(204, b"")

    def list_page(self, query: Mapping[str, str]) -> bytes:
        start, after = query.get("prefix", ""), query.get("continuation-token", "")
        keys = sorted(one for one in self.objects if one.startswith(start) and one > after)
        shown = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys[:PAGE_SIZE])
        more = len(keys) > PAGE_SIZE
        token = f"<NextContinuationToken>{keys[PAGE_SIZE - 1]}</NextContinuationToken>" if more else ""
        return f"<ListBucketResult><IsTruncated>{str(more).lower()}</IsTruncated>{token}{shown}</ListBucketResult>".encode()

    def parse(self) -> tuple[str, dict[str, str]]:
        """Return the key without the bucket, and the query."""
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        return unquote(parts.path).removeprefix("/").partition("/")[2], query

    def read_body(self) -> bytes:
        if "aws-chunked" not in self.headers.get("Content-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # the checksum
        return body

    def respond(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        if self.broken:
            status, body, headers = self.broken, b"<Error><Code>AccessDenied</Code></Error>", {}
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def make_tag(content: bytes) -> str:
    return f'"{md5(content, usedforsecurity=False).hexdigest()}"'


@contextlib.contextmanager
def serve() -> Iterator[tuple[type[FakeS3], str]]:
    """A running fake, and its URL."""
    facts = {"objects": {}, "parts": {}, "broken": 0, "numbers": itertools.count(1), "lock": threading.Lock()}
    handler = type("Handler", (FakeS3,), facts)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield handler, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
