"""Pictures of imported posts that are on other hosts: fetch them into the newsletter, within limits.

Only what is a picture by its content is kept, under its digest. Private networks are never reached. What cannot be fetched
stays a link, with a line in the report.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urljoin

from mailer.archives.archive_files import MAX_IMPORTED_PICTURE_BYTES
from mailer.archives.import_layout import ArchiveImport
from mailer.archives.picture_links import change_pictures, find_host, list_elsewhere
from mailer.archives.posts import ImportedPost, ImportRemark
from mailer.core.characters import printable
from mailer.core.errors import PostmergeError
from mailer.core.net import http_client
from mailer.editions.images import UnreadablePicture, open_picture, svg_sanitizer
from mailer.editions.source import front_matter

MAX_FETCHED_PICTURES = 20_000
MAX_FETCHED_BYTES = 4_000_000_000
MAX_FETCH_SECONDS = 3_600.0  # of one import; the next one continues
FETCHED_FOLDER = "images/fetched"
_SECONDS, _TOTAL_SECONDS = 10.0, 60.0  # of each read, and of a whole picture
_MAX_FETCHES_AT_ONCE = 4
_MAX_SILENCES = 3  # of a host that does not respond, before the rest of its pictures is left out
_SUFFIXES = {"PNG": ".png", "JPEG": ".jpg", "MPO": ".jpg", "GIF": ".gif", "WEBP": ".webp", "AVIF": ".avif"}
_FORMATS = [name for name in _SUFFIXES if name != "MPO"]  # which a phone's JPEG turns out to be


@dataclass(frozen=True)
class WantedPicture:
    """A picture as the Markdown names it, its absolute URL ('' if unknown), and the first post that shows it."""

    address: str
    url: str
    where: str


@dataclass
class FetchedPictures:
    """``paths`` in the content folder by URL, the staged ``files`` by path, and why the others are missing, by URL."""

    paths: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


def list_wanted(plan: ArchiveImport, content: Path, old_url: str = "") -> list[WantedPicture]:
    """List the pictures on other hosts that planned files, and present ones that are not to be sent, show."""
    found: dict[str, WantedPicture] = {}
    for file in plan.files:
        for one in _list_of_post(file.post, old_url):
            found.setdefault(one.url or one.address, one)
    for present in plan.present:
        shown = list_elsewhere(_read_unsent(content / present.path))
        for one in _list_of_post(present.post, old_url):
            if one.address in shown:
                found.setdefault(one.url or one.address, one)
    return list(found.values())


def fetch_pictures(
    wanted: Sequence[WantedPicture],
    staging: Path,
    progress: Callable[[], object] = lambda: None,
) -> FetchedPictures:
    """Fetch pictures into a folder. Raises nothing: what is not fetched is among the failures."""
    fetching = _Fetching(staging, progress)
    with ThreadPoolExecutor(_MAX_FETCHES_AT_ONCE) as pool:
        list(pool.map(fetching.fetch, [one.url or one.address for one in wanted]))
    return fetching.found


def place_fetched(plan: ArchiveImport, fetched: FetchedPictures, old_url: str = "") -> None:
    """Put the new addresses into the texts of planned files."""
    plan.files = [replace(file, text=_place(file.text, file.post, fetched, old_url)) for file in plan.files]


def rewrite_present(
    plan: ArchiveImport, content: Path, fetched: FetchedPictures, old_url: str = ""
) -> Iterator[tuple[Path, str]]:
    """Yield the files that are there already and are not to be sent, with their new texts."""
    for present in plan.present:
        text = _read_unsent(content / present.path)
        placed = _place(text, present.post, fetched, old_url)
        if placed != text:
            yield content / present.path, placed


def describe_failures(wanted: Sequence[WantedPicture], fetched: FetchedPictures) -> list[ImportRemark]:
    """Return a line for each picture that stays a link."""
    return [
        ImportRemark(one.where, f"The picture {printable(one.address)[:200]} was not fetched ({why}): it stays a link.")
        for one in wanted
        if (why := fetched.failures.get(one.url or one.address))
    ]


class _Fetching:
    """Threads share the counts; a picture that is on its way when a limit is reached is still taken."""

    def __init__(self, staging: Path, progress: Callable[[], object]) -> None:
        self.found = FetchedPictures()
        self._staging, self._progress = staging, progress
        self._until = time.monotonic() + MAX_FETCH_SECONDS
        self._lock = threading.Lock()
        self._asked = self._bytes = 0
        self._silences: Counter[str] = Counter()

    def fetch(self, url: str) -> None:
        why = self._refuse(url) or self._try(url)
        with self._lock:
            if why:
                self.found.failures[url] = why
            self._progress()

    def _refuse(self, url: str) -> str:
        """Return why a picture is not even asked for, or ''."""
        if not url.startswith(("https://", "http://")):
            return "its address has no host: name the old site with --old-url"
        with self._lock:
            self._asked += 1
            if self._asked > MAX_FETCHED_PICTURES or self._bytes > MAX_FETCHED_BYTES:
                return "there are too many: import again for the rest"
            if self._silences[find_host(url)] >= _MAX_SILENCES:
                return "its host does not respond"
        return "time is up: import again for the rest" if time.monotonic() > self._until else ""

    def _try(self, url: str) -> str:
        request = http_client.HttpRequest(
            "GET", url, {"Accept": "image/*"}, seconds=_SECONDS, total_seconds=_TOTAL_SECONDS,
            max_bytes=MAX_IMPORTED_PICTURE_BYTES + 1, resolve=http_client.find_public_addresses, follow=lambda _: True,
        )  # fmt: skip
        try:
            response = http_client.send(request)
        except http_client.NoResponse as error:
            with self._lock:
                self._silences[find_host(url)] += 1
            return f"no response, {error}"
        except PostmergeError as error:
            return str(error)
        if not response.accepted:
            return f"the response was {response.status}"
        if len(response.body) > MAX_IMPORTED_PICTURE_BYTES:
            return f"it is larger than {MAX_IMPORTED_PICTURE_BYTES // 1_000_000} MB"
        return self._keep(url, response.body)

    def _keep(self, url: str, data: bytes) -> str:
        suffix, data = sniff_picture(data)
        if not suffix:
            return "it is no picture"
        name = f"{hashlib.sha256(data).hexdigest()[:24]}{suffix}"
        path = self._staging / name
        with self._lock:
            self._silences[find_host(url)] = 0
            self._bytes += len(data)
            path.write_bytes(data)
            self.found.paths[url] = f"{FETCHED_FOLDER}/{name}"
            self.found.files[f"{FETCHED_FOLDER}/{name}"] = path
        return ""


def sniff_picture(data: bytes) -> tuple[str, bytes]:
    """Return the suffix of a picture by its content, '' if it is none, and the picture, an SVG without what could run."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        try:
            is_svg = svg_sanitizer.parse_clean(data).tag in ("svg", "{http://www.w3.org/2000/svg}svg")
        except svg_sanitizer.Unreadable:
            is_svg = False
        return (".svg", svg_sanitizer.clean(data)[0]) if is_svg else ("", data)
    with contextlib.suppress(UnreadablePicture), open_picture(data, _FORMATS) as image:
        image.verify()
        return _SUFFIXES.get(image.format or "", ""), data
    return "", data


def _list_of_post(post: ImportedPost, old_url: str) -> Iterator[WantedPicture]:
    for address in list_elsewhere(post.body):
        yield WantedPicture(address, _make_absolute(address, post, old_url), post.where)


def _make_absolute(address: str, post: ImportedPost, old_url: str) -> str:
    try:
        base = urljoin(old_url, post.address) if old_url else post.address
        whole = urljoin(base, address) if "://" in base else f"https:{address}" if address.startswith("//") else address
    except ValueError:
        return ""
    return whole if whole.startswith(("https://", "http://")) and find_host(whole) else ""


def _place(text: str, post: ImportedPost, fetched: FetchedPictures, old_url: str) -> str:
    new = {
        one.address: f"{{static}}/{fetched.paths[one.url]}" for one in _list_of_post(post, old_url) if one.url in fetched.paths
    }  # fmt: skip
    return change_pictures(text, lambda address, _shown: new.get(address, address)) if new else text


def _read_unsent(path: Path) -> str:
    """Return the text of a file, '' of one that asks to be sent."""
    try:
        data = path.read_bytes()
        text = data.decode()
    except (OSError, UnicodeDecodeError):
        return ""
    return "" if front_matter.split("", data).asks else text
