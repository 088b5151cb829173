"""All settings, read once from the environment and an environment file; nothing else reads ``os.environ``.

The file is ``.env``, or the one that ``POSTMERGE_ENV_FILE`` names. AWS is configured by AWS's own variables (credential chain,
region, ``AWS_ENDPOINT_URL_SESV2``), which boto3 reads itself.
"""

from __future__ import annotations

import io
import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from dotenv.parser import Binding, parse_stream

from mailer.core.errors import BadInput

_ENV_FILE = "POSTMERGE_ENV_FILE"
# A sender whose name is quoted, as in email headers; the parser would take the first pair of quotes for the whole value's.
_QUOTED_NAME = re.compile(r'\s*(?:export\s+)?(?P<key>[A-Z_]+)\s*=\s*(?P<value>"[^"\n]*"\s*<[^<>\s]+>)\s*')
MIN_SECRET_CHARS = 16
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Durations are ``timedelta``; paths are as given, relative to the working folder."""

    database_url: str = ""
    redis_url: str = ""
    transport: str = "outbox"
    transport_given: bool = True
    site_url: str = ""
    api_url: str = "http://127.0.0.1:8025"
    hosts: tuple[str, ...] = ()
    sender: str = ""
    postal_address: str = ""
    secret: str = ""
    hold: timedelta = timedelta(minutes=10)
    content: Path = Path("content")
    config: Path = Path("pelicanconf.py")
    build: Path = Path("build")
    outbox: Path = Path("build/outbox")
    fence: str = ""
    claim_lease: timedelta = timedelta(seconds=60)
    first_slice: float = 1.0
    first_slice_wait: timedelta = timedelta(minutes=5)
    max_lateness: timedelta = timedelta(hours=6)
    notify_url: str = ""
    webhook_networks: str = ""
    api_key: str = ""
    connections: int = 32
    confirm_expiry: timedelta = timedelta(days=7)
    topics: tuple[str, ...] = ()
    challenge: str = "off"
    challenge_bits: int = 18
    challenge_verify_url: str = ""
    challenge_secret: str = ""
    challenge_site_key: str = ""
    challenge_script: str = ""
    challenge_name: str = "cf-turnstile"
    challenge_on_error: str = "open"
    trusted_proxies: str = ""
    form_origins: tuple[str, ...] = ()
    unsubscribe_address: str = ""
    check_dns: bool = False
    disposable: str = "flag"
    keep_unconfirmed: timedelta = timedelta(days=60)
    max_unconfirmed: int = 100_000
    keep_unsubscribed: timedelta = timedelta(0)
    ses_configuration_set: str = ""
    ses_client: str = "lean"
    sns_topic: str = ""
    sqs_queue_url: str = ""
    soft_bounces: int = 3
    soft_bounce_window: timedelta = timedelta(days=90)
    log_level: str = "info"
    stripe_key: str = ""
    stripe_webhook_secret: str = ""
    stripe_base: str = ""
    plans: Path = Path("plans.toml")
    grace: timedelta = timedelta(days=14)
    sentry_dsn: str = ""
    metrics: bool = True

    @property
    def site_folder(self) -> Path:
        """The folder of the built web archive."""
        return self.build / "site"

    @property
    def editions_folder(self) -> Path:
        """The folder of the built editions: outside the public site, one JSON file for each issue."""
        return self.build / "editions"

    @property
    def cache_folder(self) -> Path:
        """The folder that caches converted bodies between builds; safe to delete."""
        return self.build / "cache"

    @property
    def fence_folder(self) -> Path | None:
        """The folder of the fence file, outside the database (default: beside the build); None if the fence is off."""
        return None if self.fence.lower() == "off" else Path(self.fence or self.build.parent / "fence")

    @property
    def mailbox(self) -> str:
        """The sender's bare address, where subscribers can reply."""
        return parseaddr(self.sender)[1]

    @property
    def sells(self) -> bool:
        """Is anything sold? Without a Stripe key or plans, no page offers it."""
        return bool(self.stripe_key) and self.plans.is_file()

    def need_database(self) -> str:
        """Return the database's URL. Raises BadInput with how to set it."""
        if not self.database_url:
            raise BadInput(
                "DATABASE_URL is not set: give it the Postgres URL, or use `make run`, which brings its own Postgres."
            )
        return self.database_url

    def need_transport(self, listens_on: str = "127.0.0.1") -> None:
        """Raise BadInput if no transport was chosen although this is not one machine's development.

        The default writes emails to files and records them as sent, which must not happen to real subscribers by a slip.
        """
        local = urlsplit(self.api_url).hostname in _LOOPBACK_HOSTS and listens_on in _LOOPBACK_HOSTS
        if not self.transport_given and (not local or self.api_url.startswith("https:")):
            raise BadInput(
                "POSTMERGE_TRANSPORT is not set, and this server is not for local development only (see POSTMERGE_API_URL and"
                " `--host`): set it to ses to send emails, or to outbox to write them to files."
            )

    def need_secrets(self) -> tuple[str, ...]:
        """Return the signing secrets: the first signs, all of them verify. Raises BadInput if one is missing or too short."""
        secrets = _split_secrets(self.secret)
        if not secrets or min(map(len, secrets)) < MIN_SECRET_CHARS:
            raise BadInput(
                f"POSTMERGE_SECRET is missing, or one of its values is shorter than {MIN_SECRET_CHARS} characters: set it to"
                " the output of `openssl rand -hex 32`, followed by older values, if any, after commas."
            )
        return secrets


