"""`connectChat`, and the deliveries to chats."""

import json
from collections import Counter
from uuid import uuid4

import pytest

from hub.model import Channel, Role
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.channel_setup import SHORT_TIMES, list_deliveries, wait_for_deliveries
from tests.chat_setup import FAKES, PATHS, reply
from tests.chat_setup import TOKEN as RANDOM_TOKEN
from tests.client import Json, Tenant, eventually
from tests.device_calls import register
from tests.graphql_errors import expect_error
from tests.inbox_watchers import find_log_faults
from tests.processes import Deployment

CHAT = "id kind label url maskedUrl platform createdAt lastUsedAt"
CONNECT_CHAT = (
    "mutation ($kind: DeviceKind!, $to: String!, $label: String) "
    f"{{ d: connectChat(kind: $kind, url: $to, label: $label) {{ {CHAT} }} }}"
)
MY_CHATS = f"{{ me {{ devices {{ {CHAT} }} }} }}"
REMOVE = "mutation ($id: ID!) { removeDevice(id: $id) }"
EXPORT = "mutation ($id: ID!) { exportUser(id: $id) }"
ERASE = "mutation ($id: ID!) { deleteUser(id: $id) }"
TOKEN = "SecretSecretSecretwXyZ"
SLACK_URL = f"https://hooks.slack.com/services/T000/B000/{TOKEN}"
TEAMS_QUERY = f"/workflows/0?sig={TOKEN}"


@pytest.mark.parametrize(
    ("kind", "url", "host"),
    [
        ("SLACK", SLACK_URL, "hooks.slack.com"),
        ("SLACK", f" {SLACK_URL}\n", "hooks.slack.com"),
        ("DISCORD", f"https://discord.com/api/webhooks/1/{TOKEN}", "discord.com"),
        ("DISCORD", f"https://discordapp.com/api/v10/webhooks/1/{TOKEN}?thread_id=2{TOKEN[-4:]}", "discordapp.com"),
        ("TEAMS", f"https://prod-1.westeurope.logic.azure.com:443{TEAMS_QUERY}", "prod-1.westeurope.logic.azure.com"),
        ("TEAMS", f"https://a.b.environment.api.powerplatform.com:443{TEAMS_QUERY}", "a.b.environment.api.powerplatform.com"),
        ("TEAMS", f"https://acme.webhook.office.com/webhookb2/{TOKEN}", "acme.webhook.office.com"),
    ],
)  # fmt: skip
async def test_chat_shows_its_host_and_four_characters(tenant: Tenant, kind: str, url: str, host: str) -> None:
    connected = await register(tenant, "alice", CONNECT_CHAT, kind=kind, to=url, label="#alerts")
    assert (connected["kind"], connected["label"], connected["url"]) == (kind, "#alerts", None)
    assert connected["maskedUrl"] == f"{host} …{TOKEN[-4:]}"


@pytest.mark.parametrize(
    ("kind", "url", "field"),
    [
        ("SLACK", SLACK_URL.replace("https", "http"), "url"),
        ("SLACK", "https://hooks.slack.com/", "url"),
        ("SLACK", "https://hooks.slack.com/triggers/T000/1/abc", "url"),
        ("SLACK", "https://hooks.slack.com:80/services/T/B/x", "url"),
        ("SLACK", "https://hooks.slack.com.evil.example/services/T/B/x", "url"),
        ("SLACK", "https://evil.example/hooks.slack.com/services/T/B/x", "url"),
        ("SLACK", "https://hooks.slack.com@evil.example/services/T/B/x", "url"),
        ("SLACK", "https://evil.example\\@hooks.slack.com/services/T/B/x", "url"),
        ("SLACK", "https://discord.com/api/webhooks/1/x", "url"),
        ("DISCORD", "https://discord.com/channels/1/2", "url"),
        ("DISCORD", "https://discord.com/api/webhooks/1/x/slack", "url"),
        ("DISCORD", "https://xdiscord.com/api/webhooks/1/x", "url"),
        ("TEAMS", "https://logic.azure.com/workflows/0", "url"),
        ("TEAMS", "https://x.evillogic.azure.com/workflows/0", "url"),
        ("TEAMS", "https://169.254.169.254/workflows/0", "url"),
        ("WEBHOOK", SLACK_URL, "kind"),
        ("WEB_PUSH", SLACK_URL, "kind"),
    ],
)
async def test_url_of_another_host_is_rejected(tenant: Tenant, kind: str, url: str, field: str) -> None:
    refused = tenant.execute(CONNECT_CHAT, user="alice", kind=kind, to=url)
    assert await expect_error(refused) == ("BAD_USER_INPUT", field)
    text = json.dumps(await tenant.execute_raw(CONNECT_CHAT, user="alice", kind=kind, to=f"{url}#{TOKEN}"))
    assert TOKEN not in text.replace(json.dumps(url), "")


