"""`renderTemplate`: lookup, each part with its syntax, drafts, and the values of each recipient."""

import asyncio

import pytest

from hub.decide.templates.digest_texts import MANY_NEW, ONE_NEW, WHILE_AWAY
from hub.platform.translations import language
from tests.client import GraphQLErrors, Json, Tenant
from tests.template_calls import (
    error,
    get,
    render,
    upsert,
)
from tests.template_sends import send_template


async def test_text_is_looked_up_by_channel_and_locale_then_by_locale(tenant: Tenant) -> None:
    for locale, channel in (("en", None), ("en", "SMS"), ("pt", None), ("pt-BR", "EMAIL"), ("zh-Hant", None)):
        await upsert(tenant, locale=locale, channel=channel, body=f"{locale} {channel}")
    expected = {
        ("pt-BR", "EMAIL"): "pt-BR EMAIL",
        ("pt_br", "EMAIL"): "pt-BR EMAIL",
        ("pt-BR", "SMS"): "pt None",
        ("pt-PT", "EMAIL"): "pt None",
        ("ja", "SMS"): "en SMS",
        ("ja", "EMAIL"): "en None",
        ("zh-Hant-TW", "IN_APP"): "zh-Hant None",
    }
    for (locale, channel), body in expected.items():
        assert (await render(tenant, locale=locale, channel=channel))["body"] == body


async def test_parts_are_rendered_each_with_its_syntax(tenant: Tenant) -> None:
    value = "<b>*A*</b> & Co"
    texts: Json = {
        "subject": "S {{ x }}",
        "title": "T {{ x }}",
        "body": "*B* {{ x }}",
        "markdown": True,
        "html": "<style>p { color: red }</style><p title='{{ x }}'>{{ x }}</p>",
        "preheader": "P {{ x }}",
        "actionUrl": "https://example.org/{{ data.id }}",
        "imageUrl": "{% if image %}{{ image }}{% endif %}",
        "actions": [
            {"key": "open", "label": "Open {{ x }}", "url": "/orders/{{ id }}", "primary": True},
            {"key": "more", "label": "{% if more %}More{% endif %}"},
        ],
    }
    await upsert(tenant, **texts)
    email = await render(tenant, data={"x": value, "id": 7}, channel="EMAIL")
    html = email.pop("html")
    assert 'style="color: red' in html
    assert html.count("&lt;b&gt;*A*&lt;/b&gt; &amp; Co") == 2
    assert email == {
        "subject": f"S {value}",
        "title": f"T {value}",
        "body": r"*B* \<b\>\*A\*\<\/b\> \& Co",
        "markdown": True,
        "preheader": f"P {value}",
        "actionUrl": "https://example.org/7",
        "imageUrl": None,
        "actions": [{"key": "open", "label": f"Open {value}", "url": "/orders/7", "primary": True}],
    }
    push = await render(tenant, data={"x": value, "id": 7}, channel="WEB_PUSH")
    assert (push["title"], push["subject"], push["html"], push["preheader"]) == (f"T {value}", None, None, None)


async def test_subject_and_title_stand_for_each_other(tenant: Tenant) -> None:
    await upsert(tenant, title=None, subject="S")
    await upsert(tenant, locale="de", title="T")
    assert [(await render(tenant, channel="EMAIL"))[part] for part in ("subject", "title")] == ["S", "S"]
    assert [(await render(tenant, channel="EMAIL", locale="de"))[part] for part in ("subject", "title")] == ["T", "T"]
    code, field, _ = await error(upsert(tenant, title=" ", subject=None))
    assert (code, field) == ("BAD_USER_INPUT", "input.title")
    assert (await upsert(tenant, title=None, channel="SMS"))["title"] is None


async def test_data_has_no_effect_on_reserved_names_and_formats(tenant: Tenant) -> None:
    await tenant.execute(
        "mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }",
        u=[{"id": "ann", "name": "Ann", "locale": "de", "timezone": "Europe/Berlin", "attributes": {"plan": "pro"}}],
    )
    body = (
        "{{ user.name }} {{ data.user }} {{ locale }} {{ timezone }} {{ user.locale }} {{ user.timezone }} "
        "{{ user.attributes.plan }} {{ tenant.name }} {{ count }} {{ at | datetime: 'dd.MM.y HH:mm' }} {{ n | decimal }}"
    )
    await upsert(tenant, body=body)
    data = {
        "user": "U",
        "tenant": "T",
        "notification": "N",
        "locale": "fr",
        "timezone": "Asia/Tokyo",
        "_hub_locale": "fr",
        "_hub_timezone": "Asia/Tokyo",
        "count": 40,
        "n": 1234.5,
        "at": "2026-12-24T23:30:00Z",
    }
    rendered = await render(tenant, data=data, reader="ann", locale=None)
    assert rendered["body"] == (f"Ann U fr Asia/Tokyo de Europe/Berlin pro {tenant.name} 40 25.12.2026 00:30 1.234,5")
    assert (await error(render(tenant, data=data, reader="nobody")))[:2] == ("NOT_FOUND", "user")


