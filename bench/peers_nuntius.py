"""nuntius 2.5.0 as its README says: a Django project with its app and ``manage.py nuntius_worker``.

It sends by SMTP with Django's own backend, or through Anymail, which its README recommends for SES. Version 3 needs
Python 3.12. Version 2.5.0 imports what Django 4 no longer has, so Django is older. Its database here is a Postgres like ours.
Its README names no way to resume but the worker's new start by "a process monitor like upstart or systemd".
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

from bench.peers_field import environment, start
from bench.send import BODY
from tests import services
from tests.fakes.ses import FakeSes

REQUIREMENTS = ("nuntius[anymail]==2.5.0", "Django<4", "psycopg2-binary")
SMTP, ANYMAIL = "django.core.mail.backends.smtp.EmailBackend", "anymail.backends.amazon_ses.EmailBackend"

_SETTINGS = """
INSTALLED_APPS += ["stdimage", "nuntius", "anymail", "news"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", **{database!r}}}}}
EMAIL_HOST, EMAIL_PORT = "127.0.0.1", {smtp_port}
NUNTIUS_EMAIL_BACKEND = {backend!r}
NUNTIUS_SUBSCRIBER_MODEL = "news.Subscriber"
NUNTIUS_SEGMENT_MODEL = "news.everybody"
NUNTIUS_PUBLIC_URL = "http://127.0.0.1:9"
NUNTIUS_MAX_SENDING_RATE = 10000  # its default is 50 a second; this is no limit
NUNTIUS_MAX_CONCURRENT_SENDERS = {senders}  # its default is 4
"""

_MODELS = """
from django.db import models
from nuntius.models import BaseSegment, BaseSubscriber

class Subscriber(BaseSubscriber):
    def get_subscriber_data(self):
        return {"email": self.email, "leave_url": f"https://letter.example/leave/{self.pk}"}

class Everybody(BaseSegment, models.Model):
    def get_display_name(self):
        return "Everybody"
    def get_subscribers_queryset(self):
        return Subscriber.objects.all()
    def get_subscribers_count(self):
        return Subscriber.objects.count()
"""

_ADMIN = """
from django.contrib import admin
from news.models import Everybody

@admin.register(Everybody)
class EverybodyAdmin(admin.ModelAdmin):
    search_fields = ("id",)
"""

_URLS = """
from django.contrib import admin
from django.urls import include, path
urlpatterns = [path("admin/", admin.site.urls), path("nuntius/", include("nuntius.urls"))]
"""

_FILL = """
from nuntius.models import Campaign
from news.models import Everybody, Subscriber
Subscriber.objects.bulk_create(
    [Subscriber(email=f"subscriber-{{n}}@example.org", subscriber_status=1) for n in range(1, {subscribers} + 1)],
    batch_size=1000)
Campaign.objects.create(
    name="An issue", segment=Everybody.objects.create(), message_from_email="letter@example.org", message_subject="An issue",
    message_content_html=open("issue.html").read(), message_content_text="An issue\\n\\nLeave: {{{{ leave_url }}}}\\n")
"""

_RESULTS = {"P": "sending", "?": "unknown", "BL": "blocked", "RE": "rejected", "E": "error"}  # as its admin pages say


class Nuntius:
    """A Django project in ``folder``."""

    def __init__(self, folder: Path, url: str, ses: FakeSes, backend: str, senders: int) -> None:
        self.bin = environment("nuntius", REQUIREMENTS)
        self.folder, self.url = folder, url
        self.environ = {**ses.environ, "DJANGO_SETTINGS_MODULE": "letter.settings"}
        subprocess.run([str(self.bin / "django-admin"), "startproject", "letter", str(folder)], check=True)
        (folder / "news").mkdir()
        found = psycopg2.extensions.parse_dsn(url)
        database = {
            "NAME": found["dbname"],
            **{k.upper(): found[k] for k in ("user", "password", "host", "port") if k in found},
        }
        settings = _SETTINGS.format(database=database, smtp_port=ses.smtp_port, backend=backend, senders=senders)
        with (folder / "letter" / "settings.py").open("a") as file:
            file.write(settings)
        for name, text in {"__init__": "", "models": _MODELS, "admin": _ADMIN}.items():
            (folder / "news" / f"{name}.py").write_text(text)
        (folder / "letter" / "urls.py").write_text(_URLS)
        html = f'<html lang="en"><body>{BODY}<a href="{{{{ leave_url }}}}">Leave</a></body></html>'
        (folder / "issue.html").write_text(html)

    def fill(self, subscribers: int) -> None:
        """Tables, subscribers and a campaign that waits."""
        for words in (["makemigrations", "news"], ["migrate"], ["shell", "-c", _FILL.format(subscribers=subscribers)]):
            command = [str(self.bin / "python"), "manage.py", *words]
            environ = {"HOME": str(self.folder), "LANG": "C.UTF-8", **self.environ}
            done = subprocess.run(command, env=environ, cwd=self.folder, capture_output=True, text=True, timeout=300)
            if done.returncode:
                raise AssertionError(f"nuntius: manage.py {words[0]}: {done.stderr[-800:]}")

    def start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "worker.log").open("ab") as output:
            command = [str(self.bin / "python"), "manage.py", "nuntius_worker"]
            process = start(command, self.environ, self.folder, output)
        time.sleep(4)  # Django's start; it says nothing when it is ready
        if process.poll() is not None:
            raise AssertionError(f"nuntius does not start: {(self.folder / 'worker.log').read_text()[-800:]}")
        return process

    def send(self) -> None:
        """What the button "Send" of its admin pages does: the status "sending"."""
        self._sql("UPDATE nuntius_campaign SET status = 1")

    def finished(self) -> bool:
        """Sent or failed by its own word, which comes when the last email was given out, and nobody is "sending" any more."""
        return self._status() == 3 or (self._status() == 2 and not self._results().get("P"))

    def record(self) -> str:
        counted = ", ".join(f"{number:,} {_RESULTS.get(name, name)}" for name, number in sorted(self._results().items()))
        return f"{counted}; campaign {['waiting', 'sending', 'sent', 'error'][self._status()]}"

    def _status(self) -> int:
        return int(self._sql("SELECT status FROM nuntius_campaign")[0][0])

    def _results(self) -> dict[str, int]:
        return {str(name): int(n) for name, n in self._sql("SELECT result, count(*) FROM nuntius_campaignsentevent GROUP BY 1")}

    def _sql(self, statement: str) -> list[tuple[int | str, ...]]:
        connection = psycopg2.connect(self.url)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []
        finally:
            connection.close()


@contextmanager
def nuntius(server: str, ses: FakeSes, subscribers: int, backend: str, senders: int) -> Iterator[Nuntius]:
    """Ready to send, in a new database on this Postgres server."""
    name = f"peers_{secrets.token_hex(6)}"
    services.run_outside_transaction(server, f'CREATE DATABASE "{name}"')
    try:
        with services.scratch("nuntius") as folder:
            peer = Nuntius(folder, services.on_database(server, name), ses, backend, senders)
            peer.fill(subscribers)
            yield peer
    finally:
        services.run_outside_transaction(server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
