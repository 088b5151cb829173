"""The doctor at AWS: the SES account, the configuration set, and the way of the events through SNS and SQS."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from fnmatch import fnmatchcase
from typing import Any

from mailer.core.message import mailable
from mailer.core.settings import Settings
from mailer.flows.operations.doctor.checkups import Checkup, advise, fine, unknown, wrong
from mailer.flows.operations.doctor.machine import compare_times
from mailer.transports.aws_setup import AwsProblem, AwsRefusal, AwsSetup

NEEDED_EVENTS = ("SEND", "REJECT", "DELIVERY", "BOUNCE", "COMPLAINT", "DELIVERY_DELAY", "RENDERING_FAILURE")
_UNWANTED_EVENTS = ("OPEN", "CLICK")
_CREDENTIALS_FIX = "Set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION, or give this machine a role."
_POLICY_FIX = "Paste the policy of docs/how-to/ses.md, which allows {}."
SIMULATOR_ADDRESS = "success@simulator.amazonses.com"
_FEW_EMAILS = 1000


@dataclass(frozen=True)
class SesFacts:
    """SES's answers; an AwsRefusal where there is none. ``identity`` is the name of the one that signs the sender's emails."""

    region: str = ""
    account: Mapping[str, Any] = field(default_factory=dict)
    identity: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    refusal: AwsRefusal | None = None
    identity_refusal: AwsRefusal | None = None

    @property
    def mail_from(self) -> str:
        """The custom domain of the envelope's sender, or ''."""
        return str(self.details.get("MailFromAttributes", {}).get("MailFromDomain") or "")


def read_ses_facts(aws: AwsSetup, settings: Settings) -> SesFacts:
    """Ask SES about the account and the sender's identity: the address, its domain, or a parent domain."""
    try:
        account = aws.ask("sesv2", "get_account")
    except AwsRefusal as refusal:
        return SesFacts(aws.region, refusal=refusal)
    if not settings.mailbox:
        return SesFacts(aws.region, account)
    address = mailable(settings.mailbox)
    labels = address.rpartition("@")[2].lower().split(".")
    parents = [".".join(labels[at:]) for at in range(len(labels) - 1)]
    for name in (address, *parents):
        try:
            return SesFacts(aws.region, account, name, aws.ask("sesv2", "get_email_identity", EmailIdentity=name))
        except AwsRefusal as refusal:
            if refusal.problem is not AwsProblem.MISSING:
                return SesFacts(aws.region, account, identity_refusal=refusal)
    return SesFacts(aws.region, account)


def examine_ses(settings: Settings, found: SesFacts) -> Iterator[Checkup]:
    """Check the account, and that the sender is verified."""
    if found.refusal:
        yield explain("SES account", found.refusal)
        return
    yield from _check_account(found)
    yield _check_identity(settings, found)
    if (sent_at := _read_date(found.account)) is not None:
        yield compare_times("AWS's time", "AWS", sent_at)


def _check_account(found: SesFacts) -> Iterator[Checkup]:
    account, quota = found.account, found.account.get("SendQuota", {})
    status = str(account.get("EnforcementStatus", "HEALTHY"))
    if not account.get("SendingEnabled", True) or status == "SHUTDOWN":
        how = "Open the SES console (Account dashboard) and follow what AWS asks for."
        yield wrong("SES account", f"SES has switched sending off ({status}).", how)
    elif status != "HEALTHY":
        yield wrong("SES account", f"AWS is watching this account: {status}.", "Read AWS's message in the SES console.")
    else:
        yield fine("SES account", f"may send, in {found.region}")
    if account.get("ProductionAccessEnabled", True):
        yield fine("SES sandbox", "production access")
    else:
        how = (
            "aws sesv2 put-account-details --production-access-enabled --mail-type MARKETING"
            " --website-url URL --contact-language EN"
        )
        yield wrong("SES sandbox", "The account is in the sandbox: only verified addresses get email.", how)
    daily, sent, rate = (float(quota.get(name, 0)) for name in ("Max24HourSend", "SentLast24Hours", "MaxSendRate"))
    left = f"{daily - sent:,.0f} of {daily:,.0f} emails left today, {rate:,.0f} a second" if daily >= 0 else "no limit"
    if daily >= 0 and daily - sent < _FEW_EMAILS:
        yield advise("SES quota", left, "Ask for more in the Service Quotas console (Amazon SES, Sending quota).")
    else:
        yield fine("SES quota", left)
    reasons = account.get("SuppressionAttributes", {}).get("SuppressedReasons", [])
    if {"BOUNCE", "COMPLAINT"} <= set(reasons):
        yield fine("SES suppression list", "for bounces and complaints")
    else:
        how = "aws sesv2 put-account-suppression-attributes --suppressed-reasons BOUNCE COMPLAINT"
        yield advise("SES suppression list", f"only for {', '.join(reasons) or 'nothing'}", how)


