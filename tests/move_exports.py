"""Made-up exports of other tools, laid out as the guides to moving name their files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests import archives

RECENT = datetime.now(UTC) - timedelta(days=30)
LONG_AGO = datetime(2019, 5, 1, 9, tzinfo=UTC)
PICTURE = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c4944415408d763f8cfc0000003010100"
    "18dd8db00000000049454e44ae426082"
)


def lay_out(tool: str, folder: Path) -> None:
    """Write the files that the guide of a tool imports. Ada is recent, Bob long subscribed, Carol unsubscribed, Dan bounced."""
    _TOOLS[tool](folder)


def _write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)


def _substack(folder: Path) -> None:
    archives.write_substack(folder / "substack.zip")
    _write(
        folder,
        subscribers="email,active_subscription,expiry,plan,email_disabled,created_at,first_payment_at\n"
        f"ada@example.org,true,2027-01-01T00:00:00.000Z,monthly,false,{RECENT:%Y-%m-%dT%H:%M:%S}.000Z,2026-01-01T00:00:00.000Z\n"
        f"bob@example.org,false,2027-06-30T00:00:00.000Z,other,false,{LONG_AGO:%Y-%m-%dT%H:%M:%S}.000Z,\n"
        f"carol@example.org,false,,other,true,{LONG_AGO:%Y-%m-%dT%H:%M:%S}.000Z,\n",
        blocked="email,state\ndan@example.org,bounced\neve@example.org,complained\n",
    )


def _ghost(folder: Path) -> None:
    (folder / "ghost" / "content" / "images" / "2023" / "03").mkdir(parents=True)
    (folder / "ghost" / "site.ghost.json").write_text(archives.ghost(archives.GHOST_POST))
    (folder / "ghost" / "content" / "images" / "2023" / "03" / "top.png").write_bytes(PICTURE)
    _write(
        folder,
        members="id,email,name,note,subscribed_to_emails,complimentary_plan,stripe_customer_id,created_at,deleted_at,labels,tiers\n"
        f"1,ada@example.org,Ada,,true,false,cus_ada,{RECENT:%Y-%m-%dT%H:%M:%S}.000Z,,fans,Paid\n"
        f"2,bob@example.org,Bob,,true,true,,{LONG_AGO:%Y-%m-%dT%H:%M:%S}.000Z,,,Paid\n"
        f"3,carol@example.org,Carol,,false,false,,{LONG_AGO:%Y-%m-%dT%H:%M:%S}.000Z,,,\n",
        bounces="address,code,error,created_at\ndan@example.org,550,No such user,2026-01-05T10:00:00Z\n",
        complaints="address,created_at\neve@example.org,2026-01-05T10:00:00Z\n",
        unsubscribes="address,tags,created_at\nfay@example.org,*,2026-01-05T10:00:00Z\n",
    )


def _buttondown(folder: Path) -> None:
    (folder / "emails").mkdir()
    (folder / "emails" / "hello-world.md").write_text(
        "---\nsubject: Hello world\npublish_date: 2024-01-05T10:00:00Z\nstatus: sent\nslug: hello-world\n---\n\nHello.\n"
    )
    head = "id,email_address,type,creation_date,tags,metadata,ip_address,source,notes,unsubscription_date\n"
    _write(
        folder,
        subscribers=f"{head}1,ada@example.org,premium,{RECENT:%Y-%m-%dT%H:%M:%SZ},fans,{{}},192.0.2.1,embedded_form,,\n"
        f"2,bob@example.org,gifted,{LONG_AGO:%Y-%m-%dT%H:%M:%SZ},,{{}},192.0.2.2,embedded_form,,\n"
        f"3,dan@example.org,undeliverable,{LONG_AGO:%Y-%m-%dT%H:%M:%SZ},,{{}},192.0.2.3,import,,\n",
        unsubscribed=f"{head}4,carol@example.org,unsubscribed,{LONG_AGO:%Y-%m-%dT%H:%M:%SZ},,{{}},192.0.2.4,import,,"
        "2025-01-01T00:00:00Z\n",
    )


def _mailchimp(folder: Path) -> None:
    (folder / "feed.xml").write_text(archives.ATOM)
    head = (
        "Email Address,First Name,MEMBER_RATING,OPTIN_TIME,OPTIN_IP,CONFIRM_TIME,CONFIRM_IP,LATITUDE,LONGITUDE,GMTOFF,DSTOFF,"
        "TIMEZONE,CC,REGION,{more}LAST_CHANGED,LEID,EUID,NOTES,TAGS\n"
    )
    line = (
        "{address},{name},4,{at:%Y-%m-%d %H:%M:%S},192.0.2.1,{at:%Y-%m-%d %H:%M:%S},192.0.2.1,,,,,,,,{more}"
        "2026-01-01 10:00:00,1,e1,,{tags}\n"
    )
    _write(
        folder,
        subscribed=head.format(more="")
        + line.format(address="ada@example.org", name="Ada", at=RECENT, more="", tags='"""fans"""')
        + line.format(address="bob@example.org", name="Bob", at=LONG_AGO, more="", tags=""),
        unsubscribed=head.format(more="UNSUB_TIME,UNSUB_CAMPAIGN_TITLE,UNSUB_CAMPAIGN_ID,UNSUB_REASON,UNSUB_REASON_OTHER,")
        + line.format(address="carol@example.org", name="Carol", at=LONG_AGO, more="2025-01-01 10:00:00,,,NORMAL,,", tags=""),
        cleaned=head.format(more="CLEAN_TIME,CLEAN_CAMPAIGN_TITLE,CLEAN_CAMPAIGN_ID,")
        + line.format(address="dan@example.org", name="Dan", at=LONG_AGO, more="2025-01-01 10:00:00,,,", tags=""),
    )


def _jekyll(folder: Path) -> None:
    files: dict[str, bytes] = {
        "_config.yml": b"title: Old site\npermalink: /:year/:month/:title/\nplugins: [jekyll-feed]\n",
        "_posts/2023-03-01-hello-world.md": b"---\ntitle: Hello world\nimage: /assets/top.png\n---\nHello.\n",
        "assets/top.png": PICTURE,
    }
    for name, content in files.items():
        path = folder / "jekyll" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    _write(
        folder,
        list=f"Email,Name,Joined\nada@example.org,Ada,{RECENT:%Y-%m-%d}\nbob@example.org,Bob,{LONG_AGO:%Y-%m-%d}\n",
        blocked="email,state\ncarol@example.org,unsubscribed\ndan@example.org,bounced\n",
    )


_TOOLS = {
    "substack": _substack,
    "ghost": _ghost,
    "buttondown": _buttondown,
    "mailchimp": _mailchimp,
    "jekyll": _jekyll,
}
