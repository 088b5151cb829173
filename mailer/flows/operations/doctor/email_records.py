"""The doctor in DNS: what receivers look up to decide whether the newsletter's emails are genuine, and where replies go."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mailer.core.characters import parse_sender
from mailer.core.errors import Unavailable
from mailer.core.known_mail_domains import COMMON
from mailer.core.message import mailable
from mailer.core.settings import Settings
from mailer.flows.operations.doctor.aws_services import SesFacts
from mailer.flows.operations.doctor.checkups import Checkup, advise, fine, unknown, wrong
from mailer.flows.operations.doctor.dns_client import DnsClient

_SES_SPF = "v=spf1 include:amazonses.com ~all"
_TRY_ANOTHER = "Ask another name server: postmerge doctor --name-server 1.1.1.1"
_DKIM_HOST = "dkim.amazonses.com"


def examine_records(dns: DnsClient, settings: Settings, found: SesFacts) -> Iterator[Checkup]:
    """Check SPF, DKIM, DMARC with alignment, and MX. Without SES's answers, only what needs none of them."""
    if not settings.mailbox:
        return
    domain = mailable(settings.mailbox).rpartition("@")[2].lower()
    if domain in COMMON:
        found_text = f"{domain} belongs to somebody else, whose DMARC policy makes receivers refuse or hide your emails."
        yield wrong("sender domain", found_text, 'POSTMERGE_SENDER="Name <address@your.own.domain>"')
        return
    try:
        if invented := dns.find_invention():
            said = f"The name server {dns.name} answers {invented} for a name that cannot exist, so nothing it says counts."
            yield unknown("DNS", said, _TRY_ANOTHER)
            return
    except Unavailable as error:
        yield unknown("DNS", str(error), _TRY_ANOTHER)
        return
    checks = (
        _check_spf(dns, domain, found),
        _check_dkim(dns, domain, found),
        _check_dmarc(dns, domain, found),
        _check_mx(dns, settings),
    )
    for check in checks:
        try:
            yield from check
        except Unavailable as error:
            yield unknown("DNS", str(error), _TRY_ANOTHER)


def _check_spf(dns: DnsClient, domain: str, found: SesFacts) -> Iterator[Checkup]:
    """Check the domain of the envelope's sender: a custom one, or SES's own, which SES takes care of."""
    if found.mail_from:
        yield _check_mail_from_mx(dns, found)
        yield _judge_spf(found.mail_from, _read_spf(dns, found.mail_from), needed=True)
        return
    yield _judge_spf(domain, _read_spf(dns, domain), needed=False)
    if found.identity:
        how = (
            f"aws sesv2 put-email-identity-mail-from-attributes --email-identity {found.identity}"
            f" --mail-from-domain bounce.{found.identity}"
        )
        yield advise("MAIL FROM", "SES's own domain, so SPF passes without alignment; DKIM has to carry DMARC alone.", how)


def _read_spf(dns: DnsClient, domain: str) -> list[str]:
    return [text for text in dns.lookup(domain, "TXT") if re.match(r"v=spf1(\s|$)", text, re.IGNORECASE)]


def _judge_spf(domain: str, records: list[str], needed: bool) -> Checkup:
    if len(records) > 1:
        found = f"{domain} has {len(records)} SPF records, so receivers ignore all of them."
        return wrong("SPF", found, f'Only one: {domain} TXT "{_merge_spf(records)}"')
    if not records:
        record = f'{domain} TXT "{_SES_SPF}"'
        if needed:
            return wrong("SPF", f"{domain} has no SPF record.", record)
        return fine("SPF", f"{domain} has none and needs none, as SES's own domain is in the envelope")
    text = records[0].lower()
    if text.endswith("+all") or re.search(r"\s\??all$", text):
        return wrong("SPF", f"{domain}: {records[0]!r} lets anybody send.", f'{domain} TXT "{_SES_SPF}"')
    if needed and "include:amazonses.com" not in text:
        merged = re.sub(r"(?i)^v=spf1", "v=spf1 include:amazonses.com", records[0])
        return wrong("SPF", f"{domain}: {records[0]!r} does not name SES.", f'{domain} TXT "{merged}"')
    return fine("SPF", f"{domain}: {records[0]}")


def _merge_spf(records: list[str]) -> str:
    """Return one record with the mechanisms of all, and the most careful ending."""
    terms = dict.fromkeys(term for record in records for term in record.split()[1:] if not term.lower().endswith("all"))
    return " ".join(["v=spf1", *terms, "~all"])


def _check_mail_from_mx(dns: DnsClient, found: SesFacts) -> Checkup:
    target = f"feedback-smtp.{found.region}.amazonses.com"
    if any(one.split()[-1] == target for one in dns.lookup(found.mail_from, "MX")):
        return fine("MAIL FROM", found.mail_from)
    return wrong("MAIL FROM", f"{found.mail_from} has no MX record to SES.", f"{found.mail_from} MX 10 {target}")


