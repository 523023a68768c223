"""The texts of one send: each is rendered once for all recipients for whom everything that it reads is equal."""

import asyncio
import threading
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from functools import partial

import pytest
from msgspec.structs import replace

from hub.decide.templates import parts, recipient_texts
from hub.decide.templates.errors import MissingValue, TemplateError
from hub.decide.templates.lookup import TemplateSet
from hub.decide.templates.parts import Rendered, StoredTemplate, TextLimits, render
from hub.decide.templates.recipient_texts import RecipientTexts
from hub.decide.templates.render_input import RenderInput
from hub.markdown import MARKDOWN_MAX_CHARS
from hub.model import Channel, TemplateTexts, Tenant, User
from hub.platform.batched_reads import BATCH_MAX_KEYS, BatchedReads
from hub.workflows.send_texts import RenderTime

NOW = datetime(2026, 11, 20, 8, 15, 30, tzinfo=UTC)
TENANT = Tenant(id="acme", name="Acme")
ALICE = User(id="acme/alice", created_at=NOW, updated_at=NOW, name="Alice", locale="de", timezone="Asia/Tokyo")
BOB = replace(ALICE, id="acme/bob", name="Bob")


def texts_of(body: str, *, locales: Collection[str] = ("en",), title: str = "Title") -> RecipientTexts:
    stored = [StoredTemplate(TemplateTexts(key="k", locale=one, title=title, body=body), 1) for one in locales]
    data = {"at": "2026-11-20T23:30:00Z", "amount": 5}
    return RecipientTexts(TemplateSet(1, stored), TENANT, data, NOW, TextLimits(256, 16_384))


