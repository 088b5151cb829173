"""Addresses: one check and one normal form."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from difflib import get_close_matches
from functools import cache

from email_validator import EmailNotValidError, validate_email
from email_validator.rfc_constants import CASE_INSENSITIVE_MAILBOX_NAMES

from mailer.core.domain_names import to_ascii, to_unicode
from mailer.core.errors import BadInput, Mistyped
from mailer.core.known_mail_domains import COMMON, IGNORED_CHARACTERS, LOOKALIKES, ROLES, SAME_MAILBOXES

_PLAIN = re.compile(r"(?P<name>[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*)@(?P<domain>[A-Za-z0-9.-]+)")
_LONG = tuple(domain for domain in COMMON if domain.index(".") >= 5)  # a short one is similar to too many others
_SLIPS = {"con": "com", "cmo": "com", "ocm": "com", "comm": "com", "vom": "com", "xom": "com", "nte": "net", "ogr": "org"}
_MAX_CACHED_DOMAINS = 200_000


def check(email: str) -> str:
    """Return the address to send to. Raises BadInput if it is not valid."""
    try:
        return str(validate_email(email.strip(), check_deliverability=False, allow_smtputf8=False, strict=True).normalized)
    except EmailNotValidError as error:
        why = str(error).rstrip(".")
        exactly = f"{email.strip()[:100]!r} is not an email address ({why}): write it as name@example.org."
        raise _mistyped(why, exactly) from error


def _mistyped(why: str, exactly: str) -> Mistyped:
    if "must have an @-sign" in why:
        return Mistyped("The @ is missing. Write your address as name@example.org.", exactly)
    if "before the @-sign" in why:
        return Mistyped("The part before the @ isn’t valid. Write your address as name@example.org.", exactly)
    if "fter the @-sign" in why:
        return Mistyped("The part after the @ isn’t valid. Write your address as name@example.org.", exactly)
    return Mistyped("This isn’t an email address. Write it as name@example.org.", exactly)


def normal(email: str) -> str:
    """Return the form that decides whether two addresses are the same: lower case, NFC, ASCII domain. Plus tags stay."""
    name, _, domain = unicodedata.normalize("NFC", email.strip()).rpartition("@")
    with contextlib.suppress(BadInput):
        domain = to_ascii(domain)  # before lower(), which writes a final capital sigma in another way than IDNA does
    return f"{name}@{domain}".lower()


def list_spellings(email_normal: str) -> list[str]:
    """Return the address with its domain in ASCII and, if that is another one, in Unicode; in lower case."""
    name, _, domain = email_normal.rpartition("@")
    return sorted({email_normal, f"{name}@{to_unicode(domain)}".lower()})


def mask(email: str) -> str:
    """Return an address that its owner recognizes and nobody else can use: a•••@example.org."""
    name, _, domain = email.rpartition("@")
    return f"{name[:1]}•••@{domain}"


def inbox(email_normal: str) -> str:
    """The mailbox that a normal address is delivered to: without a plus-tag, and spelled as its provider spells it."""
    name, _, domain = email_normal.rpartition("@")
    domain = SAME_MAILBOXES.get(domain, domain)
    name = name.partition("+")[0] or name
    return f"{name.translate({ord(char): None for char in IGNORED_CHARACTERS.get(domain, '')}) or name}@{domain}"


def list_ignored(inbox_: str) -> str:
    """The characters that the inbox's provider ignores before the @."""
    return IGNORED_CHARACTERS.get(inbox_.rpartition("@")[2], "")


def list_domains(inbox_: str) -> list[str]:
    """The domains whose addresses may lead to this inbox."""
    domain = inbox_.rpartition("@")[2]
    return [domain, *(other for other, same in SAME_MAILBOXES.items() if same == domain)]


def flags(email_normal: str) -> list[str]:
    """List what is unusual about an address: ``role`` (no person reads it), ``disposable`` (for short use) or ``lookalike``.

    The domain of a ``lookalike`` looks like a large provider's: by a typing error, or by letters of another script.
    """
    name, _, domain = email_normal.rpartition("@")
    found = ["role"] if name.partition("+")[0] in ROLES else []
    parts = domain.split(".")
    if any(".".join(parts[place:]) in _disposable() for place in range(len(parts) - 1)):
        found.append("disposable")
    if domain not in COMMON and (_skeleton(domain) in COMMON or suggestion(email_normal)):
        found.append("lookalike")
    return sorted(found)


def _skeleton(domain: str) -> str:
    """What a domain in ASCII looks like: without accents, with Latin letters for those of other scripts and for digits."""
    decomposed = unicodedata.normalize("NFKD", to_unicode(domain))
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return bare.translate(LOOKALIKES).replace("rn", "m").replace("vv", "w")


def suggestion(email: str) -> str:
    """Suggest the address that was probably meant (``ada@gmail.com`` for ``ada@gmial.com``); '' if nothing looks mistyped."""
    name, _, domain = email.strip().lower().rpartition("@")
    if not name or domain in COMMON or len(domain) < 5:
        return ""
    ending = domain.rpartition(".")[2]
    near = get_close_matches(domain, _LONG, n=1, cutoff=0.82)
    if near and (_one_slip(domain, near[0]) or ending in _SLIPS):
        return f"{name}@{near[0]}"
    return f"{name}@{domain.rpartition('.')[0]}.{_SLIPS[ending]}" if ending in _SLIPS else ""


def _one_slip(typed: str, meant: str) -> bool:
    """Is one character wrong, missing or extra, or are two neighbors swapped?"""
    if abs(len(typed) - len(meant)) > 1:
        return False
    start = next((place for place, (a, b) in enumerate(zip(typed, meant, strict=False)) if a != b), min(len(typed), len(meant)))
    a, b = typed[start:], meant[start:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2][::-1] == b[:2] and a[2:] == b[2:])


@cache
def _disposable() -> frozenset[str]:
    from disposable_email_domains import blocklist

    return frozenset(blocklist)


class Bulk:
    """``check`` and ``normal`` for very many addresses, with the same results: each domain is checked once."""

    def __init__(self) -> None:
        self._domains: dict[str, tuple[str, str]] = {}

    def check(self, email: str) -> tuple[str, str]:
        """Return the address to send to and its normal form. Raises BadInput as ``check`` does."""
        email = email.strip()
        plain = _PLAIN.fullmatch(email)
        if not plain or len(email) > 254 or len(plain["name"]) > 64 or plain["name"].lower() in CASE_INSENSITIVE_MAILBOX_NAMES:
            address = check(email)
            return address, normal(address)
        shown, ascii_form = self._domain(plain["domain"], email)
        return f"{plain['name']}@{shown}", f"{plain['name'].lower()}@{ascii_form}"

    def _domain(self, domain: str, email: str) -> tuple[str, str]:
        known = self._domains.get(domain)
        if known is None:
            address = check(email)
            known = address.rpartition("@")[2], normal(address).rpartition("@")[2]
            if len(self._domains) < _MAX_CACHED_DOMAINS:
                self._domains[domain] = known
        return known
