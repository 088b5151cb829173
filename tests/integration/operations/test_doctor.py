"""``postmerge doctor``, with SES, SNS, SQS, DNS and TLS on sockets of this machine."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from mailer import cli
from mailer.core.db import Database
from mailer.core.settings import Settings
from mailer.fakes.fake_ses_process import FakeSes
from mailer.flows.operations.doctor import ExamineOptions, aws_services, dns_client, examine, run_simulation
from mailer.flows.operations.doctor.checkups import Checkup, CheckupState
from mailer.transports.aws_setup import AwsSetup, name_action
from mailer.transports.ses_fast import FastSes
from tests.conftest import ROOT
from tests.factories import settings
from tests.fakes import tls
from tests.fakes.dns import FakeDns, fake_dns
from tests.web import Web, served

DOMAIN, TOPIC = "news.example.org", "arn:aws:sns:eu-central-1:000000000000:events"
TOKENS = ["aaa", "bbb", "ccc"]
QUEUE = "arn:aws:sqs:eu-central-1:000000000000:events"
DKIM = {(f"{one}._domainkey.{DOMAIN}", "CNAME"): [f"{one}.dkim.amazonses.com."] for one in TOKENS}
ZONE = {
    **DKIM,
    (DOMAIN, "MX"): ["10 mail.example.org."],
    (f"bounce.{DOMAIN}", "MX"): ["10 feedback-smtp.eu-central-1.amazonses.com."],
    (f"bounce.{DOMAIN}", "TXT"): ['"v=spf1 include:amazonses.com ~all"'],
    (f"_dmarc.{DOMAIN}", "TXT"): ['"v=DMARC1; p=quarantine; rua=mailto:d@example.org"'],
}
IDENTITY = {
    "DkimAttributes": {"SigningEnabled": True, "Status": "SUCCESS", "Tokens": TOKENS, "SigningAttributesOrigin": "AWS_SES"},
    "MailFromAttributes": {"MailFromDomain": f"bounce.{DOMAIN}", "MailFromDomainStatus": "SUCCESS"},
}
SETUP: dict[str, Any] = {
    "account": {"SuppressionAttributes": {"SuppressedReasons": ["BOUNCE", "COMPLAINT"]}},
    "identities": {DOMAIN: IDENTITY},
    "configuration_sets": {
        "postmerge": {
            "destinations": [
                {
                    "Name": "postmerge",
                    "Enabled": True,
                    "MatchingEventTypes": list(aws_services.NEEDED_EVENTS),
                    "SnsDestination": {"TopicArn": TOPIC},
                }
            ]
        }
    },
    "topics": {
        TOPIC: {
            "attributes": {"SignatureVersion": "2"},
            "subscriptions": [{"SubscriptionArn": f"{TOPIC}:1", "Protocol": "sqs", "Endpoint": QUEUE}],
        }
    },
    "queue": {"Policy": json.dumps(aws_services.make_queue_policy(QUEUE, TOPIC)), "RedrivePolicy": "{}"},
    "behind_s": 0,
}


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDns]:
    monkeypatch.setattr(dns_client, "LOOKUP_SECONDS", 0.3)
    with fake_dns(dict(ZONE)) as fake:
        yield fake


@pytest.fixture(scope="module")
def aws(fake_ses: FakeSes) -> AwsSetup:
    """AWS's clients, which take half a second to create."""
    return AwsSetup()


@pytest.fixture
def conf(tmp_path: Path, ses: FakeSes, database_url: str, redis_url: str) -> Settings:
    ses.control(setup=SETUP, identities={DOMAIN: "verified"}, events={})
    return settings(
        tmp_path,
        database_url,
        redis_url,
        transport="ses",
        sender=f"The Letter <letter@{DOMAIN}>",
        ses_configuration_set="postmerge",
        sns_topic=TOPIC,
        sqs_queue_url=ses.queue_url,
        connections=4,
    )


def found_by(conf: Settings, name_server: FakeDns, aws: AwsSetup) -> dict[str, Checkup]:
    """All lines except those of URLs, by name."""
    lines = list(examine(conf, ExamineOptions(name_server.address, allow_private=True, aws=aws)))
    return {one.name: one for one in lines if "URL" not in one.name and "unsubscribe" not in one.name}


