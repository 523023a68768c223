"""The templates `_digest` and `_briefing`, and the texts of the hub."""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.decide.templates.built_in import DIGEST
from hub.decide.templates.digest_texts import (
    TITLES_MAX_CHARS,
    DigestInput,
    ItemValues,
    built_in_texts,
    item_title,
    more_text,
)
from hub.decide.templates.parts import EMAIL_CLIPPED_BYTES
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.translations import language
from hub.send import email_body
from hub.send.message import DigestItem
from tests.client import Json, Tenant, eventually
from tests.digest_setup import HOUR, Running, digest_deployment, end_windows, find, mails_to, text_of, wait_for_ends
from tests.fake_providers import HANG
from tests.provider_setup import new_message
from tests.quiet_hours.times import quiet_now, set_times
from tests.template_sends import DELETE, UPSERT_USERS, store_template

REPLAY = "mutation ($ids: [ID!]!) { replay(ids: $ids) }"
LIST = "{% for item in items %}* {{ item.title }} {{ item.collapsedCount }} {{ item.actionUrl | default: '-' }}\n{% endfor %}"
TABLE = """<html><head><title>{{ count }}</title></head><body><table>{% for item in items %}
<tr><td>{{ item.title }}</td><td><a href="{{ item.actionUrl | default: '/' }}">{{ item.body }}</a></td><td>{{ item.categoryName }}</td></tr>
{% endfor %}</table><a href="{{ notification.unsubscribeUrl }}">{{ user.name }}</a></body></html>"""


@pytest.fixture(scope="module")
async def running(servers: tuple[Mongod, Redis]) -> AsyncIterator[Running]:
    """One email at a time: an email that hangs delays the others."""
    urls = {"public_url": "https://hub.example", "app_url": "https://app.example"}
    async with digest_deployment(servers, 1, delivery_concurrency_by_channel='{"EMAIL": 1}', **urls) as opened:
        yield opened


@pytest.fixture
async def tenant(running: Running) -> AsyncIterator[Tenant]:
    yield running[1]
    for key in ("_digest", "_briefing", "_layout"):
        await running[1].execute_as_admin(DELETE, key=key)


def html_of(mail: Any) -> str:
    return str(mail.get_body(("html",)).get_content())


async def send_items(tenant: Tenant, user: str, *titles: str, **more: Any) -> None:
    for title in titles:
        await tenant.send(user, title=title, **{"channels": ["EMAIL"], "digest": HOUR, **more})


