"""Pages about money: joining, gifts, pause, leaving, withdrawing, reading in full; and what is private stays private."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from mailer.core import tokens
from mailer.core.db import Database
from mailer.core.edition import Edition
from mailer.fakes import fake_stripe_routes
from mailer.fakes.fake_stripe import FakeStripe
from mailer.fakes.fake_stripe_books import DAY, MONTH
from mailer.flows.billing import gifts, subscription_changes
from mailer.flows.billing.entitlements import EntitlementState
from mailer.flows.publishing.publish import Request, adopt_issues, publish
from mailer.flows.scheduled.send_scheduler import advance_sends
from mailer.flows.sending.delivery_worker import deliver_send
from mailer.flows.subscribers import erasure, signup, signup_limits, subscriber_admin
from mailer.flows.transactional.transactional_worker import deliver_batch
from mailer.store.billing import subscriptions
from mailer.store.subscribers import suppressions
from mailer.transports.outbox import Outbox, list_emails
from tests import factories
from tests import paying as shops
from tests.conftest import ROOT
from tests.integration.sending.test_languages_sent import variant
from tests.integration.sending.test_variants import SECRET, edition
from tests.paying import Shop

ADA = "ada@example.org"


@pytest.fixture
def shop(database: Database, tmp_path: Path, fake: FakeStripe) -> Shop:
    shutil.copy(ROOT / "docs" / "plans.example.toml", tmp_path / "plans.toml")
    shop = Shop(shops.settings(tmp_path, database, fake, plans=tmp_path / "plans.toml"), database, fake)
    for price, plan in ((shop.monthly, "monthly"), (shop.yearly, "yearly"), (shop.price("kind", 800, "month"), "kind")):
        product = fake.books.add("product", "prod", active=True)
        fake.books.get(price).update(lookup_key=f"postmerge_{plan}", product=product["id"])
    return shop


def form_token(shop: Shop) -> str:
    return tokens.form_token(shop.settings.need_secrets(), datetime.now(UTC) - timedelta(seconds=5))


def own(shop: Shop, subscriber: int, age: timedelta = timedelta(0)) -> str:
    """The path of the page about payments by a link that was just sent, or sent ``age`` ago."""
    to = shop.recipient(subscriber)
    return f"/paid/{tokens.paid_token(shop.settings.need_secrets(), to, datetime.now(UTC) - age)}"


def gift_link(shop: Shop, gift: int) -> str:
    """The path of the page on which a gift is accepted."""
    with shop.database.transaction() as tx:
        subscriber = int(tx.value("SELECT subscriber_id FROM gifts WHERE id = %(id)s", id=gift))
    return f"/gift/{tokens.gift_token(shop.settings.need_secrets(), shop.recipient(subscriber), gift)}"


def join(shop: Shop, **fields: str) -> tuple[int, str]:
    answer = shop.client.post("/join", data={"plan": "monthly", "token": form_token(shop), **fields})
    return answer.status_code, answer.headers.get("location", answer.text)


def pay(shop: Shop, address: str, email: str = ADA) -> None:
    with shop.fake.lock:
        fake_stripe_routes.complete(shop.fake.books, address.rpartition("/")[2], email)
    shop.hear()


def paying_subscriber(shop: Shop) -> int:
    subscriber = shop.add_subscriber()
    shop.buy()
    shop.hear()
    return subscriber


def test_a_subscriber_joins_from_their_own_link_and_is_known_by_it(shop: Shop) -> None:
    subscriber = shop.add_subscriber()
    page = shop.client.get(own(shop, subscriber)).text
    link = re.search(r'href="(/join\?t=[^"]+)"', page)
    assert link
    field = re.search(r'name="t" value="([^"]+)"', shop.client.get(link[1]).text)
    assert field
    status, address = join(shop, t=field[1])
    assert (status, address.startswith("https://checkout.stripe.example/")) == (303, True)
    pay(shop, address, "other@example.org")
    assert shop.entitlement().state is EntitlementState.TRIALING
    assert shop.fake.unkeyed == []


def test_sending_one_form_twice_makes_one_checkout(shop: Shop) -> None:
    token = form_token(shop)
    assert join(shop, token=token) == join(shop, token=token)
    assert len(shop.fake.books.of("checkout.session")) == 1


def test_checkouts_of_one_client_share_the_limits_on_sign_ups(shop: Shop) -> None:
    client = TestClient(shop.client.app, client=("203.0.113.7", 4711), follow_redirects=False)
    number = signup_limits.MAX_HOURLY_BY_IP
    answers = [client.post("/join", data={"plan": "monthly", "token": form_token(shop)}) for _ in range(number + 3)]
    assert [answer.status_code for answer in answers] == [303] * number + [429] * 3
    assert "Please try again in an hour" in answers[-1].text
    assert signup.sign_up(shop.database, ADA, evidence=signup.SignupEvidence(ip="203.0.113.7")).held


def test_checkouts_of_everybody_together_are_limited(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signup_limits, "MAX_HOURLY_CHECKOUTS", 2)
    assert [join(shop)[0] for _ in range(3)] == [303, 303, 429]


def test_somebody_unknown_joins_by_paying_and_one_email_confirms_all_of_it(shop: Shop) -> None:
    _, address = join(shop, plan="yearly")
    pay(shop, address, "new@example.org")
    assert shop.entitlement("new@example.org").state is EntitlementState.PAYING
    send_waiting_emails(shop)
    [email] = list_emails(shop.settings.outbox)[0]
    assert email.subject == "Thank you! You now have full access"
    assert "You’ll get every issue by email." in " ".join(email.text.split())
    assert "onfirm" not in email.text + email.html
    with shop.database.transaction() as tx:
        assert tx.value("SELECT state FROM subscribers WHERE email = 'new@example.org'") == "active"
        kinds = tx.all("SELECT kind, source FROM consents ORDER BY id")
    assert [tuple(row.values()) for row in kinds] == [("confirmed", "checkout")]


def test_what_a_sign_up_asked_for_is_added_by_the_payment_that_follows_it(shop: Shop) -> None:
    evidence = signup.SignupEvidence(answers={"company": "Example"})
    signup.sign_up(shop.database, "new@example.org", ["python"], evidence, replace(shop.settings, topics=("python",)))
    with shop.database.transaction() as tx:
        tx.run("DELETE FROM inbox_emails")
    pay(shop, join(shop, plan="yearly")[1], "new@example.org")
    with shop.database.transaction() as tx:
        row = tx.one("SELECT state, tags, metadata FROM subscribers WHERE email = 'new@example.org'")
    assert row == {"state": "active", "tags": ["python"], "metadata": {"company": "Example"}}


def unsubscribe(shop: Shop, email: str) -> None:
    subscriber = shop.add_subscriber(email)
    signup.unsubscribe(
        shop.database, shop.settings, tokens.unsubscribe_token(shop.settings.need_secrets(), shop.recipient(subscriber))
    )


def bounce(shop: Shop, email: str) -> None:
    with shop.database.transaction() as tx:
        suppressions.add(tx, [email], "hard bounce")


def erase(shop: Shop, email: str) -> None:
    shop.add_subscriber(email)
    erasure.erase_by_email(shop.database, shop.settings, email)


@pytest.mark.parametrize("before", [unsubscribe, bounce, erase])
def test_a_payment_brings_nobody_back_who_left_or_bounced(shop: Shop, before: Callable[[Shop, str], None]) -> None:
    before(shop, "new@example.org")
    pay(shop, join(shop, plan="yearly")[1], "new@example.org")
    assert shop.entitlement("new@example.org").state is EntitlementState.PAYING
    with shop.database.transaction() as tx:
        assert tx.value("SELECT state FROM subscribers WHERE email = 'new@example.org'") == "unconfirmed"
        assert tx.value("SELECT count(*) FROM transactional_emails WHERE kind = 'confirmation'") == 1


def send_waiting_emails(shop: Shop) -> None:
    while deliver_batch(shop.database, shop.settings, Outbox(shop.settings.outbox), "The Letter"):
        pass


@pytest.mark.parametrize("is_reminder", [False, True])
def test_somebody_who_has_paid_is_not_asked_whether_it_was_them(shop: Shop, is_reminder: bool) -> None:
    unsubscribe(shop, "new@example.org")
    pay(shop, join(shop, plan="yearly")[1], "new@example.org")
    send_waiting_emails(shop)
    if is_reminder:
        with shop.database.transaction() as tx:
            tx.run("UPDATE transactional_emails SET created_at = created_at - interval '8 days'")
            tx.run("DELETE FROM inbox_emails")
        assert subscriber_admin.send_reminder(shop.database, shop.settings, "new@example.org")
        send_waiting_emails(shop)
    last = [one for one in list_emails(shop.settings.outbox)[0] if "Confirm" in one.subject]
    assert len(last) == 1 + is_reminder
    assert {one.subject for one in last} == {"Confirm your email address for The Letter"}
    assert all("Thank you for your payment" in one.text and "hopefully you" not in one.text for one in last)


def test_who_pays_already_is_not_sent_to_pay_again(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    token = own(shop, subscriber).rpartition("/")[2]
    status, text = join(shop, t=token)
    assert status == 422
    assert "You already have a paid subscription" in text


def test_a_subscriber_says_what_they_pay_from_the_floor_on(shop: Shop) -> None:
    assert "The minimum for this plan is €3.00" in join(shop, plan="kind", amount="2,99")[1]
    assert "isn’t an amount" in join(shop, plan="kind", amount="much")[1]
    _, address = join(shop, plan="kind", amount="12.50")
    session = shop.fake.books.get(address.rpartition("/")[2])
    assert session["line_items"][0]["price_data"]["unit_amount"] == 1250


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"plan": "kind", "amount": "2.99"}, "amount-kind"),
        ({"plan": "kind", "amount": "much"}, "amount-kind"),
        ({"plan": "yearly", "recipient": "nobody@@x"}, "recipient-yearly"),
        ({"plan": "none", "amount": "1"}, None),
    ],
)
def test_what_is_wrong_in_a_field_is_heard_at_that_field(shop: Shop, data: dict[str, str], field: str | None) -> None:
    status, text = join(shop, **data)
    wrong = re.findall('<input id="([^"]*)"[^>]* aria-invalid="true" aria-describedby="error"', text)
    assert (status, wrong, text.count('id="error"')) == (422, [field] if field else [], 1)


def test_a_plan_that_is_gone_at_stripe_is_a_sentence(shop: Shop) -> None:
    shop.fake.books.get(shop.monthly)["active"] = False
    status, text = join(shop)
    assert status == 422
    assert "isn’t available right now" in text


def test_stripe_away_is_a_sentence_and_nothing_is_lost(shop: Shop) -> None:
    shop.fake.break_calls(50)
    status, text = join(shop)
    assert status == 503
    assert "Nothing has changed" in text


def test_without_a_key_the_site_works_and_sells_nothing(shop: Shop) -> None:
    free = Shop(type(shop.settings)(**{**vars(shop.settings), "stripe_key": ""}), shop.database, shop.fake)
    assert "This newsletter is free" in free.client.get("/join").text
    assert free.client.post("/join", data={"plan": "monthly", "token": form_token(shop)}).status_code == 422
    subscriber = free.add_subscriber()
    page = free.client.get(own(free, subscriber))
    assert page.status_code == 200
    assert "/join" not in page.text


def test_a_gift_is_paid_by_one_and_accepted_by_another(shop: Shop) -> None:
    _, address = join(shop, plan="yearly", recipient="eve@example.org", giver="Ada")
    pay(shop, address)
    assert shop.subjects() == ["A gift for you"]
    shop.hear()
    with shop.database.transaction() as tx:
        gift = int(tx.value("SELECT id FROM gifts"))
    link = gift_link(shop, gift)
    assert shop.entitlement("eve@example.org").state is EntitlementState.FREE
    assert "You won’t be charged" in shop.client.get(link).text
    for _ in range(2):
        assert "You have full access until" in shop.client.post(link).text
    assert shop.entitlement("eve@example.org").state is EntitlementState.COMPLIMENTARY
    with shop.database.transaction() as tx:
        assert tx.value("SELECT count(*) FROM grants") == 1
    assert "can’t be given as a gift" in join(shop, plan="monthly", recipient="eve@example.org")[1]


def test_a_gift_that_was_taken_back_shows_no_date(shop: Shop) -> None:
    _, address = join(shop, plan="yearly", recipient="eve@example.org", giver="Ada")
    pay(shop, address)
    with shop.database.transaction() as tx:
        gift = int(tx.value("SELECT id FROM gifts"))
    link = gift_link(shop, gift)
    shop.client.post(link)
    with shop.database.transaction() as tx:
        tx.run("DELETE FROM grants")
    again = shop.client.post(link).text
    assert "You’ll get the next issue by email." in again
    assert "until" not in again


def test_complimentary_access_ends_on_its_day(shop: Shop) -> None:
    shop.add_subscriber()
    until = datetime.now(UTC) + timedelta(days=30)
    assert "is complimentary" in gifts.grant_complimentary(shop.database, shop.settings, ADA, until, "a friend")
    assert shop.entitlement().premium
    shop.fake.books.now += 31 * DAY
    assert shop.entitlement().state is EntitlementState.ENDED
    assert gifts.revoke_complimentary(shop.database, shop.settings, ADA) == f"{ADA} is free now."


def test_leaving_is_two_presses_and_shows_and_emails_the_date(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    page = own(shop, subscriber)
    link = re.search(r'href="(/paid/[^"]+/leave)"', shop.client.get(page).text)
    assert link
    asked = shop.client.get(link[1]).text
    assert "cancelled" not in asked
    assert f'<a href="{page}">Keep my subscription</a>' in asked
    done = shop.client.post(link[1]).text
    end = datetime.fromtimestamp(shop.fake.books.now + MONTH, UTC)
    date = f"{end:%-d %B %Y}"
    assert date in asked
    assert f'You have full access until <strong class="address">{date}</strong>' in done
    assert shop.subjects()[-1] == "Your cancellation is confirmed"
    assert shop.entitlement().state is EntitlementState.ENDING
    assert "Your subscription continues as before." in shop.client.post(f"{page}/stay").text
    assert shop.entitlement().state is EntitlementState.PAYING


def test_pausing_is_one_press_keeps_the_paid_days_and_stops_charges(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    with shop.fake.lock:
        shop.fake.books.advance(10 * DAY)
    charged = list(shop.fake.books.charged)
    assert "You won’t be charged" in shop.client.post(f"{own(shop, subscriber)}/pause").text
    assert shop.entitlement().state is EntitlementState.PAUSED
    assert not shop.entitlement().premium
    with shop.fake.lock:
        shop.fake.books.advance(60 * DAY)
    assert shop.fake.books.charged == charged
    with shop.database.transaction() as tx:
        [kept] = subscriptions.list_by_subscriber(tx, subscriber)
    assert kept.paid_until
    assert kept.paused_at
    days = kept.paid_until - kept.paused_at
    resumed = subscription_changes._build_resume_values(kept, datetime.fromtimestamp(shop.fake.books.now, UTC))
    assert resumed["trial_end"] == shop.fake.books.now + int(days.total_seconds())


def test_going_on_after_a_pause_charges_only_after_the_kept_days(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    shop.client.post(f"{own(shop, subscriber)}/pause")
    charged = len(shop.fake.books.charged)
    assert "Your subscription continues." in shop.client.post(f"{own(shop, subscriber)}/resume").text
    assert shop.entitlement().state is EntitlementState.PAYING
    assert len(shop.fake.books.charged) == charged
    with shop.fake.lock:
        shop.fake.books.advance(29 * DAY)
    assert len(shop.fake.books.charged) == charged
    with shop.fake.lock:
        shop.fake.books.advance(2 * DAY)
    assert len(shop.fake.books.charged) == charged + 1


def test_a_pause_can_serve_the_paid_time_out(shop: Shop) -> None:
    plans = shop.settings.plans
    plans.write_text(plans.read_text().replace('pause = "keep"', 'pause = "serve"'))
    subscriber = paying_subscriber(shop)
    shop.client.post(f"{own(shop, subscriber)}/pause")
    entitlement = shop.entitlement()
    assert (entitlement.state, entitlement.premium) == (EntitlementState.PAUSED, True)
    assert entitlement.until == datetime.fromtimestamp(shop.fake.books.now + MONTH, UTC)


def test_leaving_during_a_pause_gives_the_kept_days_first(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    shop.client.post(f"{own(shop, subscriber)}/pause")
    shop.client.post(f"{own(shop, subscriber)}/leave")
    entitlement = shop.entitlement()
    assert entitlement.state is EntitlementState.ENDING
    assert entitlement.until
    assert entitlement.until - datetime.now(UTC) > timedelta(days=29)


def test_stripes_newer_pause_is_understood_and_ended(shop: Shop) -> None:
    subscriber = shop.add_subscriber()
    sub = shop.buy()
    with shop.fake.lock:
        fake_stripe_routes.route(shop.fake.books, "POST", f"/v1/subscriptions/{sub['id']}/pause", {})
    shop.hear()
    assert shop.entitlement().state is EntitlementState.PAUSED
    shop.client.post(f"{own(shop, subscriber)}/resume")
    assert shop.entitlement().state is EntitlementState.PAYING


def test_a_pause_ends_by_itself_with_an_email_a_week_before(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    subscription_changes.pause_subscription(
        shop.database, shop.settings, subscriber, until=datetime.now(UTC) + timedelta(days=6)
    )
    assert subscription_changes.process_pauses(shop.database, shop.settings) == 0
    assert shop.subjects()[-1].startswith("Your pause ends on")
    with shop.fake.lock:
        [sub] = shop.fake.books.of("subscription")
        sub["metadata"]["postmerge_resumes"] = str(int(time.time()) - 1)
        shop.fake.books.emit("customer.subscription.updated", sub)
    shop.hear()
    assert shop.entitlement().state is EntitlementState.PAYING
    assert sum(subject.startswith("Your pause ends on") for subject in shop.subjects()) <= 2


def test_the_writer_pauses_all_and_goes_on(shop: Shop) -> None:
    for name in ("ada", "bob"):
        shop.add_subscriber(f"{name}@example.org")
        shop.buy(f"{name}@example.org")
    shop.hear()
    assert subscription_changes.change_all(
        shop.database, shop.settings, subscription_changes.pause_subscription, paused=False
    ) == (2, [])
    assert subscription_changes.change_all(
        shop.database, shop.settings, subscription_changes.pause_subscription, paused=False
    ) == (0, [])
    assert {shop.entitlement(f"{name}@example.org").state for name in ("ada", "bob")} == {EntitlementState.PAUSED}
    assert subscription_changes.change_all(
        shop.database, shop.settings, subscription_changes.resume_subscription, paused=True
    ) == (2, [])
    assert {shop.entitlement(f"{name}@example.org").state for name in ("ada", "bob")} == {EntitlementState.PAYING}


def test_withdrawing_gives_all_back_once_and_emails_the_proof(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    link = re.search(r'href="(/paid/[^"]+/withdraw)"', shop.client.get(own(shop, subscriber)).text)
    assert link
    assert "Confirm withdrawal" in shop.client.get(link[1]).text
    assert "We’ll refund €5.00" in shop.client.post(link[1]).text
    assert sum(amount for _, amount in shop.fake.books.charged) == 0
    assert shop.entitlement().state is EntitlementState.ENDED
    assert shop.subjects()[-1] == "Your withdrawal is confirmed"
    shop.client.post(link[1])
    assert sum(amount for _, amount in shop.fake.books.charged) == 0


@pytest.mark.parametrize(
    ("is_on_sale", "name_at_stripe", "said"),
    [(True, "Old title", "(Every issue)"), (False, "Old title", "(Old title)"), (False, "", "(Paid subscription)")],
)
def test_the_proof_of_a_withdrawal_names_the_plan_by_its_title(
    shop: Shop, is_on_sale: bool, name_at_stripe: str, said: str
) -> None:
    subscriber = paying_subscriber(shop)
    product = shop.fake.books.add("product", "prod", name=name_at_stripe, active=True)
    shop.fake.books.get(shop.monthly)["product"] = product["id"]
    name = "monthly" if is_on_sale else "other"
    shop.settings.plans.write_text(f"[plans.{name}]\ntitle = 'Every issue'\nprice = 5.00\n")
    subscription_changes.withdraw_from_contract(shop.database, shop.settings, subscriber)
    with shop.database.transaction() as tx:
        facts = tx.value("SELECT facts FROM transactional_emails WHERE facts ->> 'subject' = 'Your withdrawal is confirmed'")
    assert said in facts["sentences"][0]
    assert "monthly" not in str(facts)


STILL_PAYS = "This only stops the emails. Your paid subscription continues."


def test_a_paid_subscriber_reads_that_unsubscribing_ends_no_payment(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    token = tokens.unsubscribe_token(shop.settings.need_secrets(), shop.recipient(subscriber))
    assert shop.client.get(f"/reader/{token}").text.count(STILL_PAYS) == 2  # where they pause, where they unsubscribe
    assert STILL_PAYS in shop.client.post(f"/leave/{token}").text
    shop.client.post(f"{own(shop, subscriber)}/leave")
    assert STILL_PAYS not in shop.client.get(f"/reader/{token}").text
    assert STILL_PAYS not in shop.client.post(f"/leave/{token}").text


def test_answers_that_get_lost_charge_and_refund_nothing_twice(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    for verb in ("pause", "resume", "leave", "stay", "withdraw"):
        shop.fake.lose_answers(2)
        assert shop.client.post(f"{own(shop, subscriber)}/{verb}").status_code == 200
    assert sum(amount for _, amount in shop.fake.books.charged) == 0
    assert shop.entitlement().state is EntitlementState.ENDED
    assert shop.fake.unkeyed == []


def test_a_part_goes_back_by_the_writers_hand(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    for _ in range(2):
        assert subscription_changes.refund_payment(shop.database, shop.settings, subscriber, "2.00", end=False) == (200, "eur")
    assert sum(amount for _, amount in shop.fake.books.charged) == 300
    assert shop.entitlement().state is EntitlementState.PAYING


def test_no_get_changes_anything(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    for verb in ("", "/leave", "/withdraw", "/pause", "/stay"):
        shop.client.get(f"{own(shop, subscriber)}{verb}")
    assert shop.entitlement().state is EntitlementState.PAYING


@pytest.mark.parametrize("path", ["/paid/x", "/paid/x/leave", "/gift/x", "/paid/" + "A" * 43])
def test_links_that_are_not_ours_do_not_hold(shop: Shop, path: str) -> None:
    assert shop.client.get(path).status_code == 404
    assert shop.client.post(path).status_code in (404, 405)


def published(shop: Shop, issue: Edition | None = None) -> None:
    settings, outbox = shop.settings, Outbox(shop.settings.outbox)
    adopt_issues(shop.database, settings, [factories.old()])
    [send_id] = publish(shop.database, settings, [factories.old(), issue or edition()], [], outbox, Request()).send_ids
    advance_sends(shop.database, settings)
    deliver_send(shop.database, settings, outbox, send_id)


def test_what_was_paid_for_is_read_on_the_web_and_in_a_feed_until_access_ends(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    published(shop)
    found = re.search(r'href="(/read/[^"/]+)"', shop.client.get(own(shop, subscriber)).text)
    assert found
    links = [found[1], f"{found[1]}/feed.xml", f"{found[1]}/2026-11-24-hello"]
    for path in links:
        answer = shop.client.get(path)
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "private, no-store"
        assert answer.headers["x-robots-tag"] == "noindex, nofollow"
    assert SECRET in shop.client.get(links[1]).text
    assert SECRET in shop.client.get(links[2]).text
    shop.client.post(f"{own(shop, subscriber)}/withdraw")
    for path in links:
        assert shop.client.get(path).status_code == 403
        assert SECRET not in shop.client.get(path).text


@pytest.mark.parametrize(
    ("lang", "text"), [("de-AT", "text de premium"), ("de", "text de premium"), ("", "text premium"), ("fr", "text premium")]
)
def test_a_translation_of_what_was_paid_for_is_read_in_the_subscribers_language(shop: Shop, lang: str, text: str) -> None:
    subscriber = paying_subscriber(shop)
    with shop.database.transaction() as tx:
        tx.run("UPDATE subscribers SET lang = %(lang)s WHERE id = %(id)s", lang=lang, id=subscriber)
    published(shop, factories.edition(variants=tuple(variant(name) for name in ("premium", "de", "de premium", "fr"))))
    found = re.search(r'href="(/read/[^"/]+)"', shop.client.get(own(shop, subscriber)).text)
    assert found
    page, feed = shop.client.get(f"{found[1]}/2026-11-24-hello").text, shop.client.get(f"{found[1]}/feed.xml").text
    assert f"<p>{text}</p>" in page
    assert f"{text}&lt;" in feed
    assert "<id>http://127.0.0.1:9/issues/2026-11-24-hello/</id>" in feed, "the same in every language"
    title = "Title de" if "de" in text else "Title of 2026-11-24-hello"
    assert f">{title}</a>" in shop.client.get(found[1]).text


def test_private_links_can_be_made_anew(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    found = re.search(r'href="(/read/[^"/]+)"', shop.client.get(own(shop, subscriber)).text)
    assert found
    shop.client.post(f"{own(shop, subscriber)}/links")
    assert shop.client.get(found[1]).status_code == 403
    again = re.search(r'href="(/read/[^"/]+)"', shop.client.get(own(shop, subscriber)).text)
    assert again
    assert shop.client.get(again[1]).status_code == 200


def test_a_forged_or_foreign_reading_link_is_closed(shop: Shop) -> None:
    subscriber = paying_subscriber(shop)
    secret, to = shop.settings.need_secrets(), shop.recipient(subscriber)
    for token in (
        tokens.paid_token(secret, to, datetime.now(UTC)),
        tokens.reading_token(secret, replace(to, link_epoch=2)),
        tokens.reading_token(secret, replace(to, email_normal="ada@old.example")),
        tokens.reading_token(("y" * 32,), to),
    ):
        assert shop.client.get(f"/read/{token}").status_code == 403
