"""Whole templates without a server: lookup order, sharing, and the checks after rendering."""

import asyncio
import itertools
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.decide.templates import TemplateError, parts
from hub.decide.templates.lookup import TemplateSet, canonical_locale, locale_chain
from hub.decide.templates.parts import (
    EMAIL_CLIPPED_BYTES,
    StoredTemplate,
    TextLimits,
    compiled,
    is_clipped,
    render,
    sharing_key,
)
from hub.decide.templates.render_input import RenderInput, merged_data, render_input
from hub.links import is_link
from hub.model import Action, Channel, TemplateTexts, Tenant, User
from hub.platform import cpu_timer
from hub.platform.shared_reads import SharedReads
from hub.unicode_text import is_blank, is_single_line

NOW = datetime(2026, 11, 29, 12, 30, tzinfo=UTC)
LIMITS = TextLimits(title_max_chars=20, body_max_bytes=50)
VALUES = st.text(max_size=80) | st.sampled_from(
    ["x" * 80, "javascript:alert(1)", "\r\nBcc: x@example.org", "//host/x", "/a"]
)


def template(**texts: Any) -> StoredTemplate:
    return StoredTemplate(compiled(TemplateTexts(**{"key": "k", "locale": "en", "title": "T", "body": "B", **texts})))


def input_for(data: dict[str, Any], **profile: Any) -> RenderInput:
    user = User(id="t/ann", created_at=NOW, updated_at=NOW, **profile)
    return render_input(Tenant(id="t"), user, ("n1", NOW), data, locale="en", timezone="UTC", now=NOW)


@pytest.mark.parametrize(
    ("locale", "tenant_locale", "chain"),
    [
        ("pt-BR", "de", ("pt-BR", "pt", "de", "en")),
        ("pt_br", "pt-PT", ("pt-BR", "pt", "pt-PT", "en")),
        ("en-GB", "en", ("en-GB", "en")),
        ("ZH-hant-tw", "de-AT", ("zh-Hant-TW", "zh-Hant", "zh", "de-AT", "de", "en")),
    ],
)
def test_locales_are_looked_up_from_the_recipients_to_english(
    locale: str, tenant_locale: str, chain: tuple[str, ...]
) -> None:
    assert locale_chain(locale, tenant_locale) == chain
    assert canonical_locale(chain[0]) == chain[0]


def test_language_is_more_important_than_the_channel() -> None:
    stored = TemplateSet(1, [template(body="de", locale="de"), template(body="sms", channel=Channel.SMS)])
    found = stored.find(("de", "en"), Channel.SMS)
    assert found
    assert found.texts.body == "de"
    english = stored.find(("fr", "en"), Channel.SMS)
    assert english
    assert english.texts.body == "sms"
    assert stored.find(("fr", "en"), Channel.EMAIL) is None


@pytest.mark.parametrize(
    ("texts", "channel", "key"),
    [
        ({"body": "{{ data.a }} {{ tenant.name }} {{ enriched.b }}"}, Channel.IN_APP, ("", "")),
        ({"body": "{{ a | datetime }}"}, Channel.IN_APP, ("de", "Europe/Berlin")),
        ({"title": "{{ a | decimal }}"}, Channel.IN_APP, ("de", "")),
        ({"action_url": "/confirm?n={{ notification.id }}"}, Channel.IN_APP, None),
        ({"actions": (Action(key="a", label="A", url="/{{ user.id }}"),)}, Channel.IN_APP, None),
        ({"html": "<p>{{ user.name }}</p>"}, Channel.IN_APP, ("", "")),
        ({"html": "<p>{{ user.name }}</p>"}, Channel.EMAIL, None),
        ({"preheader": "{{ user.name }}"}, Channel.EMAIL, None),
        ({"whatsapp_variables": ("{{ user.name }}",)}, Channel.SMS, ("", "")),
        ({"whatsapp_variables": ("{{ user.name }}",)}, Channel.WHATSAPP, None),
    ],
)
def test_rendering_is_shared_by_what_its_channel_reads(texts: Any, channel: Channel, key: Any) -> None:
    assert sharing_key(template(**texts), channel, "de", "Europe/Berlin") == key


WITH_VALUE = template(
    title="a{{ x }}",
    body="{{ x }}",
    preheader="{{ x }}",
    action_url="{{ u }}",
    actions=(Action(key="a", label="{{ x }}", url="/{{ x }}"),),
    html='<a href="https://example.org/{{ x }}">{{ x }}</a>',
)


