"""Which program a list comes from, and what its columns mean."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mailer.core.errors import BadInput

# What a column can become. ``proof`` becomes evidence of consent; unknown columns become metadata.
FIELDS = (
    "email", "tags", "state", "metadata", "created", "confirmed", "left", "left flag", "subscribed flag", "bounced",
    "complained", "lang", "proof", "ignore",
)  # fmt: skip
METADATA_PREFIX = "metadata:"

OWN_COLUMNS = (
    "email", "state", "tags", "metadata", "lang", "frequency", "flags", "created_at", "confirmed_at", "unsubscribed_at",
    "paused_until", "active_at", "suppression", "consents", "notes", "referrer_url", "utm_campaign", "utm_medium", "utm_source",
    "unsubscribe_reason",
)  # fmt: skip


def normalize_name(column: str) -> str:
    """Return a column's name without case, punctuation and marks: ``Email Address *`` and ``E-mail_address`` are one name."""
    plain = re.sub(r"[\W_]+", " ", column.lower()).strip()
    return re.sub(r"\be mail\b", "email", plain).removesuffix(" required")


@dataclass(frozen=True)
class ListFormat:
    """A program's export: the columns that identify it, and what they become, by their normalized names."""

    name: str
    known_by: frozenset[str]
    columns: Mapping[str, str]
    default_state: str = ""


def _format(name: str, known_by: str, default_state: str = "", **becomes: str) -> ListFormat:
    """Build a format. ``becomes`` maps a field to the columns that become it, separated by ``|``."""
    columns = {
        normalize_name(column): field.replace("_", " ") for field, listed in becomes.items() for column in listed.split("|")
    }
    return ListFormat(name, frozenset(map(normalize_name, known_by.split("|"))), columns, default_state)


FORMATS = (
    ListFormat(
        "postmerge",
        frozenset(map(normalize_name, OWN_COLUMNS)),
        {normalize_name(column): column for column in OWN_COLUMNS},
    ),
    _format(
        "mailchimp", "email address|leid|euid", "active",
        email="email address", tags="tags", created="optin_time", confirmed="confirm_time", left="unsub_time",
        bounced="clean_time", lang="language",
        proof="optin_ip|confirm_ip",
        ignore="member_rating|latitude|longitude|gmtoff|dstoff|timezone|cc|region|last_changed|leid|euid|unsub_campaign_title"
        "|unsub_campaign_id|unsub_reason_other|clean_campaign_title|clean_campaign_id",
    ),
    _format(
        "substack", "email|active_subscription|email_disabled", "active",
        email="email", left_flag="email_disabled", created="created_at",
    ),
    _format(
        "ghost", "email|subscribed_to_emails|complimentary_plan", "active",
        email="email", subscribed_flag="subscribed_to_emails", created="created_at", left="deleted_at", tags="labels",
        ignore="id",
    ),
    _format(
        "listmonk", "uuid|email|attributes|status",
        email="email", state="status", metadata="attributes", created="created_at", ignore="uuid|updated_at|id",
    ),
    _format(
        "buttondown", "creation_date|tags|metadata",
        email="email|email_address", tags="tags", metadata="metadata", state="type|subscriber_type",
        created="creation_date", left="unsubscription_date", proof="ip_address|source",
        ignore="id|avatar_url|open_rate|click_rate|last_open_date|last_click_date|risk_score|subscriber_import_id"
        "|transitions|email_transitions|delivered_count|open_count|clicked_count|undeliverability_date",
    ),
)  # fmt: skip

PLAIN_CSV = _format(
    "csv", "", "active",
    email="email|email address|your email|subscriber email|mail|mail address|adresse|email adresse|emailadresse"
    "|mailadresse|adresse email|adresse mail|adresse électronique|courriel|correo|correo electrónico|correo electronico"
    "|邮箱|电子邮件|电子邮箱",
    tags="tags|tag|labels|topics", metadata="metadata",
    state="state|status|type", created="created_at|created|creation_date|date|subscribed_at|joined|signup date",
    confirmed="confirmed_at|confirmed", left="left_at|unsubscribed_at", lang="lang|language|locale",
    left_flag="unsubscribed|opted out|opted_out", subscribed_flag="subscribed",
    proof="ip|ip_address",
)  # fmt: skip

FORMAT_NAMES = tuple(one.name for one in (*FORMATS, PLAIN_CSV))


def recognize_format(header: Sequence[str]) -> ListFormat:
    """Return the format whose columns the header has; plain CSV if it is no known program's."""
    seen = {normalize_name(column) for column in header}
    for one in FORMATS:
        if one.known_by <= seen:
            return one
    return PLAIN_CSV


def get_format(name: str) -> ListFormat:
    """Return the format called ``name``."""
    return next(one for one in (*FORMATS, PLAIN_CSV) if one.name == name)


def map_columns(header: Sequence[str], chosen: ListFormat, corrections: Mapping[str, str]) -> list[str]:
    """Return what each column becomes: a field, ``metadata:NAME``, or ``ignore``. ``corrections`` (column to field) win.

    Raises BadInput if a correction names an unknown column or field, or if there is not exactly one address column.
    """
    wanted = {column.strip().lower(): field.strip().lower() for column, field in corrections.items()}
    names = [column.strip().lower() for column in header]
    _check_corrections(wanted, names)
    found = []
    for shown, name in zip(header, names, strict=True):
        field = wanted.get(name) or chosen.columns.get(normalize_name(name), "")
        if field == "email" and "email" in wanted.values() and name not in wanted:
            field = ""  # a corrected address column replaces the recognized one
        keep = f"{METADATA_PREFIX}{shown.strip()}" if name else "ignore"
        found.append(keep if not field or (field == "metadata" and wanted.get(name)) else field)
    if found.count("email") != 1:
        raise BadInput(
            f"{'No column contains' if 'email' not in found else 'More than one column contains'} the addresses:"
            f" the columns are {', '.join(header)[:300]}; choose one with --column 'NAME=email' (API: `email_column`)."
        )
    return found


def _check_corrections(wanted: Mapping[str, str], names: Sequence[str]) -> None:
    for column, field in wanted.items():
        if column not in names:
            raise BadInput(f"The file has no column {column!r}: its columns are {', '.join(names)[:300]}.")
        if field not in FIELDS:
            raise BadInput(f"A column cannot become {field!r}: choose one of {', '.join(FIELDS)}.")