async def test_template_of_the_tenant_renders_digests_on_every_channel(running: Running, tenant: Tenant) -> None:
    """The email links to each item, the count of a collapsed item is shown, and the webhook still lists the items."""
    _, _, fakes, database = running
    await fakes.add_addresses(tenant, "anna")
    await tenant.execute(UPSERT_USERS, users=[{"id": "anna", "name": "Anna <A>", "email": "anna@people.example"}])
    await store_template(tenant, "_digest", title="{{ count }} for {{ user.name }}", body=LIST)
    await store_template(
        tenant, "_digest", channel="EMAIL", subject="Mail of {{ count }}", title=None, body=LIST, html=TABLE
    )
    channels = ["EMAIL", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"]
    for n in range(3):
        content = {"actionUrl": f"/posts/{n}"} if n else {}
        await tenant.send(
            "anna", title=f"<item-{n}>", body=f"body {n} & more", channels=channels, digest=HOUR, content=content
        )
    for _ in range(2):
        await send_items(tenant, "anna", "likes", channels=["IN_APP", *channels], collapseKey="likes")
    await end_windows(database, "anna")
    digests, _ = await wait_for_ends(tenant, "anna", 24)
    assert {(one["status"], one["itemCount"]) for one in digests} <= {("SENT", 4), ("DELIVERED", 4)}
    [mail] = mails_to(fakes, "anna")
    assert mail["Subject"] == "Mail of 4"
    html = html_of(mail)
    assert html.count("<tr>") == 4
    assert "&lt;item-2&gt;</td>" in html
    assert html.count('href="https://hub.example/r/') == 2
    assert "body 0 &amp; more</a></td><td>news</td>" in html
    assert f'{mail["List-Unsubscribe"][1:-1]}">Anna &lt;A&gt;</a>' in html
    plain = text_of(mail)
    assert "* likes 2 -" in plain
    assert plain.count("https://hub.example/r/") == 2
    [body] = fakes.receiver.bodies["/anna"]
    assert (body["data"]["title"], body["data"]["count"], len(body["data"]["items"])) == ("4 for Anna <A>", 4, 4)
    [push] = [push for push, _ in fakes.push.pushes if push["id"] in {one["id"] for one in digests}]
    assert (push["title"], push["body"].splitlines()[1]) == (
        "4 for Anna <A>",
        "* <item-2> 1 https://app.example/posts/2",
    )


async def test_digest_has_the_versions_that_were_current_when_it_was_closed(running: Running, tenant: Tenant) -> None:
    """The templates change before the first call. A retry has the same texts."""
    _, _, fakes, database = running
    await fakes.add_addresses(tenant, "ben", "busy", channels=["EMAIL"])
    await store_template(tenant, "_digest", title="First {{ count }}", body="A")
    await store_template(tenant, "_layout", html="<p>first {{ body }}</p>")
    await send_items(tenant, "ben", "item-1", "item-2")
    fakes.mail.replies = {"DATA": HANG}
    try:
        await tenant.send("busy", channels=["EMAIL"])

        async def in_state(user: str, *statuses: str) -> bool:
            mailbox = {"mailbox": f"acme/{user}", "digest_id": {"$exists": False}, "open": {"$ne": True}}
            return bool(await database.deliveries.find_one(mailbox | {"status": {"$in": list(statuses)}}))

        await eventually(lambda: in_state("busy", "PROCESSING"), 10)
        await end_windows(database, "ben")
        await eventually(lambda: in_state("ben", "ACCEPTED", "RETRYING"), 10)
        await store_template(tenant, "_digest", title="Second {{ count }}", body="B")
        await store_template(tenant, "_layout", html="<p>second {{ body }}</p>")
        fakes.mail.replies = {"DATA": "451 4.3.0 try again later"}
        await eventually(lambda: in_state("ben", "RETRYING"), 10)
    finally:
        fakes.mail.clear_fault()
    await wait_for_ends(tenant, "ben", 3)
    [mail] = mails_to(fakes, "ben")
    assert mail["Subject"] == "First 2"
    assert "<p>first " in html_of(mail)


async def test_digest_that_was_closed_before_keeps_its_versions(running: Running, tenant: Tenant) -> None:
    """Before a retry, its worker met quiet hours, so it waited again."""
    _, _, fakes, database = running
    await fakes.add_addresses(tenant, "dan", channels=["EMAIL"])
    first = await store_template(tenant, "_digest", title="First {{ count }}", body="A")
    await send_items(tenant, "dan", "item-1", "item-2")
    closed = {"template_version": first, "layout_version": 0, "tries": 1}
    await database.deliveries.update_one({"mailbox": "acme/dan", "open": True}, {"$set": closed})
    await store_template(tenant, "_digest", title="Second {{ count }}", body="B")
    await end_windows(database, "dan")
    await wait_for_ends(tenant, "dan", 3)
    [mail] = mails_to(fakes, "dan")
    assert mail["Subject"] == "First 2"


async def test_digest_that_cannot_be_rendered_fails_and_is_replayed_with_the_corrected_template(
    running: Running, tenant: Tenant
) -> None:
    _, _, fakes, database = running
    await fakes.add_addresses(tenant, "cleo", channels=["EMAIL"])
    await store_template(tenant, "_digest", title="{{ items[0].data.order }}", body="")
    await send_items(tenant, "cleo", "item-1", "item-2")
    await end_windows(database, "cleo")
    [digest], items = await wait_for_ends(tenant, "cleo", 3)
    assert Counter((one["status"], one["reason"]) for one in (digest, *items)) == {("FAILED", "TEMPLATE_ERROR"): 3}
    stored = await database.deliveries.find_one({"_id": digest["id"]})
    assert stored
    assert "`title`, line 1: items.data.order has no value" in stored["attempts"][0]["error"]
    assert not mails_to(fakes, "cleo")
    await store_template(tenant, "_digest", title="Corrected", body="")
    await tenant.execute(REPLAY, ids=[items[0]["id"]])
    await wait_for_ends(tenant, "cleo", 3)
    digests, items = await find(tenant, userId="cleo")
    assert {one["status"] for one in (*digests, *items)} == {"SENT"}
    assert [mail["Subject"] for mail in mails_to(fakes, "cleo")] == ["Corrected"]


async def test_recipient_without_a_text_in_their_language_gets_that_of_the_hub(
    running: Running, tenant: Tenant
) -> None:
    """The layout of the tenant contains the list of the hub, with links."""
    _, _, fakes, database = running
    await store_template(tenant, "_digest", locale="de", title="{{ count }} Neuigkeiten", body="Hallo")
    await store_template(tenant, "_layout", html="<p>{{ title }}</p><div class='list'>{{ body }}</div>")
    people = [
        {"id": f"in-{locale}", "email": f"in-{locale}@people.example", "locale": locale} for locale in ("de-AT", "fr")
    ]
    await tenant.execute(UPSERT_USERS, users=people)
    for person in people:
        await send_items(tenant, person["id"], "item-1", "item-2 <b>", content={"actionUrl": "/a"})
    await end_windows(database)
    found = {}
    for person in people:
        await wait_for_ends(tenant, person["id"], 3)
        [found[person["locale"]]] = mails_to(fakes, person["id"])
    assert {locale: mail["Subject"] for locale, mail in found.items()} == {
        "de-AT": "2 Neuigkeiten",
        "fr": "news: 2 nouvelles notifications",
    }
    shown = html_of(found["fr"]).partition("class='list'")[2] or html_of(found["fr"]).partition('class="list"')[2]
    assert "item-2 &lt;b&gt;</a>" in shown
    assert shown.count('href="https://hub.example/r/') == 2


async def test_briefing_has_the_template_for_briefings(running: Running, tenant: Tenant) -> None:
    _, _, fakes, _ = running
    await fakes.add_addresses(tenant, "eva", channels=["WEB_PUSH"])
    body = "{% for item in items %}{{ item.categoryName }} {% endfor %}"
    await store_template(tenant, "_briefing", title="You missed {{ count }}", body=body)
    await set_times(tenant, "eva", quietHours=quiet_now())
    for category in ("news", "other"):
        await tenant.send("eva", category=category, channels=["WEB_PUSH"])
    await set_times(tenant, "eva", quietHours=None)
    await wait_for_ends(tenant, "eva", 3)
    [push] = [push for push, _ in fakes.push.pushes if push["title"] == "You missed 2"]
    assert push["body"] == "other news "


@pytest.mark.parametrize(("title", "shown"), [("Maria commented on the quarterly report", 100), ("報<" * 128, None)])
def test_email_of_a_hundred_items_is_not_cut_by_gmail(title: str, shown: int | None) -> None:
    n = new_message(n_title=title, n_body="A body & more. " * 30).notification
    items = tuple(DigestItem(n, f"https://hub.example/r/{'x' * 90}") for _ in range(100))
    message = new_message(items=items, item_count=120)
    html = email_body.html(message)
    listed = html.count('class="item-title"')
    assert len(html.encode()) < EMAIL_CLIPPED_BYTES
    assert f"and {120 - listed} more" in html
    assert listed == shown or (shown is None and 30 < listed < 100)
    assert email_body.text(message).count("https://hub.example/r/") == 100
    assert "and 20 more" in email_body.text(message)


ITEMS = st.lists(
    st.builds(ItemValues, title=st.text("aé ", min_size=1, max_size=256), collapsed_count=st.integers(1, 50)),
    min_size=1,
    max_size=100,
).map(tuple)


@given(ITEMS, st.integers(0, 1000))
def test_text_of_the_hub_has_as_many_titles_as_fit_and_the_number_of_the_others(
    items: tuple[ItemValues, ...], more: int
) -> None:
    count, reader = len(items) + more, language("en")
    title, body = built_in_texts(DIGEST, DigestInput(items, count), reader)
    assert title == f"Example: {reader.plural('{number} new notification', '{number} new notifications', count)}"
    titles = [item_title(item.title, item.collapsed_count) for item in items]
    listed = next(n for n in range(len(items), 0, -1) if body.startswith("\n".join(titles[:n])))
    rest = count - listed
    assert body == "\n".join([*titles[:listed], *([more_text(rest, reader)] if rest else [])])
    assert listed == 1 or len("\n".join(titles[:listed])) <= TITLES_MAX_CHARS
    if listed < len(items):
        assert len("\n".join(titles[: listed + 1])) >= TITLES_MAX_CHARS


def test_item_without_optional_fields_has_no_values_for_them() -> None:
    expected: Json = {"title": "A", "body": "", "collapsedCount": 1, "category": "example", "categoryName": "Example"}
    assert DigestInput((ItemValues(title="A"),), 3).values() == {"items": [expected | {"data": {}}], "count": 3}