def test_a_newsletter_that_is_set_up_well_has_only_fine_lines(conf: Settings, name_server: FakeDns, aws: AwsSetup) -> None:
    found = found_by(conf, name_server, aws)
    assert [one for one in found.values() if one.state is not CheckupState.FINE] == []
    assert {"database", "Redis", "SES identity", "SES events", "SQS policy", "SPF", "DKIM", "DMARC alignment", "MX"} <= set(
        found
    )


def _changed(path: str, value: Any) -> dict[str, Any]:
    """The set-up with one value changed, at ``a/b/c``; a missing value removes the key."""
    setup = json.loads(json.dumps(SETUP))
    *way, last = [part.replace("~", "/") for part in path.split("/")]
    here = setup
    for part in way:
        here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
    if value is None:
        del here[last]
    else:
        here[last] = value
    return dict(setup)


@pytest.mark.parametrize(
    ("path", "value", "line", "fix"),
    [
        ("account/ProductionAccessEnabled", False, "SES sandbox", "put-account-details"),
        ("account/SendingEnabled", False, "SES account", "SES console"),
        ("account/EnforcementStatus", "PROBATION", "SES account", "AWS's message"),
        ("configuration_sets", {}, "configuration set", "create-configuration-set --configuration-set-name postmerge"),
        ("configuration_sets/postmerge/destinations", [], "SES events", f"TopicArn={TOPIC}"),
        ("configuration_sets/postmerge/destinations/0/Enabled", False, "SES events", "update-configuration-set-event-dest"),
        ("configuration_sets/postmerge/destinations/0/MatchingEventTypes", ["OPEN"], "tracking", "Remove OPEN and CLICK"),
        ("configuration_sets/postmerge/SendingOptions", {"SendingEnabled": False}, "configuration set", "--sending-enabled"),
        (
            "configuration_sets/postmerge/VdmOptions",
            {"DashboardOptions": {"EngagementMetrics": "ENABLED"}},
            "tracking",
            "EngagementMetrics=DISABLED",
        ),
        ("topics", {}, "SNS topic", "aws sns create-topic --name events"),
        (f"topics/{TOPIC}/subscriptions", [], "SNS subscription", f"--notification-endpoint {QUEUE}"),
        ("queue/Policy", None, "SQS policy", "sqs:SendMessage"),
        ("queue/Policy", "not JSON", "SQS policy", TOPIC),
        ("denied", ["ses:GetAccount"], "SES account", "allows ses:GetAccount"),
        ("denied", ["ses:GetEmailIdentity"], "SES identity", "allows ses:GetEmailIdentity"),
        ("denied", ["ses:GetConfigurationSet"], "configuration set", "allows ses:GetConfigurationSet"),
        ("denied", ["sns:GetTopicAttributes"], "SNS topic", "allows sns:GetTopicAttributes"),
        ("denied", ["sqs:GetQueueAttributes"], "SQS queue", "allows sqs:GetQueueAttributes"),
        ("denied", ["sqs:ReceiveMessage"], "SQS permissions", "allows sqs:ReceiveMessage"),
        ("denied", ["sqs:DeleteMessageBatch"], "SQS permissions", "allows sqs:DeleteMessage"),
        ("behind_s", 600, "AWS's time", "timedatectl set-ntp true"),
        (f"identities/{DOMAIN}/DkimAttributes/SigningEnabled", False, "DKIM", "--signing-enabled"),
        (f"identities/{DOMAIN}/DkimAttributes/Status", "PENDING", "DKIM", "72 hours"),
        (f"identities/{DOMAIN}/VerifiedForSendingStatus", False, "SES identity", "DKIM records below"),
    ],
)
def test_a_fault_at_aws_is_named_with_the_command_that_corrects_it(
    conf: Settings, ses: FakeSes, name_server: FakeDns, aws: AwsSetup, path: str, value: Any, line: str, fix: str
) -> None:
    ses.control(setup=_changed(path, value))
    one = found_by(conf, name_server, aws)[line]
    assert (one.state, fix in one.fix) == (CheckupState.WRONG, True), one