async def test_missing_value_fails_where_it_is_printed_only(tenant: Tenant) -> None:
    await upsert(tenant, body="{% if order.note %}{{ order.note }}{% endif %}{{ name | default: 'there' }}")
    assert (await render(tenant))["body"] == "there"
    await upsert(tenant, body="Hi\n{{ data.name }}")
    code, field, message = await error(render(tenant))
    assert (code, field) == ("BAD_USER_INPUT", "template")
    assert message == "`body`, line 2: data.name has no value."


async def test_long_texts_are_cut_and_control_characters_are_removed(tenant: Tenant) -> None:
    await upsert(tenant, title="{{ t }}", subject="{{ t }}", body="{{ b }}")
    injected = await render(tenant, data={"t": "A\r\nBcc: eve@example.org", "b": "a\r\nb\x00\x1bc"}, channel="EMAIL")
    assert injected["title"] == injected["subject"] == "A Bcc: eve@example.org"
    assert injected["body"] == "a\nbc"
    long = await render(tenant, data={"t": "x" * 300, "b": "ü" * 16_000})
    assert long["title"] == "x" * 255 + "…"
    assert long["body"].endswith("ü…")
    assert 16_380 <= len(long["body"].encode()) <= 16_384


async def test_rows_of_a_loop_survive_compilation(tenant: Tenant) -> None:
    rows = "{% for row in rows %}<tr><td title=\"{{ row | default: '-' }}\">{{ row }}</td></tr>{% endfor %}"
    html = f"<table>{rows}</table>{{% if rows.size < 9 %}}few{{% endif %}}"
    mjml = (
        "<mjml><mj-body>{% for row in rows %}<mj-section><mj-column><mj-text>{{ row }}</mj-text></mj-column>"
        "</mj-section>{% endfor %}</mj-body></mjml>"
    )
    await upsert(tenant, html=html)
    await upsert(tenant, locale="de", html=mjml)
    data = {"rows": ["a1", "b2", "c3"]}
    for locale in ("en", "de"):
        rendered = (await render(tenant, data=data, channel="EMAIL", locale=locale))["html"]
        assert [rendered.count(f">{row}<") for row in data["rows"]] == [1, 1, 1]


async def test_draft_is_rendered_in_the_place_of_the_stored_text(tenant: Tenant) -> None:
    await upsert(tenant, body="stored")
    draft = {"key": "order", "title": "T", "body": "draft {{ a }}", "sample": {"a": 1}}
    assert (await render(tenant, draft=draft))["body"] == "draft 1"
    assert (await render(tenant, data={"a": 2}, draft=draft))["body"] == "draft 2"
    assert (await render(tenant, draft=draft | {"locale": "de"}))["body"] == "stored"
    assert (await render(tenant, "new", draft=draft | {"key": "new"}))["body"] == "draft 1"
    assert (await get(tenant))["body"] == "stored"
    assert await get(tenant, "new") is None
    code, field, message = await error(render(tenant, draft=draft | {"body": "{{ a | nope }}"}))
    assert (code, field) == ("BAD_USER_INPUT", "draft.body")
    assert "nope" in message
    assert (await error(render(tenant, draft=draft | {"key": "other"})))[1] == "draft.key"


async def test_each_recipient_gets_their_own_values(tenant: Tenant) -> None:
    zones = {"ann": ("de", "Europe/Berlin"), "bob": ("en", "America/New_York"), "eve": ("ja", "Asia/Tokyo")}
    users = [{"id": id, "name": id.title(), "locale": of[0], "timezone": of[1]} for id, of in zones.items()]
    await tenant.execute("mutation ($u: [UserInput!]!) { upsertUsers(users: $u) { id } }", u=users)
    await upsert(
        tenant, body="{{ user.name }} {{ '2026-07-01T12:00:00Z' | datetime: 'd. MMMM HH:mm' }} {{ notification.id }}"
    )
    rendered = {id: (await render(tenant, reader=id, locale=None))["body"] for id in zones}
    assert [body.rpartition(" ")[0] for body in rendered.values()] == [
        "Ann 1. Juli 14:00",
        "Bob 1. July 08:00",
        "Eve 1. 7月 21:00",
    ]
    assert len({body.rpartition(" ")[2] for body in rendered.values()}) == 3