def _check_dkim(dns: DnsClient, domain: str, found: SesFacts) -> Iterator[Checkup]:
    if not found.identity or "@" in found.identity:
        return
    facts = found.details.get("DkimAttributes", {})
    if not facts.get("SigningEnabled", False):
        how = f"aws sesv2 put-email-identity-dkim-attributes --email-identity {found.identity} --signing-enabled"
        yield wrong("DKIM", f"SES does not sign the emails of {found.identity}.", how)
        return
    names = [f"{token}._domainkey.{found.identity}" for token in facts.get("Tokens", [])]
    if facts.get("SigningAttributesOrigin") == "EXTERNAL":
        missing = [name for name in names if not any("p=" in text for text in dns.lookup(name, "TXT"))]
        fixes = [f'{name} TXT "p=PUBLIC-KEY"' for name in missing]
    else:
        host = facts.get("SigningHostedZone") or _DKIM_HOST
        targets = {name: f"{name.split('.')[0]}.{host}".lower() for name in names}
        missing = [name for name, target in targets.items() if dns.lookup(name, "CNAME") != [target]]
        fixes = [f"{name} CNAME {targets[name]}" for name in missing]
    if missing:
        yield wrong("DKIM", f"{len(missing)} of {len(names)} records are missing or wrong.", "\n".join(fixes))
    elif facts.get("Status") != "SUCCESS":
        yield wrong(
            "DKIM", f"The records are there; SES says {facts.get('Status')}.", "Wait up to 72 hours for SES to look again."
        )
    else:
        yield fine("DKIM", f"signed as {found.identity}")


def _check_dmarc(dns: DnsClient, domain: str, found: SesFacts) -> Iterator[Checkup]:
    where, records = "", list[str]()
    for where in _list_parents(domain):
        records = [text for text in dns.lookup(f"_dmarc.{where}", "TXT") if text.lower().startswith("v=dmarc1")]
        if records:
            break
    record = f'_dmarc.{domain} TXT "v=DMARC1; p=none; rua=mailto:postmaster@{domain}"'
    if not records:
        yield wrong("DMARC", f"{domain} has no DMARC record; Gmail and Yahoo require one of newsletters.", record)
        return
    tags = _read_tags(records[0])
    if len(records) > 1 or tags.get("p", "") not in ("none", "quarantine", "reject"):
        yield wrong("DMARC", f"_dmarc.{where} is not valid: {records[0]!r}{' and others' if len(records) > 1 else ''}.", record)
        return
    if tags["p"] == "none":
        stricter = f'_dmarc.{where} TXT "v=DMARC1; p=quarantine; rua=mailto:postmaster@{where}"'
        yield advise("DMARC", f"_dmarc.{where}: p=none, which only reports.", f"Once the reports show no surprise: {stricter}")
    else:
        yield fine("DMARC", f"_dmarc.{where}: p={tags['p']}")
    if found.identity:
        yield _check_alignment(domain, where, tags, found)


def _check_alignment(domain: str, where: str, tags: dict[str, str], found: SesFacts) -> Checkup:
    """One of DKIM and SPF must be aligned: of the sender's own domain when strict (s), else of the same organization."""
    signs = found.details.get("DkimAttributes", {}).get("Status") == "SUCCESS" and "@" not in found.identity
    by = [
        *(["DKIM"] if signs and _is_aligned(domain, found.identity, tags.get("adkim", "r")) else []),
        *(["SPF"] if found.mail_from and _is_aligned(domain, found.mail_from, tags.get("aspf", "r")) else []),
    ]
    if by:
        return fine("DMARC alignment", f"by {' and '.join(by)}")
    if signs and tags.get("adkim") == "s":
        fixed = "; ".join(f"{name}={value}" for name, value in {**tags, "adkim": "r"}.items())
        said = f"DKIM signs for {found.identity}, but adkim=s requires {domain}."
        return wrong("DMARC alignment", said, f'_dmarc.{where} TXT "{fixed}"')
    said = f"Neither DKIM nor SPF proves {domain}, so DMARC fails for each email."
    return wrong(
        "DMARC alignment", said, f"Publish the DKIM records of {domain}: aws sesv2 get-email-identity --email-identity {domain}"
    )


def _is_aligned(domain: str, proven: str, mode: str) -> bool:
    if mode == "s" or domain == proven:
        return domain == proven
    return domain.endswith(f".{proven}") or proven.endswith(f".{domain}")


def _list_parents(domain: str) -> list[str]:
    """Return the domain and its parents without the top level: receivers look for DMARC there too."""
    labels = domain.split(".")
    return [".".join(labels[at:]) for at in range(len(labels) - 1)]


def _read_tags(record: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in record.split(";") if part.strip())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _check_mx(dns: DnsClient, settings: Settings) -> Iterator[Checkup]:
    """Check that the addresses people write to accept email: replies, and unsubscribing by email."""
    reply_to = parse_sender(settings.reply_to).address if settings.reply_to else settings.mailbox
    named = {"POSTMERGE_REPLY_TO" if settings.reply_to else "POSTMERGE_SENDER": reply_to}
    if settings.unsubscribe_address:
        named["POSTMERGE_UNSUBSCRIBE_ADDRESS"] = settings.unsubscribe_address
    for setting, address in named.items():
        domain = mailable(address).rpartition("@")[2].lower()
        records = dns.lookup(domain, "MX")
        if records and not any(one.split()[1:] for one in records):  # RFC 7505: "0 ."
            yield wrong("MX", f"{domain} of {setting} declares that it accepts no email.", f"{domain} MX 10 mx.your.domain")
        elif records:
            yield fine("MX", f"{domain}: {records[0]}")
        elif dns.lookup(domain, "A") or dns.lookup(domain, "AAAA"):
            yield advise("MX", f"{domain} of {setting} has no MX record, only an address.", f"{domain} MX 10 mx.your.domain")
        else:
            found = f"{domain} of {setting} accepts no email: what people write to it bounces."
            yield wrong("MX", found, f"{domain} MX 10 mx.your.domain")