def _check_identity(settings: Settings, found: SesFacts) -> Checkup:
    domain = settings.mailbox.rpartition("@")[2]
    create = f"aws sesv2 create-email-identity --email-identity {domain or 'your.domain'}"
    if found.identity_refusal:
        return explain("SES identity", found.identity_refusal)
    if not found.identity:
        return wrong("SES identity", f"SES does not know {settings.mailbox or 'a sender'} or its domain.", create)
    if not found.details.get("VerifiedForSendingStatus"):
        why = found.details.get("VerificationInfo", {}).get("ErrorType", "")
        found_text = f"{found.identity} is not verified yet{f' ({why})' if why else ''}."
        return wrong("SES identity", found_text, "Publish the DKIM records below; for an address, open the link that AWS sent.")
    if "@" in found.identity:
        said = f"{found.identity} is verified, but not its domain, so DKIM signs for amazonses.com and DMARC fails."
        return wrong("SES identity", said, create)
    return fine("SES identity", f"{found.identity} is verified")


def examine_events(aws: AwsSetup, settings: Settings) -> Iterator[Checkup]:
    """Check the configuration set, the topic, its subscription and the queue."""
    name = settings.ses_configuration_set
    if not name:
        how = "POSTMERGE_SES_CONFIGURATION_SET=postmerge, after the set-up of docs/how-to/ses.md"
        yield wrong("configuration set", "None is set: bounces and complaints would never be known.", how)
    else:
        yield from _check_configuration_set(aws, settings, name)
    if settings.sns_topic:
        yield from _check_topic(aws, settings)
    else:
        yield wrong("SNS topic", "None is set.", "POSTMERGE_SNS_TOPIC=arn:aws:sns:REGION:ACCOUNT:NAME")
    if settings.sqs_queue_url:
        yield from _check_queue(aws, settings)
    else:
        found = "None is set: SNS has to post to /webhooks/ses, and gives up after about an hour without a response."
        yield advise("SQS queue", found, "POSTMERGE_SQS_QUEUE_URL=https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
    yield _check_suppression_permission(aws)


def _check_configuration_set(aws: AwsSetup, settings: Settings, name: str) -> Iterator[Checkup]:
    try:
        facts = aws.ask("sesv2", "get_configuration_set", ConfigurationSetName=name)
        listed = aws.ask("sesv2", "get_configuration_set_event_destinations", ConfigurationSetName=name)
    except AwsRefusal as refusal:
        create = f"aws sesv2 create-configuration-set --configuration-set-name {name}"
        yield explain("configuration set", refusal, f"SES has no configuration set {name}.", create)
        return
    if facts.get("SendingOptions", {}).get("SendingEnabled", True):
        yield fine("configuration set", name)
    else:
        how = f"aws sesv2 put-configuration-set-sending-options --configuration-set-name {name} --sending-enabled"
        yield wrong("configuration set", f"Sending is switched off for {name}.", how)
    yield _check_destinations(settings, name, listed.get("EventDestinations", []))
    yield _check_tracking(name, facts, listed.get("EventDestinations", []))


def _check_destinations(settings: Settings, name: str, destinations: list[dict[str, Any]]) -> Checkup:
    ours = [
        one
        for one in destinations
        if one.get("Enabled") and one.get("SnsDestination", {}).get("TopicArn") == settings.sns_topic and settings.sns_topic
    ]
    got = {kind for one in ours for kind in one.get("MatchingEventTypes", [])}
    missing = [kind for kind in NEEDED_EVENTS if kind not in got]
    if not missing:
        return fine("SES events", "all seven kinds go to the topic")
    topic = settings.sns_topic or "arn:aws:sns:REGION:ACCOUNT:NAME"
    change = "update" if any(one.get("Name") == "postmerge" for one in destinations) else "create"
    how = (
        f"aws sesv2 {change}-configuration-set-event-destination --configuration-set-name {name}"
        " --event-destination-name postmerge --event-destination"
        f" 'Enabled=true,MatchingEventTypes={','.join(NEEDED_EVENTS)},SnsDestination={{TopicArn={topic}}}'"
    )
    return wrong("SES events", f"These do not go to {topic}: {', '.join(missing)}.", how)


def _check_tracking(name: str, facts: Mapping[str, Any], destinations: list[dict[str, Any]]) -> Checkup:
    """SES would put a picture into each email and rewrite its links if anybody asked for opens or clicks."""
    asked = [one["Name"] for one in destinations if set(one.get("MatchingEventTypes", [])) & set(_UNWANTED_EVENTS)]
    metrics = facts.get("VdmOptions", {}).get("DashboardOptions", {}).get("EngagementMetrics") == "ENABLED"
    if not asked and not metrics:
        return fine("tracking", "SES counts no opens and rewrites no links")
    found = "SES changes the emails to count opens and clicks, so they differ from what was reviewed."
    if metrics:
        options = "DashboardOptions={EngagementMetrics=DISABLED}"
        how = f"aws sesv2 put-configuration-set-vdm-options --configuration-set-name {name} --vdm-options '{options}'"
    else:
        how = f"Remove OPEN and CLICK from the event destination {asked[0]} of {name} in the SES console."
    return wrong("tracking", found, how)


def _check_topic(aws: AwsSetup, settings: Settings) -> Iterator[Checkup]:
    topic = settings.sns_topic
    try:
        facts = aws.ask("sns", "get_topic_attributes", TopicArn=topic).get("Attributes", {})
        listed = aws.ask("sns", "list_subscriptions_by_topic", TopicArn=topic).get("Subscriptions", [])
    except AwsRefusal as refusal:
        name = topic.rpartition(":")[2]
        create = f"aws sns create-topic --name {name} --attributes SignatureVersion=2"
        yield explain("SNS topic", refusal, f"There is no topic {topic}.", create)
        return
    if not settings.sqs_queue_url and facts.get("SignatureVersion") != "2":
        how = f"aws sns set-topic-attributes --topic-arn {topic} --attribute-name SignatureVersion --attribute-value 2"
        yield wrong("SNS topic", "It signs with version 1, which /webhooks/ses refuses.", how)
    else:
        yield fine("SNS topic", topic.rpartition(":")[2])
    yield _check_subscription(settings, listed)


def _check_subscription(settings: Settings, listed: list[dict[str, Any]]) -> Checkup:
    confirmed = [one for one in listed if str(one.get("SubscriptionArn", "")).startswith("arn:")]
    if settings.sqs_queue_url:
        endpoint, protocol = _find_queue_arn(settings), "sqs"
        match = any(one.get("Protocol") == "sqs" and str(one.get("Endpoint")) == endpoint for one in confirmed)
    else:
        endpoint, protocol = f"{settings.api_url}/webhooks/ses", "https"
        match = any(one.get("Endpoint") == endpoint for one in confirmed)
    if match:
        return fine("SNS subscription", f"to {endpoint.rpartition(':')[2] if protocol == 'sqs' else endpoint}")
    how = f"aws sns subscribe --topic-arn {settings.sns_topic} --protocol {protocol} --notification-endpoint {endpoint}"
    return wrong("SNS subscription", f"The topic does not post to {endpoint}.", how)


def _find_queue_arn(settings: Settings) -> str:
    """Return the ARN of the queue, which is in the topic's region unless its URL says otherwise."""
    parts = settings.sqs_queue_url.split("/")
    host = parts[2].split(".")
    region = host[1] if host[0] == "sqs" and len(host) > 2 else settings.sns_topic.split(":")[3]
    partition = settings.sns_topic.split(":")[1] if settings.sns_topic.startswith("arn:") else "aws"
    return f"arn:{partition}:sqs:{region}:{parts[-2]}:{parts[-1]}"


def _check_queue(aws: AwsSetup, settings: Settings) -> Iterator[Checkup]:
    url = settings.sqs_queue_url
    name = url.rpartition("/")[2]
    try:
        facts = aws.ask("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["All"]).get("Attributes", {})
    except AwsRefusal as refusal:
        yield explain("SQS queue", refusal, f"There is no queue {url}.", f"aws sqs create-queue --queue-name {name}")
        return
    waiting = int(facts.get("ApproximateNumberOfMessages", 0))
    yield fine("SQS queue", f"{name}, {waiting:,} waiting")
    yield _check_queue_policy(settings, facts, url)
    if not facts.get("RedrivePolicy"):
        how = (
            f"aws sqs set-queue-attributes --queue-url {url} --attributes"
            ' \'{"RedrivePolicy":"{\\"deadLetterTargetArn\\":\\"ARN\\",\\"maxReceiveCount\\":\\"5\\"}"}\''
        )
        yield advise("SQS dead letters", "The queue has no dead-letter queue.", how)
    yield _check_queue_use(aws, url)


def _check_queue_policy(settings: Settings, facts: Mapping[str, Any], url: str) -> Checkup:
    if may_send(facts.get("Policy", ""), settings.sns_topic):
        return fine("SQS policy", "the topic may send to the queue")
    policy = json.dumps(make_queue_policy(_find_queue_arn(settings), settings.sns_topic), separators=(",", ":"))
    how = f"aws sqs set-queue-attributes --queue-url {url} --attributes {json.dumps({'Policy': policy})!r}"
    return wrong("SQS policy", "The topic may not send to the queue, so no event arrives.", how)


def make_queue_policy(queue_arn: str, topic: str) -> dict[str, Any]:
    """Return the policy that lets the topic, and nobody else, send to the queue."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "sns.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": queue_arn,
        "Condition": {"ArnEquals": {"aws:SourceArn": topic}},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def may_send(policy: str, topic: str) -> bool:
    """Return whether a queue's policy has a statement that lets this topic send."""
    try:
        statements = json.loads(policy or "{}").get("Statement", [])
    except (ValueError, AttributeError):
        return False
    every = statements if isinstance(statements, list) else [statements]
    return any(one.get("Effect") == "Allow" and _allows_sending(one, topic) for one in every)


def _allows_sending(statement: Mapping[str, Any], topic: str) -> bool:
    """Return whether a statement is about sending, and about this topic or any."""
    actions = statement.get("Action", [])
    if not any(
        one.lower() in ("sqs:sendmessage", "sqs:*", "*") for one in ([actions] if isinstance(actions, str) else actions)
    ):
        return False
    sources = re.findall(r'"(arn:[^"]*)"', json.dumps(statement.get("Condition", {})))
    return not sources or any(fnmatchcase(topic, one) for one in sources)


def _check_queue_use(aws: AwsSetup, url: str) -> Checkup:
    """Receive without hiding a message, and delete one that does not exist: both are harmless and prove the permission."""
    name = "SQS permissions"
    try:
        aws.ask("sqs", "receive_message", QueueUrl=url, MaxNumberOfMessages=1, WaitTimeSeconds=0, VisibilityTimeout=0)
        aws.ask("sqs", "delete_message_batch", QueueUrl=url, Entries=[{"Id": "0", "ReceiptHandle": "postmerge-doctor"}])
    except AwsRefusal as refusal:
        if refusal.problem is not AwsProblem.REFUSED:  # the receipt may be refused, after the permission was checked
            return explain(name, refusal)
    return fine(name, "receive and delete")


def _check_suppression_permission(aws: AwsSetup) -> Checkup:
    """Ask for an address that no list has: ``postmerge subscribers unsuppress`` needs this permission."""
    name = "suppression permission"
    try:
        aws.ask("sesv2", "get_suppressed_destination", EmailAddress=SIMULATOR_ADDRESS)
    except AwsRefusal as refusal:
        if refusal.problem is AwsProblem.DENIED:
            return advise(
                name, f"{refusal} `unsuppress` cannot lift SES's own suppressions.", _POLICY_FIX.format(refusal.action)
            )
        if refusal.problem is not AwsProblem.MISSING:
            return explain(name, refusal)
    return fine(name, "may read SES's own list")


def explain(name: str, refusal: AwsRefusal, missing: str = "", create: str = "") -> Checkup:
    """Return the line for a question that AWS did not answer."""
    match refusal.problem:
        case AwsProblem.MISSING if missing:
            return wrong(name, missing, create)
        case AwsProblem.DENIED:
            return wrong(name, str(refusal), _POLICY_FIX.format(refusal.action))
        case AwsProblem.CREDENTIALS:
            return wrong(name, str(refusal), _CREDENTIALS_FIX)
        case AwsProblem.UNREACHABLE:
            return unknown(name, str(refusal), "Check the network, the proxy and AWS_REGION, then try again.")
    return wrong(name, str(refusal), "Check the set-up with docs/how-to/ses.md.")


def _read_date(answer: Mapping[str, Any]) -> datetime | None:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date")
    return parsedate_to_datetime(date) if date else None