@cache
def _split_secrets(text: str) -> tuple[str, ...]:
    return tuple(filter(None, re.split(r"[\s,]+", text)))


def load(environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env")) -> Settings:
    """Load the settings from ``environ`` (default: the process's own, which overrides the environment file).

    AWS's variables of the file are put into the process's environment, where boto3 looks. Raises BadInput naming the variable
    whose value cannot be used.
    """
    if environ is None:
        environ = {**_env_file(dotenv), **os.environ}
        os.environ.update({name: value for name, value in environ.items() if name.startswith("AWS_")})
    given = {k: v.strip() for k, v in environ.items() if v.strip()}
    default = Settings()
    return Settings(
        database_url=given.get("DATABASE_URL", ""),
        redis_url=given.get("REDIS_URL", ""),
        transport=_choice(given, "POSTMERGE_TRANSPORT", ("outbox", "ses"), default.transport),
        transport_given="POSTMERGE_TRANSPORT" in given,
        site_url=_url(given, "POSTMERGE_SITE_URL", default.site_url),
        api_url=_url(given, "POSTMERGE_API_URL", default.api_url),
        hosts=_words(given, "POSTMERGE_HOSTS"),
        sender=_sender(given, "POSTMERGE_SENDER"),
        postal_address=given.get("POSTMERGE_POSTAL_ADDRESS", default.postal_address),
        secret=given.get("POSTMERGE_SECRET", default.secret),
        hold=_duration(given, "POSTMERGE_HOLD", default.hold),
        content=Path(given.get("POSTMERGE_CONTENT", default.content)),
        config=Path(given.get("POSTMERGE_CONFIG", default.config)),
        build=Path(given.get("POSTMERGE_BUILD", default.build)),
        outbox=Path(given.get("POSTMERGE_OUTBOX", default.outbox)),
        fence=given.get("POSTMERGE_FENCE", default.fence),
        claim_lease=_duration(given, "POSTMERGE_CLAIM_LEASE", default.claim_lease),
        first_slice=_percent(given, "POSTMERGE_FIRST_SLICE", default.first_slice),
        first_slice_wait=_duration(given, "POSTMERGE_FIRST_SLICE_WAIT", default.first_slice_wait),
        max_lateness=_duration(given, "POSTMERGE_MAX_LATENESS", default.max_lateness),
        api_key=given.get("POSTMERGE_API_KEY", default.api_key),
        webhook_networks=given.get("POSTMERGE_WEBHOOK_NETWORKS", default.webhook_networks),
        notify_url=_url(given, "POSTMERGE_NOTIFY_URL", default.notify_url),
        connections=_count(given, "POSTMERGE_CONNECTIONS", default.connections),
        confirm_expiry=_duration(given, "POSTMERGE_CONFIRM_EXPIRY", default.confirm_expiry),
        keep_unconfirmed=_duration(given, "POSTMERGE_KEEP_UNCONFIRMED", default.keep_unconfirmed),
        max_unconfirmed=_count(given, "POSTMERGE_MAX_UNCONFIRMED", default.max_unconfirmed, most=100_000_000),
        keep_unsubscribed=_duration(given, "POSTMERGE_KEEP_UNSUBSCRIBED", default.keep_unsubscribed),
        check_dns=_choice(given, "POSTMERGE_CHECK_DNS", ("on", "off"), _dns_default(given)) == "on",
        disposable=_choice(given, "POSTMERGE_DISPOSABLE", ("flag", "refuse"), default.disposable),
        topics=_words(given, "POSTMERGE_TOPICS"),
        challenge=_challenge(given, default.challenge),
        challenge_bits=_count(given, "POSTMERGE_CHALLENGE_BITS", default.challenge_bits, most=28),
        challenge_verify_url=_url(given, "POSTMERGE_CHALLENGE_VERIFY_URL", default.challenge_verify_url),
        challenge_secret=given.get("POSTMERGE_CHALLENGE_SECRET", default.challenge_secret),
        challenge_site_key=given.get("POSTMERGE_CHALLENGE_SITE_KEY", default.challenge_site_key),
        challenge_script=_url(given, "POSTMERGE_CHALLENGE_SCRIPT", default.challenge_script),
        challenge_name=given.get("POSTMERGE_CHALLENGE_NAME", default.challenge_name),
        challenge_on_error=_choice(given, "POSTMERGE_CHALLENGE_ON_ERROR", ("open", "closed"), default.challenge_on_error),
        trusted_proxies=_networks(given, "POSTMERGE_TRUSTED_PROXIES"),
        form_origins=_origins(given, "POSTMERGE_FORM_ORIGINS"),
        unsubscribe_address=_address(given, "POSTMERGE_UNSUBSCRIBE_ADDRESS"),
        ses_configuration_set=given.get("POSTMERGE_SES_CONFIGURATION_SET", default.ses_configuration_set),
        ses_client=_choice(given, "POSTMERGE_SES_CLIENT", ("lean", "boto3"), default.ses_client),
        sns_topic=given.get("POSTMERGE_SNS_TOPIC", default.sns_topic),
        sqs_queue_url=_url(given, "POSTMERGE_SQS_QUEUE_URL", default.sqs_queue_url),
        soft_bounces=_count(given, "POSTMERGE_SOFT_BOUNCES", default.soft_bounces),
        soft_bounce_window=_duration(given, "POSTMERGE_SOFT_BOUNCE_WINDOW", default.soft_bounce_window),
        log_level=_choice(given, "POSTMERGE_LOG", ("debug", "info", "warning", "error"), default.log_level),
        stripe_key=given.get("STRIPE_SECRET_KEY", default.stripe_key),
        stripe_webhook_secret=given.get("STRIPE_WEBHOOK_SECRET", default.stripe_webhook_secret),
        stripe_base=_url(given, "STRIPE_API_BASE", default.stripe_base),
        plans=Path(given.get("POSTMERGE_PLANS", default.plans)),
        grace=_duration(given, "POSTMERGE_GRACE", default.grace),
        sentry_dsn=given.get("SENTRY_DSN", default.sentry_dsn),
        metrics=_choice(given, "POSTMERGE_METRICS", ("on", "off"), "on") == "on",
    )


def read_env_file(path: Path) -> dict[str, str]:
    """Return the variables of an environment file as written, without substitution.

    Raises BadInput for a file or a line that cannot be read.
    """
    try:
        lines = parse_stream(io.StringIO(path.read_text("utf-8-sig")))
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} cannot be read as text in UTF-8 ({error}): correct the file or its rights.") from error
    return dict(pair for line in lines if (pair := _pair(path, line)))


