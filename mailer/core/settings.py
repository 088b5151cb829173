"""All settings, read once from the environment and an environment file; nothing else reads ``os.environ``.

The file is ``.env``, or the one that ``POSTMERGE_ENV_FILE`` names. AWS is configured by AWS's own variables (credential chain,
region, ``AWS_ENDPOINT_URL_SESV2``), which boto3 reads itself.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from mailer.core import domain_names
from mailer.core.characters import parse_sender
from mailer.core.errors import BadInput
from mailer.core.files import PACKAGES
from mailer.core.setting_values import (
    choose_dns_default,
    is_off,
    read_address,
    read_addresses,
    read_challenge,
    read_choice,
    read_count,
    read_duration,
    read_env_file,
    read_networks,
    read_origins,
    read_percent,
    read_repository,
    read_sender,
    read_switch,
    read_transport,
    read_url,
    read_words,
)

_ENV_FILE = "POSTMERGE_ENV_FILE"
MIN_SECRET_CHARS = 16
_LOOPBACK_HOSTS = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Settings:
    """The settings of a process. Durations are ``timedelta``; paths are as given, relative to the working folder."""

    database_url: str = ""
    redis_url: str = ""
    transport: str = "outbox"
    transport_given: bool = True
    site_url: str = ""
    api_url: str = "http://127.0.0.1:8025"
    preview_url: str = ""
    hosts: tuple[str, ...] = ()
    sender: str = ""
    reply_to: str = ""
    postal_address: str = ""
    reviewers: tuple[str, ...] = ()
    require_review: bool = False
    secret: str = ""
    signing_key: str = ""
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
    max_emails_per_week: int = 10  # to a subscriber, before a step of a sequence waits
    notify_url: str = ""
    ping_url: str = ""
    webhook_networks: str = ""
    api_key: str = ""
    repository: str = ""
    repository_token: str = ""
    repository_api: str = "https://api.github.com"
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
    privacy_url: str = ""
    plans: Path = Path("plans.toml")
    words: Path = Path("words")
    grace: timedelta = timedelta(days=14)
    sentry_dsn: str = ""
    metrics: bool = True
    monthly_report: bool = False
    desk: bool = False
    desk_owners: tuple[str, ...] = ()
    desk_viewers: tuple[str, ...] = ()

    @property
    def site_folder(self) -> Path:
        """The folder of the built web archive."""
        return self.build / "site"

    @property
    def editions_folder(self) -> Path:
        """The folder of the built editions: outside the public site, one JSON file for each issue."""
        return self.build / "editions"

    @property
    def previews_folder(self) -> Path:
        """The folder of the sites that branches would make, as the server shows them to reviewers."""
        return self.build / "previews"

    @property
    def cache_folder(self) -> Path:
        """The folder that caches converted bodies between builds; safe to delete."""
        return self.build / "cache"

    @property
    def fence_place(self) -> str:
        """Where the fence's outside half is (default: a folder beside the build); empty if the fence is off."""
        return "" if is_off(self.fence) else self.fence or str(self.build.parent / "fence")

    @property
    def issues_folder(self) -> str:
        """The folder of the issues, from the root of the repository."""
        return f"{'content' if self.content.is_absolute() else self.content.as_posix()}/issues"

    @property
    def mailbox(self) -> str:
        """The sender's bare address."""
        return parse_sender(self.sender).address if self.sender else ""

    @property
    def privacy_page(self) -> str:
        """The URL of the privacy page: where the sample content has it, if none is set."""
        return self.privacy_url or f"{self.site_url}/privacy/"

    @property
    def sells(self) -> bool:
        """Is anything sold? Without a Stripe key or plans, no page offers it."""
        return bool(self.stripe_key) and self.plans.is_file()

    def need_database(self) -> str:
        """Return the database's URL. Raises BadInput with how to set it."""
        if not self.database_url:
            raise BadInput(
                "DATABASE_URL is not set: give it the Postgres URL, or use `postmerge up`, which brings its own Postgres."
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


def load(
    environ: Mapping[str, str] | None = None, dotenv: Path = Path(".env"), running: Mapping[str, str] | None = None
) -> Settings:
    """Load the settings from ``environ`` (default: the process's own, which overrides ``running`` and the environment file).

    AWS's variables of the file are put into the process's environment, where boto3 looks. Raises BadInput naming the variable
    whose value cannot be used.
    """
    if environ is None:
        environ = {**_read_env_files(dotenv), **(running or {}), **os.environ}
        os.environ.update({name: value for name, value in environ.items() if name.startswith("AWS_")})
    given = {k: v.strip() for k, v in environ.items() if v.strip()}
    default = Settings()
    return Settings(
        database_url=given.get("DATABASE_URL", ""),
        redis_url=given.get("REDIS_URL", ""),
        transport=read_transport(given, default.transport),
        transport_given="POSTMERGE_TRANSPORT" in given,
        site_url=read_url(given, "POSTMERGE_SITE_URL", default.site_url),
        api_url=read_url(given, "POSTMERGE_API_URL", default.api_url),
        preview_url=read_url(given, "POSTMERGE_PREVIEW_URL", default.preview_url),
        hosts=tuple(map(domain_names.to_ascii, read_words(given, "POSTMERGE_HOSTS"))),
        sender=read_sender(given, "POSTMERGE_SENDER"),
        reply_to=read_sender(given, "POSTMERGE_REPLY_TO"),
        postal_address=given.get("POSTMERGE_POSTAL_ADDRESS", default.postal_address),
        reviewers=read_addresses(given, "POSTMERGE_REVIEWERS"),
        require_review=read_switch(given, "POSTMERGE_REQUIRE_REVIEW", default.require_review),
        secret=given.get("POSTMERGE_SECRET", default.secret),
        signing_key=given.get("POSTMERGE_SIGNING_KEY", default.signing_key),
        hold=read_duration(given, "POSTMERGE_HOLD", default.hold),
        content=Path(given.get("POSTMERGE_CONTENT", default.content)),
        config=Path(given.get("POSTMERGE_CONFIG", default.config)),
        build=Path(given.get("POSTMERGE_BUILD", default.build)),
        outbox=Path(given.get("POSTMERGE_OUTBOX", default.outbox)),
        fence=given.get("POSTMERGE_FENCE", default.fence),
        claim_lease=read_duration(given, "POSTMERGE_CLAIM_LEASE", default.claim_lease),
        first_slice=read_percent(given, "POSTMERGE_FIRST_SLICE", default.first_slice),
        first_slice_wait=read_duration(given, "POSTMERGE_FIRST_SLICE_WAIT", default.first_slice_wait),
        max_lateness=read_duration(given, "POSTMERGE_MAX_LATENESS", default.max_lateness),
        max_emails_per_week=read_count(given, "POSTMERGE_MAX_EMAILS_PER_WEEK", default.max_emails_per_week),
        api_key=given.get("POSTMERGE_API_KEY", default.api_key),
        webhook_networks=given.get("POSTMERGE_WEBHOOK_NETWORKS", default.webhook_networks),
        notify_url=read_url(given, "POSTMERGE_NOTIFY_URL", default.notify_url),
        repository=read_repository(given, "POSTMERGE_REPOSITORY"),
        repository_token=given.get("POSTMERGE_REPOSITORY_TOKEN", default.repository_token),
        repository_api=read_url(given, "POSTMERGE_REPOSITORY_API", default.repository_api),
        connections=read_count(given, "POSTMERGE_CONNECTIONS", default.connections),
        ping_url=read_url(given, "POSTMERGE_PING_URL", default.ping_url),
        confirm_expiry=read_duration(given, "POSTMERGE_CONFIRM_EXPIRY", default.confirm_expiry),
        keep_unconfirmed=read_duration(given, "POSTMERGE_KEEP_UNCONFIRMED", default.keep_unconfirmed),
        max_unconfirmed=read_count(given, "POSTMERGE_MAX_UNCONFIRMED", default.max_unconfirmed, most=100_000_000),
        keep_unsubscribed=read_duration(given, "POSTMERGE_KEEP_UNSUBSCRIBED", default.keep_unsubscribed),
        check_dns=read_switch(given, "POSTMERGE_CHECK_DNS", choose_dns_default(given)),
        disposable=read_choice(given, "POSTMERGE_DISPOSABLE", ("flag", "refuse"), default.disposable),
        topics=read_words(given, "POSTMERGE_TOPICS"),
        challenge=read_challenge(given, default.challenge),
        challenge_bits=read_count(given, "POSTMERGE_CHALLENGE_BITS", default.challenge_bits, most=28),
        challenge_verify_url=read_url(given, "POSTMERGE_CHALLENGE_VERIFY_URL", default.challenge_verify_url),
        challenge_secret=given.get("POSTMERGE_CHALLENGE_SECRET", default.challenge_secret),
        challenge_site_key=given.get("POSTMERGE_CHALLENGE_SITE_KEY", default.challenge_site_key),
        challenge_script=read_url(given, "POSTMERGE_CHALLENGE_SCRIPT", default.challenge_script),
        challenge_name=given.get("POSTMERGE_CHALLENGE_NAME", default.challenge_name),
        challenge_on_error=read_choice(given, "POSTMERGE_CHALLENGE_ON_ERROR", ("open", "closed"), default.challenge_on_error),
        trusted_proxies=read_networks(given, "POSTMERGE_TRUSTED_PROXIES"),
        form_origins=read_origins(given, "POSTMERGE_FORM_ORIGINS"),
        unsubscribe_address=read_address(given, "POSTMERGE_UNSUBSCRIBE_ADDRESS"),
        ses_configuration_set=given.get("POSTMERGE_SES_CONFIGURATION_SET", default.ses_configuration_set),
        ses_client=read_choice(given, "POSTMERGE_SES_CLIENT", ("lean", "boto3"), default.ses_client),
        sns_topic=given.get("POSTMERGE_SNS_TOPIC", default.sns_topic),
        sqs_queue_url=read_url(given, "POSTMERGE_SQS_QUEUE_URL", default.sqs_queue_url),
        soft_bounces=read_count(given, "POSTMERGE_SOFT_BOUNCES", default.soft_bounces),
        soft_bounce_window=read_duration(given, "POSTMERGE_SOFT_BOUNCE_WINDOW", default.soft_bounce_window),
        log_level=read_choice(given, "POSTMERGE_LOG", ("debug", "info", "warning", "error"), default.log_level),
        stripe_key=given.get("STRIPE_SECRET_KEY", default.stripe_key),
        stripe_webhook_secret=given.get("STRIPE_WEBHOOK_SECRET", default.stripe_webhook_secret),
        stripe_base=read_url(given, "STRIPE_API_BASE", default.stripe_base),
        privacy_url=read_url(given, "POSTMERGE_PRIVACY_URL", default.privacy_url),
        plans=Path(given.get("POSTMERGE_PLANS", default.plans)),
        words=Path(given.get("POSTMERGE_WORDS", default.words)),
        grace=read_duration(given, "POSTMERGE_GRACE", default.grace),
        sentry_dsn=given.get("SENTRY_DSN", default.sentry_dsn),
        metrics=read_switch(given, "POSTMERGE_METRICS", default.metrics),
        monthly_report=read_switch(given, "POSTMERGE_MONTHLY_REPORT", default.monthly_report),
        desk=read_switch(given, "POSTMERGE_DESK", default.desk),
        desk_owners=read_addresses(given, "POSTMERGE_DESK_OWNERS"),
        desk_viewers=read_addresses(given, "POSTMERGE_DESK_VIEWERS"),
    )


def _read_env_files(default: Path) -> dict[str, str]:
    """Return the file that ``POSTMERGE_ENV_FILE`` names, which must exist, else ``default``, which may be missing."""
    path = Path(os.environ.get(_ENV_FILE) or default)
    return read_env_file(path) if os.environ.get(_ENV_FILE) or path.is_file() else {}


def aws_region() -> str | None:
    """Return the region in ``AWS_REGION``, else ``AWS_DEFAULT_REGION``, as in the AWS SDKs. boto3 reads only the latter.

    None leaves it to AWS's configuration files.
    """
    return os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None


def environment(settings: Settings) -> dict[str, str]:
    """Return the environment for a child process with these settings.

    The child finds this program where we did, even in a folder with an ``api`` or ``mailer`` of its own.
    """
    own = {
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH")))),
        "DATABASE_URL": settings.database_url,
        "REDIS_URL": settings.redis_url,
        "POSTMERGE_TRANSPORT": settings.transport,
        "POSTMERGE_SITE_URL": settings.site_url,
        "POSTMERGE_API_URL": settings.api_url,
        "POSTMERGE_PREVIEW_URL": settings.preview_url,
        "POSTMERGE_HOSTS": ",".join(settings.hosts),
        "POSTMERGE_SENDER": settings.sender,
        "POSTMERGE_REPLY_TO": settings.reply_to,
        "POSTMERGE_POSTAL_ADDRESS": settings.postal_address,
        "POSTMERGE_REVIEWERS": ",".join(settings.reviewers),
        "POSTMERGE_REQUIRE_REVIEW": "on" if settings.require_review else "off",
        "POSTMERGE_SECRET": settings.secret,
        "POSTMERGE_SIGNING_KEY": settings.signing_key,
        "POSTMERGE_CHECK_DNS": "on" if settings.check_dns else "off",
        "POSTMERGE_DISPOSABLE": settings.disposable,
        "POSTMERGE_TOPICS": ",".join(settings.topics),
        "POSTMERGE_HOLD": f"{settings.hold.total_seconds()}s",
        "POSTMERGE_FIRST_SLICE_WAIT": f"{settings.first_slice_wait.total_seconds()}s",
        "POSTMERGE_CONTENT": str(settings.content),
        "POSTMERGE_CONFIG": str(settings.config),
        "POSTMERGE_BUILD": str(settings.build),
        "POSTMERGE_WORDS": str(settings.words),
        "POSTMERGE_PRIVACY_URL": settings.privacy_url,
        "POSTMERGE_OUTBOX": str(settings.outbox),
        "POSTMERGE_FENCE": settings.fence_place or "off",
        "POSTMERGE_LOG": settings.log_level,
    }
    return {**os.environ, **own}