def test_an_address_alone_or_nothing_verified_is_not_enough(
    conf: Settings, ses: FakeSes, name_server: FakeDns, aws: AwsSetup
) -> None:
    for identities, said in (({}, "SES does not know"), ({f"letter@{DOMAIN}": "verified"}, "not its domain")):
        ses.control(identities=identities)
        one = found_by(conf, name_server, aws)["SES identity"]
        assert (one.state, said in one.found) == (CheckupState.WRONG, True)
        assert one.fix == f"aws sesv2 create-email-identity --email-identity {DOMAIN}"


def test_wrong_credentials_give_one_line_and_what_to_set(
    conf: Settings, ses: FakeSes, name_server: FakeDns, aws: AwsSetup
) -> None:
    ses.control(credential="AKIAOTHER")
    one = found_by(conf, name_server, aws)["SES account"]
    assert one.state is CheckupState.WRONG
    assert "AWS_ACCESS_KEY_ID" in one.fix


@pytest.mark.parametrize(
    ("name", "kind", "records", "line", "said", "fix"),
    [
        (f"aaa._domainkey.{DOMAIN}", "CNAME", None, "DKIM", "1 of 3", f"aaa._domainkey.{DOMAIN} CNAME aaa.dkim.amazonses.com"),
        (f"aaa._domainkey.{DOMAIN}", "CNAME", ["evil.example."], "DKIM", "1 of 3", "CNAME aaa.dkim.amazonses.com"),
        (f"bounce.{DOMAIN}", "TXT", None, "SPF", "no SPF record", 'TXT "v=spf1 include:amazonses.com ~all"'),
        (f"bounce.{DOMAIN}", "TXT", ['"v=spf1 a -all"'], "SPF", "not name SES", '"v=spf1 include:amazonses.com a -all"'),
        (f"bounce.{DOMAIN}", "TXT", ['"v=spf1 include:amazonses.com +all"'], "SPF", "lets anybody send", "~all"),
        (
            f"bounce.{DOMAIN}", "TXT", ['"v=spf1 a ~all"', '"v=spf1 include:amazonses.com -all"'],
            "SPF", "2 SPF records", '"v=spf1 a include:amazonses.com ~all"',
        ),
        (f"bounce.{DOMAIN}", "MX", None, "MAIL FROM", "no MX", "MX 10 feedback-smtp.eu-central-1.amazonses.com"),
        (f"_dmarc.{DOMAIN}", "TXT", None, "DMARC", "no DMARC record", f'_dmarc.{DOMAIN} TXT "v=DMARC1; p=none'),
        (f"_dmarc.{DOMAIN}", "TXT", ['"v=DMARC1; p=maybe"'], "DMARC", "not valid", "p=none"),
        (DOMAIN, "MX", None, "MX", "accepts no email", f"{DOMAIN} MX 10"),
        (DOMAIN, "MX", ["0 ."], "MX", "declares that it accepts no email", f"{DOMAIN} MX 10"),
    ],
)  # fmt: skip
def test_a_wrong_record_is_named_with_the_right_one(
    conf: Settings,
    name_server: FakeDns,
    aws: AwsSetup,
    name: str,
    kind: str,
    records: list[str] | None,
    line: str,
    said: str,
    fix: str,
) -> None:
    zone = {key: value for key, value in ZONE.items() if key != (name, kind)}
    name_server.zone = {**zone, (name, kind): records} if records else zone
    one = found_by(conf, name_server, aws)[line]
    assert (one.state, said in one.found, fix in one.fix) == (CheckupState.WRONG, True, True), one