async def test_template_of_digests_is_rendered_with_items_of_the_call_or_with_examples(tenant: Tenant) -> None:
    body = "{% for item in items %}{{ item.title }}/{{ item.data.n }}/{{ item.collapsedCount }} {% endfor %}"
    await upsert(tenant, "_digest", title="{{ count }} of {{ tenant.name }}", body=body)
    items: list[Json] = [{"title": "A", "data": {"n": 1}}, {"title": "B", "data": {"n": 2}, "collapsedCount": 3}]
    rendered = await render(tenant, "_digest", data={"items": items, "count": 9}, channel="EMAIL")
    assert (rendered["subject"], rendered["body"]) == (f"9 of {tenant.name}", "A/1/1 B/2/3 ")
    assert (await render(tenant, "_digest", data={"items": items}))["title"] == f"2 of {tenant.name}"
    assert (await render(tenant, "_digest"))["body"].count("//") == 3
    draft = {"key": "_digest", "title": "T", "body": "{{ items[0].title }}", "sample": {"items": items}}
    assert (await render(tenant, "_digest", draft=draft))["body"] == "A"
    code, field, message = await error(render(tenant, "_digest", data={"items": [{"title": "A", "text": "b"}]}))
    assert (code, field) == ("BAD_USER_INPUT", "template.data")
    assert "unknown field `text` - at `$.items[0]`" in message
    with pytest.raises(GraphQLErrors, match="begin with an underscore cannot be sent"):
        await send_template(tenant, "ann", key="_digest")


async def test_digests_without_a_template_have_the_texts_of_the_hub(tenant: Tenant) -> None:
    items: list[Json] = [{"title": "A", "categoryName": "News"}, {"title": "B", "collapsedCount": 3}]
    titles = {}
    for key in ("_digest", "_briefing"):
        for locale in ("en", "de", "ar"):
            rendered = await render(tenant, key, data={"items": items, "count": 9}, channel="EMAIL", locale=locale)
            titles[key, locale] = rendered["title"]
            assert rendered["subject"] == rendered["title"]
            assert rendered["body"].splitlines()[:2] == ["A", "B (3)"]
    assert titles == {
        ("_digest", "en"): "News: 9 new notifications",
        ("_digest", "de"): "News: 9 neue Benachrichtigungen",
        ("_digest", "ar"): f"News: {language('ar').plural(ONE_NEW, MANY_NEW, 9)}",
        ("_briefing", "en"): "While you were away: 9 new notifications",
        ("_briefing", "de"): "Während Sie weg waren: 9 neue Benachrichtigungen",
        ("_briefing", "ar"): f"{language('ar').text(WHILE_AWAY)}: {language('ar').plural(ONE_NEW, MANY_NEW, 9)}",
    }
    assert (await render(tenant, "_digest", data={"items": items, "count": 9}))["body"] == "A\nB (3)\nand 7 more"


HOSTILE = (
    "{% for i in (1..1000000000) %}{{ i }}{% endfor %}",
    "{% for i in (1..3000000) reversed %}{{ i }}{% endfor %}",
    "{{ (1..2000000) | join: '' | size }}",
    "{{ 'xx' " + "| replace: 'x', 'xxxxxxxxxxxxxxxxxxxx' " * 8 + "}}",
    "{% for i in (1..999) %}{% for j in (1..999) %}{{ j | times: j }}{% endfor %}{% endfor %}",
    "{% assign n = 9999 %}" + "{% assign n = n | times: n %}" * 22 + "{{ n }}",
    "{% for i in (1..1000) %}{{ '" + "x" * 200 + "' }}{% endfor %}",
)


@pytest.mark.usefixtures("no_internal_errors")
async def test_html_that_takes_hours_to_compile_is_refused_while_sends_and_previews_go_on(tenant: Tenant) -> None:
    await upsert(tenant, "stored", body="stored")
    css = "".join(f"b{n}:c;" for n in range(9_000))
    refused = asyncio.create_task(error(upsert(tenant, html=f"<style>*{{{css}}}</style>" + "<p></p>" * 4_500)))
    sent = 0
    while not refused.done():
        sent += (await tenant.send("ann"))["send"]["recipients"]
        for _ in range(2):  # each of the two hubs
            assert (await render(tenant, "stored"))["body"] == "stored"
    assert sent > 3
    code, field, message = await refused
    assert (code, field) == ("BAD_USER_INPUT", "input.html")
    assert "compiling the HTML takes more than 1 s" in message


@pytest.mark.usefixtures("no_internal_errors")
async def test_hostile_templates_are_stopped_while_sends_go_on(tenant: Tenant) -> None:
    """Sixty renderings are each refused with an error, and the sends in between are stored."""

    async def preview(source: str) -> tuple[str, str]:
        draft = {"key": "order", "title": "T", "body": source}
        code, field, _ = await error(render(tenant, draft=draft))
        return code, field

    async def send_one_after_another() -> int:
        return sum([(await tenant.send("ann"))["send"]["recipients"] for _ in range(30)])

    sent, *refused = await asyncio.gather(send_one_after_another(), *(preview(source) for source in HOSTILE * 9))
    assert set(refused) == {("BAD_USER_INPUT", "draft.body")}
    assert sent == 30