def _env_file(default: Path) -> dict[str, str]:
    """Return the file that ``POSTMERGE_ENV_FILE`` names, which must exist, else ``default``, which may be missing."""
    path = Path(os.environ.get(_ENV_FILE) or default)
    return read_env_file(path) if os.environ.get(_ENV_FILE) or path.is_file() else {}


def _pair(path: Path, line: Binding) -> tuple[str, str] | None:
    if not line.error:
        return (line.key, line.value or "") if line.key else None
    quoted = _QUOTED_NAME.fullmatch(line.original.string)
    if not quoted:
        raise BadInput(
            f"{path}:{line.original.line} cannot be read: write NAME=value, a value with quotes or # in it in single quotes."
        )
    return quoted["key"], quoted["value"]


def aws_region() -> str | None:
    """Return the region in ``AWS_REGION``, else ``AWS_DEFAULT_REGION``, as in the AWS SDKs. boto3 reads only the latter.

    None leaves it to AWS's configuration files.
    """
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child process with these settings."""
    own = {
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "POSTMERGE_TRANSPORT": settings.transport,
        "POSTMERGE_SITE_URL": settings.site_url,
        "POSTMERGE_API_URL": settings.api_url,
        "POSTMERGE_HOSTS": ",".join(settings.hosts),
        "POSTMERGE_SENDER": settings.sender,
        "POSTMERGE_POSTAL_ADDRESS": settings.postal_address,
        "POSTMERGE_SECRET": settings.secret,
        "POSTMERGE_CHECK_DNS": "on" if settings.check_dns else "off",
        "POSTMERGE_DISPOSABLE": settings.disposable,
        "POSTMERGE_TOPICS": ",".join(settings.topics),
        "POSTMERGE_HOLD": f"{settings.hold.total_seconds()}s",
        "POSTMERGE_FIRST_SLICE_WAIT": f"{settings.first_slice_wait.total_seconds()}s",
        "POSTMERGE_CONTENT": str(settings.content),
        "POSTMERGE_CONFIG": str(settings.config),
        "POSTMERGE_BUILD": str(settings.build),
        "POSTMERGE_OUTBOX": str(settings.outbox),
        "POSTMERGE_FENCE": str(settings.fence_folder or "off"),
        "POSTMERGE_LOG": settings.log_level,
    }
    return {**os.environ, **own}


def _choice(given: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = given.get(name, default).lower()
    if value not in allowed:
        raise BadInput(f"{name} is {value!r}: set it to one of {', '.join(allowed)}.")
    return value


def _url(given: Mapping[str, str], name: str, default: str) -> str:
    value = given.get(name, default).rstrip("/")
    if value and not re.fullmatch(r"https?://[^\s/]+(/[^\s]*)?", value):
        raise BadInput(f"{name} is {value!r}: give a whole address such as https://news.example.org.")
    return value


def _sender(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if value and not re.fullmatch(r"[^@\s<>]+@[^@\s<>]+", parseaddr(value)[1]):
        raise BadInput(
            f"{name} is {value!r}: write it as Name <address@your.domain>, a name with a comma or semicolon in double quotes."
        )
    return value


def _duration(given: Mapping[str, str], name: str, default: timedelta) -> timedelta:
    if name not in given:
        return default
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd]?)", given[name].lower())
    if not match:
        raise BadInput(f"{name} is {given[name]!r}: give a number with s, m, h or d, such as 10m.")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2] or "s"])


def _dns_default(given: Mapping[str, str]) -> str:
    return "on" if given.get("POSTMERGE_TRANSPORT", "").lower() == "ses" else "off"


def _words(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(word.strip().lower() for word in given.get(name, "").split(",") if word.strip()))


def _percent(given: Mapping[str, str], name: str, default: float) -> float:
    value = given.get(name, str(default)).rstrip("% ")
    if not re.fullmatch(r"\d+(\.\d+)?", value) or not 0 < float(value) <= 100:
        raise BadInput(f"{name} is {given.get(name)!r}: give a percentage above 0 and up to 100, such as 1%.")
    return float(value)


def _count(given: Mapping[str, str], name: str, default: int, most: int = 1000) -> int:
    value = given.get(name, str(default))
    if not value.isdecimal() or not 1 <= int(value) <= most:
        raise BadInput(f"{name} is {value!r}: give a whole number from 1 to {most}.")
    return int(value)


def _challenge(given: Mapping[str, str], default: str) -> str:
    kind = _choice(given, "POSTMERGE_CHALLENGE", ("off", "work", "hook"), default)
    needed = [f"POSTMERGE_CHALLENGE_{part}" for part in ("VERIFY_URL", "SECRET", "SITE_KEY", "SCRIPT")]
    if kind == "hook" and (missing := [name for name in needed if name not in given]):
        raise BadInput(f"POSTMERGE_CHALLENGE is hook: set {', '.join(missing)} too.")
    return kind


def _networks(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    for part in filter(None, (one.strip() for one in value.split(","))):
        try:
            ipaddress.ip_network(part)
        except ValueError as error:
            raise BadInput(f"{name} holds {part!r}: give networks such as 10.0.0.0/8, separated by commas.") from error
    return value


def _origins(given: Mapping[str, str], name: str) -> tuple[str, ...]:
    for origin in (found := _words(given, name)):
        if not re.fullmatch(r"https?://[^\s/?#@]+", origin):
            raise BadInput(f"{name} contains {origin!r}: list origins such as https://www.example.org, separated by commas.")
    return found


def _address(given: Mapping[str, str], name: str) -> str:
    value = given.get(name, "")
    if value and not re.fullmatch(r"[A-Za-z0-9._-]{1,20}@[A-Za-z0-9.-]+", value):
        raise BadInput(
            f"{name} is {value!r}: give a plain address of at most 20 characters before the @, such as leave@example.org."
        )
    return value