def test_dmarc_is_found_at_a_parent_and_its_strictness_counts(
    conf: Settings, ses: FakeSes, name_server: FakeDns, aws: AwsSetup
) -> None:
    parent = {"DkimAttributes": IDENTITY["DkimAttributes"]}
    dkim = {(f"{one}._domainkey.example.org", "CNAME"): [f"{one}.dkim.amazonses.com."] for one in TOKENS}
    ses.control(identities={"example.org": "verified"}, setup=SETUP | {"identities": {"example.org": parent}})
    for record, state in (("v=DMARC1; p=reject", "fine"), ("v=DMARC1; p=reject; adkim=s", "wrong")):
        name_server.zone = {**dkim, (DOMAIN, "MX"): ["10 m.example.org."], ("_dmarc.example.org", "TXT"): [f'"{record}"']}
        found = found_by(conf, name_server, aws)
        assert found["DMARC"].found == "_dmarc.example.org: p=reject"
        assert found["DMARC alignment"].state == state
    assert found["DMARC alignment"].fix == '_dmarc.example.org TXT "v=DMARC1; p=reject; adkim=r"'
    assert found["MAIL FROM"].state is CheckupState.ADVICE


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        ("silent", "did not answer within"),
        ("garbage", "did not answer within|gave no usable answer"),
        ("refuse", "gave no usable answer"),
        ("invent", "for a name that cannot exist, so nothing it says counts"),
    ],
)
def test_a_name_server_that_is_silent_or_lies_proves_nothing(
    conf: Settings, name_server: FakeDns, aws: AwsSetup, behaviour: str, said: str
) -> None:
    name_server.behaviour = behaviour
    found = found_by(conf, name_server, aws)
    assert {"SPF", "DKIM", "DMARC", "MX"} & set(found) == set()
    assert found["DNS"].state is CheckupState.UNKNOWN
    assert any(one in found["DNS"].found for one in said.split("|")), found["DNS"]
    assert "--name-server" in found["DNS"].fix
    assert len(name_server.asked) < 20


def test_a_sender_at_a_free_provider_is_refused(conf: Settings, name_server: FakeDns, aws: AwsSetup) -> None:
    found = found_by(replace(conf, sender="ada@gmail.com"), name_server, aws)
    assert found["sender domain"].state is CheckupState.WRONG


def test_what_this_machine_lacks_is_named(tmp_path: Path, name_server: FakeDns, aws: AwsSetup) -> None:
    bare = Settings(redis_url="redis://127.0.0.1:1/0", database_url="postgresql://127.0.0.1:1/none", build=tmp_path / "build")
    found = found_by(bare, name_server, aws)
    for name in ("secret", "sender", "postal address", "database", "Redis"):
        assert found[name].state is CheckupState.WRONG, name
        assert found[name].fix
    assert found["transport"].state is CheckupState.ADVICE


def test_each_simulated_mailbox_gets_an_email_and_its_event_comes_back(
    conf: Settings, ses: FakeSes, database: Database
) -> None:
    ses.control(events={"late_s": 0.1})
    lines = list(run_simulation(database, conf, FastSes("postmerge", 4), 10))
    assert [(one.name.partition(": ")[2], one.state) for one in lines] == [
        (mailbox, CheckupState.FINE) for mailbox in ("success", "bounce", "complaint", "ooto", "suppressionlist")
    ]
    assert [one["to"].partition("@")[0] for one in ses.accepted()] == [
        "success", "bounce", "complaint", "ooto", "suppressionlist",
    ]  # fmt: skip
    with database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM suppressions") == 0
    stats = ses.stats()
    assert (stats["waiting"], stats["hidden"]) == (0, 0)


@pytest.mark.slow
def test_events_that_do_not_come_are_named(conf: Settings, database: Database) -> None:
    lines = list(run_simulation(database, conf, FastSes("postmerge", 4), 1))
    assert {one.state for one in lines} == {CheckupState.WRONG}
    assert "still accepted, where delivered was expected" in lines[0].found


def test_an_email_that_ses_refuses_is_named_once(conf: Settings, ses: FakeSes, database: Database) -> None:
    ses.control(sending=False)
    [one] = run_simulation(database, conf, FastSes("postmerge", 4), 1)
    assert (one.name, one.state) == ("simulator: success", CheckupState.WRONG)
    assert "SendingPausedException" in one.found