@given(st.fixed_dictionaries({"x": VALUES, "u": st.just("/a") | VALUES}))
def test_no_value_breaks_a_limit_or_makes_a_link_run_code(data: dict[str, Any]) -> None:
    try:
        rendered = render(WITH_VALUE, Channel.EMAIL, input_for(data), LIMITS)
    except TemplateError as error:
        assert error.part in {"actionUrl", "actions.0.url"}
        assert "link" in error.reason
        return
    for line in (rendered.title, rendered.subject, rendered.preheader, *(action.label for action in rendered.actions)):
        assert line is None or (is_single_line(line) and not is_blank(line))
    assert rendered.title
    assert len(rendered.title) <= LIMITS.title_max_chars
    assert len(rendered.body.encode()) <= LIMITS.body_max_bytes
    assert "\r" not in rendered.body
    assert rendered.html
    assert rendered.html.encode()
    assert all(url is None or is_link(url) for url in (rendered.action_url, *(a.url for a in rendered.actions)))


def test_data_of_the_template_lies_over_the_data_of_the_send() -> None:
    assert merged_data('{"a": 1, "b": 2}', '{"b": 3}') == {"a": 1, "b": 3}
    assert merged_data("[1]", None) == [1]
    assert merged_data(None, None) == {}


def test_missing_profile_fields_are_missing_values() -> None:
    greeting = template(body="{{ user.name | default: 'you' }}")
    assert render(greeting, Channel.SMS, input_for({}), LIMITS).body == "you"
    assert render(greeting, Channel.SMS, input_for({}, name="Ann"), LIMITS).body == "Ann"
    with pytest.raises(TemplateError, match=r"`body`, line 1: user.name has no value"):
        render(template(body="{{ user.name }}"), Channel.SMS, input_for({}), LIMITS)
    with pytest.raises(TemplateError, match="enriched"):
        render(template(body="{{ enriched.x }}"), Channel.SMS, input_for({"enriched": {"x": 1}}), LIMITS)


def test_blank_title_is_an_error_except_for_channels_without_title() -> None:
    blank = template(title="{{ x }}")
    with pytest.raises(TemplateError, match=r"`title`: no visible character"):
        render(blank, Channel.IN_APP, input_for({"x": " \u200b"}), LIMITS)
    assert render(blank, Channel.SMS, input_for({"x": ""}), LIMITS).title is None


def test_all_texts_of_a_template_share_one_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = template(body="{% for i in (1..1000) %}{{ i }}{% endfor %}", actions=(Action(key="a", label="A"),))
    assert render(slow, Channel.IN_APP, input_for({}), LIMITS).actions
    monkeypatch.setattr(parts, "RENDER_MAX_S", 0.0)  # each text alone has another limit
    with pytest.raises(TemplateError, match="rendering all texts takes longer"):
        render(slow, Channel.IN_APP, input_for({}), LIMITS)


def test_rendering_that_is_interrupted_once_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the garbage collector, for example. A text that takes too long twice is refused."""
    times = [0.0, 0.0, 0.0, 1.0]
    clock = SimpleNamespace(
        thread_time=lambda: times.pop(0) if len(times) > 1 else times[0], perf_counter=itertools.count().__next__
    )
    monkeypatch.setattr(cpu_timer, "time", clock)
    loop = template(body="{% for i in (1..1000) %}{{ i }}{% endfor %}")
    assert render(loop, Channel.IN_APP, input_for({}), LIMITS).body.startswith("12345")
    clock.thread_time = itertools.count(step=0.02).__next__
    with pytest.raises(TemplateError, match="`body`, line 1: rendering takes longer than 50 ms"):
        render(loop, Channel.IN_APP, input_for({}), LIMITS)


def test_html_that_gmail_cuts_is_found() -> None:
    assert not is_clipped("x" * EMAIL_CLIPPED_BYTES)
    assert is_clipped("ü" * (EMAIL_CLIPPED_BYTES // 2 + 1))


async def test_concurrent_reads_are_shared_but_never_begin_before_their_callers() -> None:
    stored = 0
    reads = 0

    async def read(_: str) -> int:
        nonlocal reads
        reads += 1
        seen = stored
        await asyncio.sleep(0)
        return seen

    shared = SharedReads(read)

    async def write_and_read() -> tuple[int, int]:
        nonlocal stored
        stored += 1
        written = stored
        return written, await shared.get("key")

    async def later(turns: int) -> tuple[int, int]:
        for _ in range(turns):
            await asyncio.sleep(0)
        return await write_and_read()

    results = await asyncio.gather(*(later(n % 20) for n in range(400)))
    assert all(seen >= written for written, seen in results)
    assert reads <= 40
    cancelled = asyncio.create_task(shared.get("key"))
    other = asyncio.create_task(shared.get("key"))
    await asyncio.sleep(0)
    cancelled.cancel()
    assert await other == stored