@pytest.fixture
def rendered(monkeypatch: pytest.MonkeyPatch) -> list[Channel]:
    """The channel of each rendering."""
    calls: list[Channel] = []

    def counted(template: StoredTemplate, channel: Channel, *rest: object) -> Rendered:
        calls.append(channel)
        return render(template, channel, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(recipient_texts, "render", counted)
    return calls


@pytest.mark.parametrize(
    ("body", "users", "count"),
    [
        ("{{ amount }}", [ALICE, BOB], 1),
        ("{{ tenant.name }}{{ 'x' | upcase }}", [ALICE, replace(BOB, locale="fr", timezone="UTC")], 1),
        ("{{ at | datetime }}", [ALICE, BOB], 1),
        ("{{ at | datetime }}", [ALICE, replace(BOB, timezone="UTC")], 2),
        ("{{ amount | currency: 'EUR' }}", [ALICE, replace(BOB, timezone="UTC")], 1),
        ("{{ amount | currency: 'EUR' }}", [ALICE, replace(BOB, locale="fr")], 2),
        ("{{ user.name }}", [ALICE, BOB], 2),
        ("{{ notification.id }}", [ALICE, BOB], 2),
        ("{% if user.id == 'x' %}a{% endif %}", [ALICE, BOB], 2),
    ],
)
def test_rendering_is_shared_only_if_nothing_that_it_reads_differs(
    rendered: list[Channel], body: str, users: list[User], count: int
) -> None:
    texts = texts_of(body)
    for _ in range(3):  # as after a write conflict
        for user in users:
            assert isinstance(texts.render(Channel.IN_APP, user, (user.id, NOW)), Rendered)
    assert len(rendered) == count


@pytest.mark.parametrize(
    ("body", "changed", "again"),
    [
        ("{{ user.name }}", {"name": "Alicia"}, True),
        ("{{ user.name }}", {"attributes": '{"a": 1}'}, True),
        ("{{ user.name }}", {"phone": "+49151"}, False),
        ("{{ amount }}", {"name": "Alicia", "locale": "fr", "timezone": "UTC"}, False),
        ("{{ at | datetime }}", {"timezone": "UTC"}, True),
    ],
)
def test_text_is_rendered_again_only_if_the_user_changed_in_what_it_reads(
    rendered: list[Channel], body: str, changed: dict[str, str], again: bool
) -> None:
    texts = texts_of(body)
    first = texts.render(Channel.IN_APP, ALICE, ("n", NOW))
    second = texts.render(Channel.IN_APP, replace(ALICE, **changed), ("n", NOW))
    assert (second is not first) == again
    assert len(rendered) == 1 + again


def test_check_shares_its_rendering_with_the_recipients_of_the_tenants_locale(rendered: list[Channel]) -> None:
    texts = texts_of("{{ amount }}", title="Amount {{ amount }}")
    assert texts.check(Channel.IN_APP) == "Amount 5"
    assert texts.same_for_all(Channel.IN_APP)
    texts.render(Channel.IN_APP, ALICE, ("n", NOW))
    assert len(rendered) == 1


@pytest.mark.parametrize(
    ("body", "locales", "same"),
    [
        ("{{ amount }}", ["en"], True),
        ("{{ amount }}", ["en", "de"], False),
        ("{{ at | date }}", ["en"], False),
        ("{{ user.id }}", ["en"], False),
    ],
)
def test_users_are_needed_only_if_the_text_depends_on_them(body: str, locales: list[str], same: bool) -> None:
    assert texts_of(body, locales=locales).same_for_all(Channel.IN_APP) is same


def test_errors_are_kept_and_check_raises_those_of_every_recipient() -> None:
    broken = texts_of("{{ 'x' | date: 'long' }}")
    with pytest.raises(TemplateError):
        broken.check(Channel.IN_APP)
    failing = texts_of("{{ user.attributes.plan | append: missing }}")
    with pytest.raises(MissingValue, match="missing has no value"):
        failing.check(Channel.IN_APP)
    of_user = texts_of("{{ user.attributes.plan.name }}", title="Plan of {{ user.name }}")
    assert of_user.check(Channel.IN_APP) == "Plan of"
    error = of_user.render(Channel.IN_APP, ALICE, ("n", NOW))
    assert isinstance(error, MissingValue)
    assert of_user.render(Channel.IN_APP, ALICE, ("n", NOW)) is error


@pytest.mark.parametrize("markdown", [True, False])
def test_markdown_is_cut_to_the_length_that_is_parsed_in_time(markdown: bool) -> None:
    texts = TemplateTexts(key="k", locale="en", title="Title", body="x" * 60_000, markdown=markdown)
    stored = TemplateSet(1, [StoredTemplate(texts, 1)])
    result = RecipientTexts(stored, TENANT, {}, NOW, TextLimits(256, 50_000)).render(Channel.IN_APP, ALICE, ("n", NOW))
    assert isinstance(result, Rendered)
    assert len(result.body.encode()) == (MARKDOWN_MAX_CHARS if markdown else 50_000)


async def test_text_that_was_slow_is_rendered_in_a_thread_until_it_is_fast_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, render_time = texts_of("{{ user.name }}"), RenderTime(4, "input")
    threads: list[str] = []

    def render_for(user: User) -> Rendered | TemplateError:
        threads.append(threading.current_thread().name)
        return texts.render(Channel.IN_APP, user, ("n", NOW))

    for name, slow_s in (("a", 60.0), ("b", -1.0), ("c", 60.0), ("d", 60.0)):
        user = replace(ALICE, name=name)
        monkeypatch.setattr(parts, "SLOW_S", slow_s)
        slow = texts.is_slow(Channel.IN_APP, user, ("n", NOW))
        rendered = await render_time.run(partial(render_for, user), slow=slow)
        assert isinstance(rendered, Rendered)
        assert rendered.body == name
    assert [thread.startswith("slow-templates") for thread in threads] == [False, False, True, False]


def test_only_a_text_that_has_to_be_rendered_and_was_slow_on_the_channel_is_slow(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    template = TemplateTexts(key="k", locale="en", title="Title", body="{{ user.name }}", html="<p>{{ amount }}</p>")
    stored = StoredTemplate(template, 1)
    texts = RecipientTexts(TemplateSet(1, [stored]), TENANT, {"amount": 5}, NOW, TextLimits(256, 16_384))
    given = RenderInput({"amount": 5, "user": {"name": "Alice"}}, locale="en", timezone="UTC", now=NOW)
    slow: set[Channel] = set()
    for slow_s, channel in ((-1.0, Channel.EMAIL), (60.0, Channel.EMAIL), (-1.0, Channel.IN_APP)):
        monkeypatch.setattr(parts, "SLOW_S", slow_s)
        render(stored, channel, given, TextLimits(256, 16_384))
        slow = slow | {channel} if slow_s < 0 else slow - {channel}
        for other in (Channel.EMAIL, Channel.IN_APP):
            assert texts.is_slow(other, ALICE, ("n", NOW)) == texts.check_is_slow(other) == (other in slow)
    texts.render(Channel.IN_APP, ALICE, ("n", NOW))
    assert not texts.is_slow(Channel.IN_APP, ALICE, ("n", NOW))
    assert texts.is_slow(Channel.IN_APP, BOB, ("n", NOW))


async def test_concurrent_reads_are_one_query_that_begins_after_each_call() -> None:
    started: list[set[str]] = []
    proceed = asyncio.Event()

    async def load(keys: Collection[str]) -> Mapping[str, str]:
        started.append(set(keys))
        await proceed.wait()
        return dict.fromkeys(keys, f"query {len(started)}")

    reads: BatchedReads[str, str] = BatchedReads(load)
    first = [asyncio.create_task(reads.get_many([f"a{n}"])) for n in range(5)]
    await asyncio.sleep(0.01)
    later = [asyncio.create_task(reads.get_many([f"b{n}"])) for n in range(5)]
    large = asyncio.create_task(reads.get_many([f"c{n}" for n in range(BATCH_MAX_KEYS)]))
    await asyncio.sleep(0.01)
    assert started == [{f"a{n}" for n in range(5)}]
    proceed.set()
    for n, task in enumerate(first):
        assert (await task)[f"a{n}"] == "query 1"
    for n, task in enumerate(later):
        assert (await task)[f"b{n}"] == "query 2"
    assert len(await large) == BATCH_MAX_KEYS
    assert [len(keys) for keys in started] == [5, 5, BATCH_MAX_KEYS]


async def test_failed_query_fails_its_callers_only() -> None:
    answers: list[Exception | Mapping[str, int]] = [ConnectionError("down"), {"b": 1}]

    async def load(_: Collection[str]) -> Mapping[str, int]:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    reads: BatchedReads[str, int] = BatchedReads(load)
    results = await asyncio.gather(reads.get_many(["a"]), reads.get_many(["b"]), return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionError, ConnectionError]
    assert await reads.get_many(["b"]) == {"b": 1}