def test_the_unsubscribe_link_is_tried_over_tls(
    tmp_path: Path, database: Database, conf: Settings, name_server: FakeDns, aws: AwsSetup, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tls.certificate(tmp_path)
    with (
        served(Web(replace(conf, api_url="https://127.0.0.1"), database).app()) as url,
        tls.proxy(pem, int(url.rpartition(":")[2])) as secure,
    ):
        public = replace(conf, api_url=secure, site_url=secure)
        lines = {one.name: one for one in examine(public, ExamineOptions(name_server.address, True, aws))}
        assert "no valid certificate" in lines["POSTMERGE_API_URL"].found
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
        lines = {one.name: one for one in examine(public, ExamineOptions(name_server.address, True, aws))}
    assert lines["unsubscribe link"].state is CheckupState.FINE, lines
    assert lines["one-click unsubscribe"].state is CheckupState.FINE
    assert "certificate expires in" in lines["POSTMERGE_API_URL"].found or lines["POSTMERGE_API_URL"].passed


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://127.0.0.1:8025", "on this machine only"),
        ("http://news.example.org", "is not https"),
        ("https://inside.example.org", "is 10.1.2.3, which cannot be reached from outside"),
        ("https://nowhere.example.org", "has no address in DNS"),
    ],
)
def test_a_server_that_nobody_outside_can_reach_is_named(
    conf: Settings, name_server: FakeDns, aws: AwsSetup, url: str, said: str
) -> None:
    name_server.zone = {**ZONE, ("inside.example.org", "A"): ["10.1.2.3"]}
    lines = {one.name: one for one in examine(replace(conf, api_url=url), ExamineOptions(name_server.address))}
    one = lines["POSTMERGE_API_URL"]
    assert (one.state, said in one.found) == (CheckupState.WRONG, True), one


def test_the_command_prints_lines_or_json_and_exits_with_1(
    conf: Settings, name_server: FakeDns, aws: AwsSetup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in {
        "DATABASE_URL": conf.database_url, "REDIS_URL": conf.redis_url, "POSTMERGE_TRANSPORT": "ses",
        "POSTMERGE_SENDER": conf.sender, "POSTMERGE_SECRET": conf.secret, "POSTMERGE_SNS_TOPIC": TOPIC,
        "POSTMERGE_SQS_QUEUE_URL": conf.sqs_queue_url, "POSTMERGE_SES_CONFIGURATION_SET": "postmerge",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    options = ["doctor", "--no-emails", "--name-server", name_server.address]
    done = CliRunner().invoke(cli.cli, options)
    assert done.exit_code == 1
    assert "wrong   postal address: None is set" in done.output
    assert 'POSTMERGE_POSTAL_ADDRESS="Street, City"' in done.output
    facts = json.loads(CliRunner().invoke(cli.cli, [*options, "--json"]).output)
    assert facts["passed"] is False
    assert {"name": "secret", "state": "fine", "found": "set", "fix": ""} in facts["checks"]
    assert [field.name for field in dataclasses.fields(Checkup)] == list(facts["checks"][0])


def test_the_policy_in_the_guide_allows_what_the_program_calls_and_nothing_else() -> None:
    guide = (ROOT / "docs" / "how-to" / "ses.md").read_text(encoding="utf-8")
    [policy] = [json.loads(one) for one in re.findall(r"```json\n(.*?)```", guide, re.DOTALL) if '"Statement": [' in one]
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    source = Path(aws_services.__file__).read_text(encoding="utf-8")
    asked = {name_action(*call) for call in re.findall(r'\.ask\("(\w+)", "(\w+)"', source)}
    sending = {"ses:SendEmail", "ses:SendRawEmail", "ses:DeleteSuppressedDestination"}
    assert {"ses:GetAccount", "sns:GetTopicAttributes", "sqs:ReceiveMessage"} <= asked
    assert allowed == asked | sending


def test_the_queue_in_the_guide_is_one_that_the_topic_may_send_to() -> None:
    guide = (ROOT / "docs" / "how-to" / "ses.md").read_text(encoding="utf-8")
    [queue] = [json.loads(one) for one in re.findall(r"```json\n(.*?)```", guide, re.DOTALL) if '"RedrivePolicy"' in one]
    topic = re.findall(r"^POSTMERGE_SNS_TOPIC=(\S+)", guide, re.MULTILINE)[0]
    assert aws_services.may_send(queue["Policy"], topic)
    assert not aws_services.may_send(queue["Policy"], f"{topic}-of-others")
    assert all(kind in guide for kind in aws_services.NEEDED_EVENTS)