async def test_url_of_a_chat_is_stored_once_and_never_returned(tenant: Tenant, database: Database) -> None:
    connected = await register(tenant, "alice", CONNECT_CHAT, kind="SLACK", to=SLACK_URL)
    again = await register(tenant, "alice", CONNECT_CHAT, kind="SLACK", to=SLACK_URL, label="Renamed")
    assert (again["id"], again["label"]) == (connected["id"], "Renamed")
    await register(tenant, "bob", CONNECT_CHAT, kind="SLACK", to=SLACK_URL)  # several users may use one channel
    [own] = (await tenant.execute(MY_CHATS, user="alice"))["me"]["devices"]
    assert own["id"] == connected["id"]
    as_admin = await tenant.execute_as_admin(f'{{ user(id: "alice") {{ devices {{ {CHAT} }} }} }}')
    assert as_admin["user"]["devices"] == [own]
    exported = await tenant.execute_as_admin(EXPORT, id="alice")
    [device] = exported["exportUser"]["devices"]
    assert (device["kind"], device["maskedUrl"]) == ("SLACK", f"hooks.slack.com …{TOKEN[-4:]}")
    assert TOKEN not in json.dumps([own, as_admin, exported])
    doc = await database.users.find_one({"_id": f"{tenant.name}/alice"})
    assert doc
    [stored] = doc["devices"]
    assert [name for name, value in stored.items() if TOKEN in str(value)] == ["token"]
    assert (await tenant.execute(REMOVE, user="bob", id=connected["id"]))["removeDevice"] is False
    assert (await tenant.execute(REMOVE, user="alice", id=connected["id"]))["removeDevice"] is True
    assert (await tenant.execute(MY_CHATS, user="alice"))["me"]["devices"] == []
    assert (await tenant.execute_as_admin(ERASE, id="bob"))["deleteUser"] is True
    assert await database.users.count_documents({"_id": f"{tenant.name}/bob"}) == 0


async def test_chats_receive_notifications_at_the_pace_of_each(servers: tuple[Mongod, Redis]) -> None:
    """Each chat gets what was sent, one that is over its limit waits without an attempt, and a webhook that is gone is
    removed. No log line, answer, or document except the device has the URL."""
    mongod, redis = servers
    name = f"chats{uuid4().hex[:8]}"
    fakes = {channel: FAKES[channel]() for channel in FAKES}
    for fake in fakes.values():
        await fake.__aenter__()
    settings = {
        **SHORT_TIMES,
        "mongo_database": name,
        "redis_prefix": f"{name}:",
        "chat_origins": " ".join(fake.url for fake in fakes.values()),
        "log_level": "debug",
    }
    async with Deployment(mongod.url, redis.url, apis=1, workers=1, **settings) as running:
        async with Tenant("acme", running.urls) as tenant:
            for channel, fake in fakes.items():
                await register(tenant, "alice", CONNECT_CHAT, kind=channel, to=f"{fake.url}{PATHS[channel]}")
                await register(tenant, "bob", CONNECT_CHAT, kind=channel, to=f"{fake.url}{PATHS[channel]}")
            await tenant.send(
                "alice", "bob", title="First", body="**Bold**", content={"markdown": True}, channels=list(fakes)
            )
            await tenant.send("alice", title="Second", channels=["SLACK"])
            done = await wait_for_deliveries(tenant, "SENT", 7)
            assert Counter(one["channel"] for one in done) == {"SLACK": 3, "DISCORD": 2, "TEAMS": 2}
            assert {len(one["attempts"]) for one in done} == {1}
            assert {one["providerId"] for one in done if one["channel"] == "DISCORD"} == {"1001", "1002"}
            [times] = fakes[Channel.SLACK].arrived_at.values()
            assert times[-1] - times[0] >= 2, "one message per second to one webhook, for all users"
            fakes[Channel.TEAMS].fault = lambda: reply(404, {}, {"error": {"code": "WorkflowNotFound"}})
            await tenant.send("bob", title="Third", channels=["TEAMS"])
            [gone] = await wait_for_deliveries(tenant, "FAILED")
            assert gone["reason"] == "ADDRESS_GONE"

            async def removed() -> bool:
                devices = (await tenant.execute(MY_CHATS, user="bob"))["me"]["devices"]
                return [device["kind"] for device in devices] == ["SLACK", "DISCORD"]

            await eventually(removed)
            seen: list[Json] = await list_deliveries(tenant)
            headers = {"authorization": f"Bearer {tenant.token(role=Role.ADMIN)}"}
            health = await tenant.execute_raw(
                "{ health { ok } providers { provider } queues { channel } }", headers=headers
            )
            processes = [*running.apis, *running.workers]
            assert not find_log_faults(processes)
            assert RANDOM_TOKEN not in "".join([*(process.log for process in processes), json.dumps([seen, health])])
    for fake in fakes.values():
        await fake.__aexit__()
