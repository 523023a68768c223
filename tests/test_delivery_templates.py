"""Deliveries of sends with a template: the texts of each channel, versions, and errors."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.message import EmailMessage
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from babel.dates import format_datetime
from pymongo import AsyncMongoClient

from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import SHORT_TIMES, FakeChannels, connect_webhook, list_deliveries, wait_for_deliveries
from tests.client import GraphQLErrors, Json, Tenant, eventually
from tests.processes import Deployment
from tests.template_sends import LOCALES, UPSERT_USERS, create_people, send_template, store_template

HTML = """<html><head><style>td { color: red }</style></head><body>
<h1>{{ user.name }} &amp; co</h1>
<table>{% for line in data.lines %}<tr><td>{{ line.name }}</td><td>{{ line.price | currency: "EUR" }}</td></tr>{% endfor %}</table>
{% if data.lines.size > 2 %}<p><a href="{{ url | default: "https://example.org" }}">More</a></p>{% endif %}
</body></html>"""
MJML = """<mjml><mj-body><mj-section><mj-column>
<mj-table>{% for line in data.lines %}<tr><td>{{ line.name }}</td></tr>{% endfor %}</mj-table>
</mj-column></mj-section>{% for line in data.lines %}<mj-section><mj-column><mj-text>Part {{ line.name }}</mj-text></mj-column></mj-section>{% endfor %}
</mj-body></mjml>"""
REPLAY = "mutation ($ids: [ID!], $filter: DeliveryFilter) { replay(ids: $ids, filter: $filter) }"
LINES: list[Json] = [{"name": f"Item <{n}>", "price": n} for n in range(1, 6)]


@pytest.fixture(scope="module")
async def channels() -> AsyncIterator[FakeChannels]:
    async with FakeChannels() as fakes:
        yield fakes


@pytest.fixture(scope="module")
async def deployment(servers: tuple[Mongod, Redis], channels: FakeChannels) -> AsyncIterator[Deployment]:
    mongod, redis = servers
    settings = {**SHORT_TIMES, **channels.settings, "mongo_database": "templates", "redis_prefix": "templates:"}
    settings["public_url"] = "https://hub.example"
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running:
        yield running


@pytest.fixture
async def tenant(deployment: Deployment, channels: FakeChannels) -> AsyncIterator[Tenant]:
    channels.mail.clear_fault()
    channels.mail.emails.clear()
    async with Tenant(f"t{uuid4().hex[:12]}", deployment.urls) as fresh:
        yield fresh


@pytest.fixture
async def store(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        yield client["templates"]


async def received_emails(channels: FakeChannels, count: int) -> list[EmailMessage]:
    async def arrived() -> bool:
        return len(channels.mail.emails) >= count

    await eventually(arrived)
    assert len(channels.mail.emails) == count
    return channels.mail.emails


def part_of(email: EmailMessage, kind: str) -> str:
    part = email.get_body((kind,))
    assert part
    text: str = part.get_content()
    return text


async def add_people(tenant: Tenant, *users: str) -> None:
    people = [{"id": user, "name": user.title(), "email": f"{user}@people.example"} for user in users]
    await tenant.execute(UPSERT_USERS, users=people)


@pytest.mark.parametrize("html", [HTML, MJML], ids=["html", "mjml"])
async def test_email_of_a_loop_around_table_rows_has_every_row(
    tenant: Tenant, channels: FakeChannels, html: str
) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "order", title="Order {{ data.lines.size }}", body="Your items")
    texts = {"subject": "Your order of {{ lines | size }}", "preheader": "Look & see", "html": html}
    await store_template(tenant, "order", channel="EMAIL", body="{{ lines | map: 'name' | join: ', ' }}", **texts)
    await send_template(tenant, "alice", channels=["IN_APP", "EMAIL"], template_data={"lines": LINES})
    [email] = await received_emails(channels, 1)
    assert email["Subject"] == "Your order of 5"
    received = part_of(email, "html")
    for line in LINES:
        assert f"Item &lt;{line['name'][6]}&gt;" in received
        assert line["name"] in part_of(email, "plain")
    assert received.count("<tr") >= 5
    assert "Look &amp; see" in received
    if html == HTML:
        assert received.count("<tr>") == 5
        assert "Alice &amp; co" in received
        assert 'href="https://example.org"' in received
        assert "color: red" in received
    else:
        assert received.count("Part Item") == 5
    [n] = (await tenant.inbox("alice"))["nodes"]
    assert (n["title"], n["body"]) == ("Order 5", "Your items")


async def test_each_channel_gets_its_own_text(tenant: Tenant, channels: FakeChannels) -> None:
    await add_people(tenant, "alice")
    await connect_webhook(tenant, channels.receiver, "alice")
    await channels.add_browser(tenant, "alice")
    await store_template(tenant, "order", title="Order", body="In the app", actionUrl="/orders/{{ id }}")
    await store_template(tenant, "order", channel="EMAIL", title="Mail", body="In the mail")
    push = {"title": "Push {{ user.name }}", "body": "On the screen", "actionUrl": "https://example.org/{{ id }}"}
    actions = [{"key": "pay", "label": "Pay {{ id }}", "url": "/pay/{{ id }}"}]
    await store_template(tenant, "order", channel="WEB_PUSH", actions=actions, **push)
    used = ["IN_APP", "EMAIL", "WEB_PUSH", "WEBHOOK"]
    await send_template(tenant, "alice", channels=used, template_data={"id": 7})
    [email] = await received_emails(channels, 1)
    assert (email["Subject"], "In the mail" in part_of(email, "plain")) == ("Mail", True)

    async def pushed() -> bool:
        return bool(channels.receiver.bodies["/alice"]) and bool(channels.push.pushes)

    await eventually(pushed)
    [(message, _)] = channels.push.pushes
    assert (message["title"], message["body"]) == ("Push Alice", "On the screen")
    assert message["url"] == "https://example.org/7"
    assert message["actions"] == [{"action": "pay", "title": "Pay 7", "url": "/pay/7"}]
    [body] = channels.receiver.bodies["/alice"]
    assert (body["data"]["title"], body["data"]["body"], body["data"]["actionUrl"]) == (
        "Order",
        "In the app",
        "/orders/7",
    )


async def test_emails_to_users_of_three_locales_and_four_zones_have_their_own_values(
    tenant: Tenant, channels: FakeChannels
) -> None:
    people = await create_people(tenant, 24)
    at = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)
    for locale, hello in LOCALES.items():
        await store_template(tenant, "own", locale=locale, title=hello, body="{{ user.name }} {{ notification.id }}")
        await store_template(tenant, "when", locale=locale, title=hello, body="{{ at | datetime }}")
    users = [person["id"] for person in people]
    for key in ("own", "when"):
        await send_template(tenant, *users, key=key, data={"at": at.isoformat()}, channels=["IN_APP", "EMAIL"])
    emails = await received_emails(channels, 48)
    for person in people:
        mine = [email for email in emails if email["To"] == person["email"]]
        assert [email["Subject"] for email in mine] == [LOCALES[person["locale"]]] * 2
        texts = "\n".join(part_of(email, "plain") for email in mine)
        local = format_datetime(at, "medium", tzinfo=ZoneInfo(person["timezone"]), locale=person["locale"])
        assert local in texts
        for n in (await tenant.inbox(person["id"]))["nodes"]:
            assert n["body"] in texts
        assert f"{person['name']} 0" in texts


async def test_retry_says_what_the_send_said_after_the_template_changed(tenant: Tenant, channels: FakeChannels) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "order", title="First {{ user.name }}", body="one")
    channels.mail.replies["DATA"] = "451 4.3.0 try again later"
    await send_template(tenant, "alice", channels=["IN_APP", "EMAIL"])
    await wait_for_deliveries(tenant, "RETRYING")
    assert await store_template(tenant, "order", title="Second {{ user.name }}", body="two") == 2
    await store_template(tenant, "order", channel="EMAIL", title="Third", body="three")
    channels.mail.clear_fault()
    [email] = await received_emails(channels, 1)
    assert (email["Subject"], "one" in part_of(email, "plain")) == ("First Alice", True)
    await send_template(tenant, "alice", channels=["EMAIL"])
    assert (await received_emails(channels, 2))[1]["Subject"] == "Third"


async def test_late_step_says_what_the_send_said_after_the_template_changed(
    tenant: Tenant, channels: FakeChannels
) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "order", title="First {{ user.name }} {{ n }}", body="{{ 'now' | date: '%s' }}")
    steps = [{"channels": ["EMAIL"], "after": "PT2S", "unless": "NEVER"}]
    await send_template(tenant, "alice", channels=["IN_APP"], steps=steps, template_data={"n": 1})
    await store_template(tenant, "order", title="Second")
    await tenant.execute(UPSERT_USERS, users=[{"id": "alice", "name": "Alicia"}])
    [email] = await received_emails(channels, 1)
    assert email["Subject"] == "First Alicia 1"
    [n] = (await tenant.inbox("alice"))["nodes"]
    assert n["title"] == "First Alice 1"
    assert n["body"] in part_of(email, "plain"), "now is the time of the send"
    assert email["Date"].datetime.timestamp() >= int(n["body"]) + 2, "the time when the step became due"


async def test_step_in_the_inbox_fails_if_its_text_failed(tenant: Tenant, channels: FakeChannels) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "order", title="Order", body="{{ user.attributes.plan }}")
    await store_template(tenant, "order", channel="EMAIL", title="Order", body="In the mail")
    steps = [{"channels": ["IN_APP"], "after": "PT1S"}]
    await send_template(tenant, "alice", channels=["EMAIL"], steps=steps)
    [failed] = await wait_for_deliveries(tenant, "FAILED")
    assert (failed["channel"], failed["reason"]) == ("IN_APP", "TEMPLATE_ERROR")
    [attempt] = failed["attempts"]
    assert (attempt["ok"], attempt["provider"]) == (False, "template")
    assert "plan has no value" in attempt["error"]
    preview = "query ($f: DeliveryFilter!) { replayPreview(filter: $f) { count } }"
    assert (await tenant.execute(preview, f={"statuses": ["FAILED"]}))["replayPreview"]["count"] == 0
    for selection in ({"ids": [failed["id"]]}, {"filter": {"channels": ["IN_APP"]}}, {"filter": {}}):
        assert (await tenant.execute(REPLAY, **selection))["replay"] == 0
    assert [one["id"] for one in await list_deliveries(tenant, statuses=["FAILED"])] == [failed["id"]]
    await received_emails(channels, 1)
    assert (await tenant.inbox("alice"))["nodes"] == []


async def test_version_that_is_no_longer_stored_is_replaced_by_the_current_one(
    tenant: Tenant, channels: FakeChannels, store: Database
) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "order", title="First")
    channels.mail.replies["DATA"] = "451 4.3.0 try again later"
    await send_template(tenant, "alice", channels=["IN_APP", "EMAIL"])
    await store_template(tenant, "order", title="Second")
    sends = await store.sends.find({"tenant": tenant.name}).to_list()
    assert [send["template_version"] for send in sends] == [1]
    await store.templates.delete_one({"tenant": tenant.name, "version": 1})
    # The worker that has the version in its cache would still use it.
    await store.sends.update_one({"_id": sends[0]["_id"]}, {"$set": {"template_version": 0}})
    await wait_for_deliveries(tenant, "RETRYING")
    channels.mail.clear_fault()
    [email] = await received_emails(channels, 1)
    assert email["Subject"] == "Second"
    [delivery] = await wait_for_deliveries(tenant, "SENT")
    assert "version 2 was used" in delivery["attempts"][-1]["error"]
    assert delivery["attempts"][-1]["ok"] is True


async def test_version_without_a_text_in_the_new_locale_of_the_tenant_is_still_used(
    tenant: Tenant, channels: FakeChannels
) -> None:
    set_locale = "mutation ($input: TenantInput!) { updateTenant(input: $input) { id } }"
    await tenant.execute_as_admin(set_locale, input={"locale": "de"})
    person = {"id": "alice", "name": "Alice", "email": "alice@people.example", "locale": "de"}
    await tenant.execute(UPSERT_USERS, users=[person])
    await store_template(tenant, "order", locale="de", title="Erster")
    channels.mail.replies["DATA"] = "451 4.3.0 try again later"
    await send_template(tenant, "alice", channels=["EMAIL"])
    await wait_for_deliveries(tenant, "RETRYING")
    await store_template(tenant, "order", locale="de", title="Zweiter")
    await tenant.execute_as_admin(set_locale, input={"locale": "fr"})
    channels.mail.clear_fault()
    [email] = await received_emails(channels, 1)
    assert email["Subject"] == "Erster"
    [delivery] = await wait_for_deliveries(tenant, "SENT")
    assert delivery["attempts"][-1]["error"] is None


async def test_text_that_fails_on_one_channel_fails_that_delivery_only(tenant: Tenant, channels: FakeChannels) -> None:
    plan = {"attributes": {"plan": "gold"}}
    people = [{"id": "alice", "email": "alice@people.example", **plan}, {"id": "bob", "email": "bob@people.example"}]
    await tenant.execute(UPSERT_USERS, users=people)
    await store_template(tenant, "order", title="Order", body="In the app")
    await store_template(tenant, "order", channel="EMAIL", title="Order", body="{{ user.attributes.plan }}")
    sent = (await send_template(tenant, "alice", "bob", channels=["IN_APP", "EMAIL"]))["send"]
    [failed] = await wait_for_deliveries(tenant, "FAILED")
    assert (failed["userId"], failed["reason"]) == ("bob", "TEMPLATE_ERROR")
    [attempt] = failed["attempts"]
    assert (attempt["ok"], attempt["provider"]) == (False, "template")
    assert "plan has no value" in attempt["error"]
    [email] = await received_emails(channels, 1)
    assert email["To"] == "alice@people.example"
    for user in ("alice", "bob"):
        assert [n["title"] for n in (await tenant.inbox(user))["nodes"]] == ["Order"]
    await tenant.execute(UPSERT_USERS, users=[{"id": "bob", **plan}])
    replay = "mutation ($f: DeliveryFilter) { replay(filter: $f) }"
    assert (await tenant.execute(replay, f={"sendId": sent["id"], "reasons": ["TEMPLATE_ERROR"]}))["replay"] == 1
    emails = await received_emails(channels, 2)
    assert [email["To"] for email in emails] == ["alice@people.example", "bob@people.example"]


async def test_delivery_leaves_although_the_in_app_text_fails(tenant: Tenant, channels: FakeChannels) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "order", title="Order", body="{{ user.attributes.plan }}")
    await store_template(tenant, "order", channel="EMAIL", title="Order", body="In the mail", actionUrl="/orders")
    await send_template(tenant, "alice", channels=["IN_APP", "EMAIL"])
    [email] = await received_emails(channels, 1)
    assert "In the mail" in part_of(email, "plain")
    assert (await tenant.inbox("alice"))["nodes"] == []
    [delivery] = await list_deliveries(tenant)
    assert delivery["channel"] == "EMAIL"


async def test_html_of_a_template_contains_the_unsubscribe_link_of_each_recipient(
    tenant: Tenant, channels: FakeChannels
) -> None:
    await add_people(tenant, "alice", "bob")
    link = '{% if notification.unsubscribeUrl %}<a href="{{ notification.unsubscribeUrl }}">Stop</a>{% endif %}'
    await store_template(tenant, "order", title="Order", html=f"<p>{link}</p>")
    await send_template(tenant, "alice", "bob", channels=["IN_APP", "EMAIL"])
    emails = await received_emails(channels, 2)
    links = [part_of(email, "html").partition('href="')[2].partition('"')[0] for email in emails]
    assert [f"<{link}>" for link in links] == [email["List-Unsubscribe"] for email in emails]
    assert len(set(links)) == 2


LAYOUT = """<html><head><title>{{ title }}</title></head><body dir="{{ direction }}"><h1>{{ tenant.name }}: {{ title }}</h1>
{{ body }}{% for action in actions %}<a class="button" href="{{ action.url }}">{{ action.label }}</a>{% endfor %}
<p>{{ because }}</p></body></html>"""


async def test_layout_of_the_tenant_contains_every_email_without_html(tenant: Tenant, channels: FakeChannels) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "_layout", html=LAYOUT, title=None)
    await store_template(tenant, "order", body="Template **{{ value }}**", markdown=True)
    actions = [{"key": "go", "label": "Go <now>", "url": "https://example.org/?a=1&b=2"}]
    content = {"markdown": True, "actions": actions}
    body = "**Bold** <i>text</i>"
    await tenant.send("alice", title="Plain & simple", body=body, content=content, channels=["EMAIL"])
    await send_template(tenant, "alice", channels=["EMAIL"], template_data={"value": "*<b>*"})
    received = {email["Subject"]: part_of(email, "html") for email in await received_emails(channels, 2)}
    plain = received["Plain & simple"]
    assert "Plain &amp; simple</h1>" in plain
    assert "<strong>Bold</strong> &lt;i&gt;text&lt;/i&gt;" in plain
    assert 'class="button" href="https://hub.example/r/' in plain
    assert "Go &lt;now&gt;</a>" in plain
    assert '<body dir="ltr"><div style="display:none' in plain
    assert "Template <strong>*&lt;b&gt;*</strong>" in received["Title"]


async def test_send_with_a_template_keeps_the_layout_that_was_current(tenant: Tenant, channels: FakeChannels) -> None:
    await add_people(tenant, "alice")
    await store_template(tenant, "_layout", html="<p>first {{ body }}</p>")
    await store_template(tenant, "order", body="Text")
    channels.mail.replies["DATA"] = "451 4.3.0 try again later"
    await send_template(tenant, "alice", channels=["EMAIL"])
    await wait_for_deliveries(tenant, "RETRYING")
    await store_template(tenant, "_layout", html="<p>second {{ body }}</p>")
    channels.mail.clear_fault()
    [email] = await received_emails(channels, 1)
    assert "first" in part_of(email, "html")


async def test_layout_is_rendered_before_it_is_stored_and_its_later_errors_have_a_reason(
    tenant: Tenant, channels: FakeChannels
) -> None:
    await add_people(tenant, "alice")
    for html, fault in (("<p>{{ heading }}</p>", "heading has no value"), (None, "Pass `html`")):
        with pytest.raises(GraphQLErrors, match=fault):
            await store_template(tenant, "_layout", html=html)
    await store_template(tenant, "_layout", html="<p>{{ imageUrl }}</p>")
    await tenant.send("alice", channels=["EMAIL"])
    [failed] = await wait_for_deliveries(tenant, "FAILED")
    assert failed["reason"] == "TEMPLATE_ERROR"
    assert "imageUrl has no value" in failed["attempts"][0]["error"]
    assert not channels.mail.emails
