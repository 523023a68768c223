"""The channels SLACK, DISCORD, and TEAMS, against receivers that check what the chats check."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from hub.model import Action, Channel
from hub.platform.outbound_http import OutboundHTTP
from hub.platform.rate_limiter import RateLimiter
from hub.send.chat_card import utf16_units
from hub.send.delivery_rate_limits import DeliveryThrottle
from hub.send.message import DigestItem, Message
from hub.send.outcome import Dead, Gone, Outcome, Retry, Sent
from tests.chat_setup import MODULES, ChatCase, chat_case, chat_device, chat_message, reply
from tests.fake_chats import FakeSlack
from tests.provider_setup import NOW, FakeServers, new_message, provider_settings, without_secrets

pytestmark = pytest.mark.usefixtures("no_secrets_in_logs")
CHATS = list(MODULES)
INVISIBLE = "\u200b"
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
HOSTILE = (
    "<!channel> <!here|x> <@U024BE7LH> <#C024BE7LR> <https://evil.example|Sign in> @everyone @here <@&1> <@1> "
    "*bold* _italic_ ~gone~ `code` ||spoiler|| **b** __u__ [x](https://evil.example/) :smile: &lt;!channel&gt; "
    "<at>Ann</at> {{DATE(2026-11-20T08:00:00Z)}} <script>alert(1)</script>\n> quote\n# head\n- item\n1. one\n-# small"
)
"""Texts that would act in one of the chats."""


@pytest.fixture
async def fakes(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeServers]:
    """Opens fake servers without those of Amazon."""
    async with AsyncExitStack() as stack:
        egress = await stack.enter_async_context(OutboundHTTP(allow=["127.0.0.0/8"]))
        yield FakeServers(stack, egress, "", monkeypatch)


async def sent(fakes: FakeServers, channel: Channel, **fields: Any) -> Any:
    """Send a message and return the body that the chat accepted."""
    case = await chat_case(channel, fakes)
    message = replace(case.message(), **fields) if "items" in fields else chat_message(channel, case.chat.url, **fields)
    assert isinstance(without_secrets(await case.provider.send(message)), Sent)
    [body] = case.chat.accepted
    assert case.chat.ids == [message.id]
    return body


def shown_texts(channel: Channel, body: Any) -> tuple[str, str]:
    """Return the title and the text that a reader sees: the markup of the chat is removed as the chat does it."""
    if channel is Channel.SLACK:
        blocks = {block["type"]: block for block in body["blocks"]}
        text = blocks["section"]["text"] if "section" in blocks else {"type": "plain_text", "text": ""}
        shown = text["text"]
        if text["type"] == "mrkdwn":
            shown = re.sub(r"<(https?://[^|>]+)\|([^>]*)>", r"\2", shown).replace(INVISIBLE, "")
            shown = shown.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
        return blocks["header"]["text"]["text"], shown
    if channel is Channel.DISCORD:
        [embed] = body["embeds"]

        def plain(markup: str) -> str:
            links = re.sub(
                r"(?<!\\)\[((?:[^\]\\]|\\.)*)\]\([^)]*\)", r"\1", re.sub(r"(?<!\\)<(https?:[^>]+)>", r"\1", markup)
            )
            return re.sub(r"\\([^0-9A-Za-z\s])", r"\1", links)

        return plain(embed["title"]), plain(embed.get("description", ""))
    _, title, *texts, _ = [
        "".join(run["text"] for run in element["inlines"])
        for element in body["attachments"][0]["content"]["body"]
        if element["type"] == "RichTextBlock"
    ]
    return title, "\n".join(texts).replace(INVISIBLE, "")


@pytest.mark.parametrize("channel", CHATS)
@pytest.mark.parametrize("link", ["", " https://ok.example/a_b?c=d&e"])
async def test_text_cannot_act_and_is_shown_as_it_is(fakes: FakeServers, channel: Channel, link: str) -> None:
    hostile = HOSTILE + link if link else HOSTILE.replace("https://", "//")
    body = await sent(fakes, channel, n_title=hostile[:120], n_body=hostile)
    assert shown_texts(channel, body) == (hostile[:120], hostile)
    if channel is Channel.SLACK:
        [section] = [block["text"] for block in body["blocks"] if block["type"] == "section"]
        assert section["type"] == ("mrkdwn" if link else "plain_text")
        if link:
            unescaped = re.sub(r"<https?://[^|>]+\|[^>]*>", "", section["text"])
            assert not re.search(rf"[*_~`](?!{INVISIBLE})|:(?=[a-z]+:)|[<>]", unescaped)
    if channel is Channel.DISCORD:
        rest = re.sub(r"\\.|<https://[^>]*>", "", body["embeds"][0]["description"])
        assert not re.search(r"[*_~`|<>\[\]#@:-]", rest)


MARKDOWN = (
    "**Two** of `a*b` in [log](/build/1?x=1&y=2) and [*other*](https://ci.example/(1))\n\n- one\n- two <!channel>"
)


async def test_markdown_becomes_the_markup_of_each_chat(fakes: FakeServers) -> None:
    fields = {"n_body": MARKDOWN, "n_markdown": True, "app_url": "https://app.example"}
    slack = await sent(fakes, Channel.SLACK, **fields)
    [section] = [block["text"] for block in slack["blocks"] if block["type"] == "section"]
    assert section["text"].replace(INVISIBLE, "") == (
        "*Two* of `a*b` in <https://app.example/build/1?x=1&amp;y=2|log> and _<https://ci.example/%281%29|other>_\n"
        "• one\n• two &lt;!channel&gt;"
    )
    discord = await sent(fakes, Channel.DISCORD, **fields)
    assert discord["embeds"][0]["description"] == (
        "**Two** of `a*b` in [log](https://app.example/build/1?x=1&y=2) and *[other](https://ci.example/%281%29)*\n"
        "• one\n• two \\<!channel\\>"
    )
    teams = await sent(fakes, Channel.TEAMS, **fields)
    blocks = teams["attachments"][0]["content"]["body"]
    runs = [run for block in blocks if block["type"] == "RichTextBlock" for run in block["inlines"]]
    [log] = [run for run in runs if run["text"] == "log"]
    assert log["selectAction"]["url"] == "https://app.example/build/1?x=1&y=2"
    assert [run["text"] for run in runs if run.get("italic")] == ["other"]
    assert [run["text"] for run in runs if run.get("fontType") == "Monospace"] == ["a*b"]


@pytest.mark.parametrize("channel", CHATS)
@pytest.mark.parametrize("text", [FAMILY, "\U0001f1e9\U0001f1ea", "e\u0301", "<&>*_`", "\U0001f44d\U0001f3fd"])
async def test_oversize_text_is_cut_between_whole_characters(fakes: FakeServers, channel: Channel, text: str) -> None:
    many = text * 20_000
    action = Action(key="a", label=text * 120, url="https://app.example/" + "a" * 400, primary=True)
    fields = {
        "n_title": text * 1000,
        "n_body": f"{many}\n\nhttps://end.example/",
        "n_actions": (action,),
        "t_name": text * 1000,
    }
    body = await sent(fakes, channel, **fields)
    for shown in shown_texts(channel, body):
        kept = shown.removesuffix("…")
        assert kept != shown, "cut with an ellipsis"
        assert kept
        assert kept.replace(text, "") in ("", *(text[:n] for n in range(len(text)) if text == "<&>*_`"))


@pytest.mark.parametrize("channel", CHATS)
async def test_cut_text_fills_the_limit(fakes: FakeServers, channel: Channel) -> None:
    body = await sent(fakes, channel, n_title="x" * 2000, n_body="word " * 8000)
    if channel is Channel.TEAMS:
        assert 27_000 < len(json.dumps(body)) <= 28 * 1024
    else:
        title, text = shown_texts(channel, body)
        limits = {Channel.SLACK: (150, 3000), Channel.DISCORD: (256, 4096)}[channel]
        assert (utf16_units(title), utf16_units(text)) == limits


@pytest.mark.parametrize("channel", CHATS)
async def test_message_has_image_buttons_and_reason(fakes: FakeServers, channel: Channel) -> None:
    actions = (
        Action(key="later", label="Later", url="https://app.example/later"),
        Action(key="open", label="Open", url=None, primary=True),
    )
    fields = {
        "n_image_url": "https://app.example/i.png",
        "n_action_url": "https://app.example/b/1",
        "n_actions": actions,
        "app_url": "https://app.example",
        "receipt_url": "https://hub.example/r/secret",
    }
    text = json.dumps(await sent(fakes, channel, **fields))
    for expected in (
        "https://app.example/i.png",
        "https://app.example/later",
        '"Open"',
        "You were named by the sender.",
    ):
        assert expected in text
    assert text.index('"Open"') < text.index('"Later"'), "the primary action is first"
    assert "hub.example" not in text, "a click of another reader must not mark the notification as read"


async def test_discord_leaves_out_a_button_with_a_long_url(fakes: FakeServers) -> None:
    url = "https://app.example/" + "a" * 600
    body = await sent(fakes, Channel.DISCORD, n_actions=(Action(key="a", label="Open", url=url),))
    assert "components" not in body
    assert body["embeds"][0]["url"] == url


async def test_slack_message_is_sent_without_an_image_that_slack_cannot_load(fakes: FakeServers) -> None:
    case = await chat_case(Channel.SLACK, fakes)
    server = case.chat
    assert isinstance(server, FakeSlack)
    server.broken_images = frozenset({"https://intranet.example/i.png"})
    message = chat_message(Channel.SLACK, server.url, n_image_url="https://intranet.example/i.png")
    assert await case.provider.send(message) == Sent()
    assert (server.calls, [block["type"] for block in server.accepted[0]["blocks"]]) == (
        2,
        ["header", "section", "context"],
    )


@pytest.mark.parametrize("channel", CHATS)
async def test_digest_lists_its_items(fakes: FakeServers, channel: Channel) -> None:
    def item(n: int) -> DigestItem:
        n_of = new_message(n_title=f"Item *{n}*", n_body="First\nline", n_action_url=f"https://app.example/{n}")
        return DigestItem(n_of.notification, "https://hub.example/r/secret")

    body = await sent(fakes, channel, items=(item(2), item(1)), item_count=5)
    _, text = shown_texts(channel, body)
    found = text.replace("**", "") if channel is Channel.DISCORD else text
    assert [found.count(one) for one in ("Item *2*", "Item *1*", "First line", "and 3 more")] == [1, 1, 2, 1]
    assert "https://app.example/2" in json.dumps(body)
    assert "hub.example" not in json.dumps(body)


SLACK, DISCORD, TEAMS = CHATS
RATE_LIMITED = {"message": "You are being rate limited.", "retry_after": 0.457}


@pytest.mark.parametrize(
    ("channel", "response", "expected"),
    [
        (SLACK, (410, {}, "channel_is_archived"), Gone("HTTP 410 (channel_is_archived)")),
        (SLACK, (404, {}, "channel_not_found\n"), Gone("HTTP 404 (channel_not_found)")),
        (SLACK, (403, {}, "invalid_token"), Gone("HTTP 403 (invalid_token)")),
        (SLACK, (400, {}, "invalid_payload"), Dead("HTTP 400 (invalid_payload)")),
        (SLACK, (400, {}, "a text with a secret"), Dead("HTTP 400")),
        (SLACK, (429, {"retry-after": "30"}, "rate_limited"), Retry("HTTP 429 (rate_limited)", 30)),
        (SLACK, (500, {}, "rollup_error"), Retry("HTTP 500 (rollup_error)")),
        (SLACK, (308, {"location": "https://elsewhere.example/"}, ""), Dead("HTTP 308")),
        (DISCORD, (404, {}, {"code": 10003}), Gone("HTTP 404 (code 10003)")),
        (DISCORD, (401, {}, {"code": 50027}), Gone("HTTP 401 (code 50027)")),
        (DISCORD, (404, {}, "not found"), Dead("HTTP 404")),
        (DISCORD, (403, {}, {"code": 50013}), Dead("HTTP 403 (code 50013)")),
        (DISCORD, (429, {"retry-after": "1"}, RATE_LIMITED), Retry("HTTP 429", 0.457)),
        (DISCORD, (429, {"retry-after": "7"}, "<html>Cloudflare</html>"), Retry("HTTP 429", 7)),
        (DISCORD, (429, {"retry-after": "3"}, {"retry_after": "soon"}), Retry("HTTP 429", 3)),
        (DISCORD, (429, {}, {"retry_after": -1}), Retry("HTTP 429")),
        (DISCORD, (503, {}, ""), Retry("HTTP 503")),
        (TEAMS, (202, {}, ""), Sent()),
        (TEAMS, (200, {}, "1"), Sent()),
        (TEAMS, (200, {}, "failed: Microsoft Teams endpoint returned HTTP error 429 with ContextId"), Retry("HTTP 429")),
        (TEAMS, (200, {}, "failed: Microsoft Teams endpoint returned HTTP error 413"), Dead("HTTP 413")),
        (TEAMS, (410, {}, ""), Gone("HTTP 410")),
        (TEAMS, (401, {}, {"error": {"code": "DirectApiAuthorizationRequired"}}), Dead("HTTP 401 (DirectApiAuthorizationRequired)")),
        (TEAMS, (400, {}, {"error": {"code": "x y", "message": "?"}}), Dead("HTTP 400")),
        (TEAMS, (400, {}, {"error": ["?"]}), Dead("HTTP 400")),
        (TEAMS, (429, {"retry-after": "12"}, ""), Retry("HTTP 429", 12)),
    ],
)  # fmt: skip
async def test_response_has_its_outcome(
    fakes: FakeServers, channel: Channel, response: tuple[int, dict[str, str], Any], expected: Outcome
) -> None:
    case = await chat_case(channel, fakes)
    case.chat.fault = lambda: reply(*response)
    assert without_secrets(await case.provider.send(case.message())) == expected
    assert case.chat.calls == 1


async def outcome(case: ChatCase, *response: Any) -> Any:
    case.chat.fault = lambda: reply(*response)
    return await case.provider.send(case.message())


async def test_discord_reports_its_limits(fakes: FakeServers) -> None:
    case = await chat_case(Channel.DISCORD, fakes)
    spent = {"x-ratelimit-remaining": "0", "x-ratelimit-reset-after": "1.25"}
    assert await outcome(case, 200, spent, {"id": "42"}) == Sent("42", pause_s=1.25)
    assert await outcome(case, 200, spent | {"x-ratelimit-remaining": "1"}, {"id": "x"}) == Sent()
    assert await outcome(case, 200, spent | {"x-ratelimit-reset-after": "nan"}, {}) == Sent()
    assert (await outcome(case, 429, {}, {"retry_after": 64, "global": True})).shared is True
    assert (await outcome(case, 429, {}, {"retry_after": 64, "global": False})).shared is None


@pytest.mark.parametrize("channel", CHATS)
async def test_device_without_url_and_denied_address_are_dead(fakes: FakeServers, channel: Channel) -> None:
    [provider] = await MODULES[channel].create_providers(fakes.resources(provider_settings()))
    for device in (None, chat_device(channel, "", token=None)):
        assert await provider.send(new_message(device=device, n_because="NAMED")) == Dead("the device has no URL")
    inside = chat_message(channel, "http://169.254.169.254")
    assert isinstance(without_secrets(await provider.send(inside)), Dead)
    assert await MODULES[channel].create_providers(fakes.resources(provider_settings(chats=()))) == ()


@pytest.mark.parametrize("channel", CHATS)
def test_preview_looks_like_the_chat_and_has_no_secret(channel: Channel) -> None:
    message: Message = chat_message(channel, n_body=f"**Bold** {HOSTILE}", n_markdown=True, n_title="<b>Title</b>")
    preview = MODULES[channel].preview(replace(message, created_at=NOW + timedelta(minutes=1)))
    assert preview.html
    assert f'class="{channel.lower()}"' in preview.html
    assert "<strong>Bold</strong>" in preview.html
    assert "&lt;b&gt;Title&lt;/b&gt;" in preview.html
    assert "<script>" not in preview.html
    assert json.loads(preview.text)
    without_secrets(Dead(preview.html.replace(message.notification.title, "") + preview.text))


def test_webhook_waits_for_the_pace_of_its_chat_and_for_what_the_chat_requested() -> None:
    no_redis: Any = None
    throttle = DeliveryThrottle(RateLimiter(no_redis, "", now=lambda: 1000.0), provider_settings())

    def wait_s(channel: Channel, webhook: str = "hook") -> float:
        return throttle.wait_s(channel, "acme", "", "HIGH", webhook)

    for channel, allowed in ((SLACK, 1), (DISCORD, 5), (TEAMS, 4)):
        waits = [wait_s(channel) for _ in range(allowed + 3)]
        assert [wait > 0 for wait in waits] == [False] * allowed + [True] * 3
        assert waits[allowed:] == sorted(waits[allowed:]), "those that wait do not all become due at once"
    throttle.pause(DISCORD, "a", Sent("1", pause_s=30))
    throttle.pause(TEAMS, "a", Retry("HTTP 429", 30))
    throttle.pause(SLACK, "a", Retry("HTTP 503"))
    assert [wait_s(channel, "a") > 29 for channel in CHATS] == [False, True, True]
    assert [wait_s(channel, "b") for channel in CHATS] == [0, 0, 0]
    throttle.pause(DISCORD, "a", Retry("HTTP 429", 30, shared=True))
    assert wait_s(DISCORD, "c") > 29, "Discord limits all webhooks"
    throttle.pause(TEAMS, "d", Retry("HTTP 429", 1e9))
    assert wait_s(TEAMS, "d") <= provider_settings().retry_after_max_s + 1
