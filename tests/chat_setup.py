"""Providers of chats, each with its fake server."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from aiohttp import web

from hub.model import Channel, Device, DeviceKind
from hub.send.channels import discord, slack, teams
from hub.send.message import Message
from tests.fake_chats import FakeChat, FakeDiscord, FakeSlack, FakeTeams, Reply
from tests.provider_setup import (
    NOW,
    PRIVATE_VALUES,
    FakeServers,
    ProviderCase,
    http_fault_setter,
    new_message,
    provider_settings,
)

TOKEN = PRIVATE_VALUES["chat"]
MODULES: dict[Channel, Any] = {Channel.SLACK: slack, Channel.DISCORD: discord, Channel.TEAMS: teams}
FAKES: dict[Channel, type[FakeChat]] = {
    Channel.SLACK: FakeSlack,
    Channel.DISCORD: FakeDiscord,
    Channel.TEAMS: FakeTeams,
}
PATHS = {
    Channel.SLACK: f"/services/T000/B000/{TOKEN}",
    Channel.DISCORD: f"/api/webhooks/1000/{TOKEN}",
    Channel.TEAMS: f"/workflows/0/triggers/manual/paths/invoke?api-version=2016-06-01&sig={TOKEN}",
}
FAULTS: dict[Channel, dict[str, tuple[int, dict[str, str], Any]]] = {
    Channel.SLACK: {
        "slow_down": (429, {"retry-after": "2"}, "rate_limited"),
        "down": (503, {}, "service unavailable"),
        "permanent": (403, {}, "action_prohibited"),
        "gone": (404, {}, "no_service"),
    },
    Channel.DISCORD: {
        "slow_down": (
            429,
            {"retry-after": "3", "x-ratelimit-scope": "user"},
            {"message": "You are being rate limited.", "retry_after": 2.0, "global": False},
        ),
        "down": (502, {}, "<html>bad gateway</html>"),
        "permanent": (400, {}, {"message": "Cannot send an empty message", "code": 50006}),
        "gone": (404, {}, {"message": "Unknown Webhook", "code": 10015}),
    },
    Channel.TEAMS: {
        "slow_down": (429, {"retry-after": "2"}, ""),
        "down": (504, {}, ""),
        "permanent": (400, {}, {"error": {"code": "WorkflowTriggerIsNotEnabled", "message": f"At {TOKEN}."}}),
        "gone": (404, {}, {"error": {"code": "WorkflowNotFound", "message": f"At {TOKEN}."}}),
    },
}
"""The documented errors: the status, the headers, and the body."""


@dataclass(kw_only=True)
class ChatCase(ProviderCase):
    chat: FakeChat


def reply(status: int, headers: dict[str, str], body: Any) -> web.Response:
    if isinstance(body, str):
        return web.Response(status=status, headers=headers, text=body)
    return web.json_response(body, status=status, headers=headers)


def chat_device(channel: Channel, base_url: str, **fields: Any) -> Device:
    fields = {"token": f"{base_url}{PATHS[channel]}", **fields}
    return Device(id="d3", kind=DeviceKind(channel.value), key="k", created_at=NOW, **fields)


def chat_message(channel: Channel, base_url: str = "https://chat.example", **fields: Any) -> Message:
    return new_message(device=chat_device(channel, base_url), n_because="NAMED", **fields)


async def chat_case(channel: Channel, fakes: FakeServers, timeout_s: float = 10) -> ChatCase:
    server = await fakes.stack.enter_async_context(FAKES[channel]())
    [provider] = await MODULES[channel].create_providers(
        fakes.resources(provider_settings(provider_timeout_s=timeout_s))
    )
    faults: dict[str, Reply] = {name: partial(reply, *fault) for name, fault in FAULTS[channel].items()}
    return ChatCase(
        provider,
        server,
        lambda: chat_message(channel, server.url),
        http_fault_setter(server, faults),
        lambda: server.calls,
        lambda: len(server.accepted),
        chat=server,
    )


CHAT_CASES = {
    channel.lower(): (lambda fakes, timeout_s, channel=channel: chat_case(channel, fakes, timeout_s))
    for channel in MODULES
}
