"""A running `hub dev`: what it prints, captures, and permits."""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import aiohttp
import pytest

from hub.api.public.static_files import FrontendFiles
from hub.cli.api_client import execute
from tests.cli_commands import SERVES, Command, dev, environment, run_command, token_of
from tests.client import SEND, Json, eventually
from tests.data_folders import data_folder
from tests.processes import SECRET
from tests.webhook_receiver import WebhookReceiver

ROOT = Path(__file__).parent.parent
UNREAD = "{ inbox { unread } }"
CONNECT = "mutation ($to: String!) { connectWebhook(url: $to) { secret } }"


class RunningDev(NamedTuple):
    """`folder`: its `.hub` contains the data. `unread`: how many notifications the users had at the start."""

    folder: Path
    hub: Command
    url: str
    unread: dict[str, int]


@pytest.fixture(scope="module")
async def running() -> AsyncIterator[RunningDev]:
    """One `hub dev` for the tests that do not stop it."""
    with data_folder() as name:
        async with dev(Path(name, ".hub")) as hub:
            url = (await hub.wait_for_output(SERVES))[1]
            yield RunningDev(Path(name), hub, url, {user: await unread(hub, url, user) for user in ("alice", "bob")})


async def unread(hub: Command, url: str, user: str) -> int:
    count: int = (await execute(url, token_of(hub.out, user), UNREAD))["inbox"]["unread"]
    return count


def line_after(text: str, start: str) -> str:
    return text.partition(start)[2].splitlines()[1]


async def test_dev_prints_commands_that_work(running: RunningDev) -> None:
    folder, hub, url, at_start = running
    assert at_start == {"alice": 3, "bob": 2}
    before = await unread(hub, url, "alice")
    words = line_after(hub.out, "Watch alice's inbox").split()
    assert words[0].endswith("hub")
    async with Command(*words[1:]) as watch:
        await watch.wait_for_output(f"{before} unread")
        curl = line_after(hub.out, "Send a notification, in a third")
        if shutil.which("curl"):
            done = subprocess.run(  # noqa: ASYNC221 - the hub runs in another process
                curl, shell=True, text=True, capture_output=True, timeout=20, check=True
            )
            assert "errors" not in json.loads(done.stdout)
            await watch.wait_for_output(f"new +Hello .*{before + 1} unread")
        sent = run_command("send", "By command", "--to", "alice", cwd=folder)
        assert sent.returncode == 0, sent.stderr
        await watch.wait_for_output("new +By command")
    admin = hub.out.partition("token for an administrator ")[2].partition("): ")[2].partition("\n")[0]
    created = subprocess.run(  # noqa: ASYNC221 - the hub runs in another process
        admin, shell=True, text=True, capture_output=True, timeout=20, check=True, env=environment(), cwd=ROOT
    )
    assert (await execute(url, created.stdout.strip(), "{ tenant { id } }")) == {"tenant": {"id": "default"}}
    page, _, fragment = line_after(hub.out, "Explore the API").partition("#token=")
    both = await execute(url, fragment, "{ inbox { unread } sends { nodes { id } } }")
    assert both["sends"]["nodes"]
    async with aiohttp.ClientSession() as session, session.get(page) as response:
        assert "GraphiQL" in await response.text()


async def test_dev_captures_outgoing_messages_and_calls_local_webhooks(folder: Path) -> None:
    async with dev(folder) as hub, WebhookReceiver() as receiver, aiohttp.ClientSession() as http:
        url = (await hub.wait_for_output(SERVES))[1]
        assert f"\n{url}/dev/outbox\n" in hub.out
        alice = token_of(hub.out, "alice")

        async def outbox(count: int) -> list[Json]:
            async with http.get(f"{url}/dev/outbox.json") as response:
                found: list[Json] = (await response.json())["messages"]
            return found if len(found) >= count else []

        demo = await eventually(lambda: outbox(7))
        once = dict.fromkeys(("WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"), 1)
        assert Counter(received["channel"] for received in demo) == {"EMAIL": 4, **once}
        assert {received["outcome"] for received in demo} == {"Delivered"}
        assert {received["channel"]: received["provider"] for received in demo} == {
            **dict.fromkeys(("EMAIL", "WEB_PUSH", "MOBILE_PUSH"), None),
            "WEBHOOK": "webhook",
        }
        [push] = [received for received in demo if received["channel"] == "WEB_PUSH"]
        assert json.loads(push["text"])["title"] == "Bob asks for your review"

        connected = await execute(url, alice, CONNECT, to=f"{receiver.url}/alice")
        receiver.secrets["/alice"] = connected["connectWebhook"]["secret"]
        assert len((await execute(url, alice, "{ webPushKey }"))["webPushKey"]) == 87
        options = ("--to", "alice", "--category", "marketing", "--data", str(folder))
        assert run_command("send", "<b>Two</b> for one", *options).returncode == 0
        service = token_of(hub.out, "service")
        fields = {"to": {"users": ["alice"]}, "category": "code", "content": {"title": "4711", "body": ""}}
        await execute(url, service, SEND, input={**fields, "channels": ["WEBHOOK", "SMS"]})
        added = (await eventually(lambda: outbox(11)))[:4]
        assert Counter(received["channel"] for received in added) == {"EMAIL": 1, "WEBHOOK": 2, "SMS": 1}
        [sms] = [received for received in added if received["channel"] == "SMS"]
        assert (sms["to"], sms["text"], sms["provider"]) == ("+12025550101", "4711", None)
        assert "1 segment, GSM-7, 4 units" in sms["html"]
        assert [received["data"]["title"] for received in receiver.bodies["/alice"]] == ["4711"]
        assert receiver.invalid_signatures == 0
        [called] = [received for received in added if received["to"] == f"{receiver.url}/alice"]
        assert "\nwebhook-signature: v1," in called["text"]
        skipped = await execute(url, alice, "{ inbox { unread } }")
        assert skipped["inbox"]["unread"] == 4

        [email] = [received for received in added if received["channel"] == "EMAIL"]
        assert (email["to"], email["subject"]) == ("alice@example.org", "<b>Two</b> for one")
        async with http.get(f"{url}/dev/outbox/{email['id']}") as response:
            policy = response.headers["content-security-policy"]
            assert "sandbox allow-popups" in policy
            assert "script-src" not in policy
            assert "&lt;b&gt;Two&lt;/b&gt; for one" in await response.text()
        async with http.get(f"{url}/dev/outbox") as response:
            assert "default-src 'none'; script-src 'nonce-" in response.headers["content-security-policy"]
            assert "unsafe" not in response.headers["content-security-policy"]
        after = email["id"]
        async with http.get(f"{url}/dev/outbox.json", params={"after": after}) as response:
            assert all(received["id"] > after for received in (await response.json())["messages"])


async def test_dev_allows_local_origins_and_redirects_to_the_demo(running: RunningDev) -> None:
    _, hub, url, _ = running
    query: Any = {"json": {"query": "{ __typename }"}}
    async with aiohttp.ClientSession() as session:
        for origin, allowed in (("http://localhost:5173", True), ("https://localhost.example.org", False)):
            async with session.post(f"{url}/graphql", **query, headers={"origin": origin}) as response:
                assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
            connecting = session.ws_connect(f"{url}/graphql", origin=origin, protocols=["graphql-transport-ws"])
            if allowed:
                await (await connecting).close()
            else:
                with pytest.raises(aiohttp.WSServerHandshakeError):
                    await connecting
        built = FrontendFiles(True).built
        assert ("Open the demo" if built else "make front") in hub.out
        async with session.get(url) as response:
            assert response.status == 200
            assert "script-src 'self'" in response.headers["content-security-policy"] or not built
            assert ("<script" in await response.text()) == built
        own = {"origin": url, "sec-fetch-site": "same-origin"}
        async with session.post(f"{url}/dev/tokens", headers=own) as response:
            handed = (await response.json())["tokens"]
        assert (await execute(url, handed["alice"], UNREAD))["inbox"]["unread"]
        assert "sends" in await execute(url, handed["service"], "{ sends { nodes { id } } }")
        assert (await execute(url, handed["admin"], "{ auditLog { nodes { id } } }"))["auditLog"]["nodes"]
        async with session.post(f"{url}/dev/tokens", headers={"origin": "http://localhost:5173"}) as response:
            assert response.status == 403
    assert hub.err.count("origin_refused") == 1
    assert "HUB_ALLOWED_ORIGINS" in hub.err


def test_dev_on_locked_data_prints_where_the_other_runs(running: RunningDev) -> None:
    data = running.folder / ".hub"
    second = run_command("dev", "--data", str(data))
    assert second.returncode == 1
    assert f"Another hub dev runs on {data} at {running.url}" in second.stderr
    assert "--data" in second.stderr
    assert "DATA=folder" in second.stderr


def test_commands_resolve_hub_and_key_and_print_the_source(running: RunningDev) -> None:
    folder, _, url, _ = running

    def send(*more: str, **fields: str) -> tuple[int, str]:
        done = run_command("send", "Hi", "--to", "alice", *more, cwd=folder, **fields)
        return done.returncode, done.stderr

    other = {"jwt_secret": SECRET}
    assert send(**other) == (0, ""), "the hub and the key of the folder, also if the environment has others"
    assert send("--url", url) == (0, "")
    assert send("--url", url, "--data", str(folder / ".hub"), **other) == (0, "")
    status, text = send(url=url, **other)
    assert (status, text.split(":")[0]) == (1, "UNAUTHENTICATED")
    assert text.endswith(f"The hub is {url}; the token was signed with HUB_JWT_SECRET.\n")
    status, text = send(token="x")
    assert text.endswith(f"The hub is {url}; the token was taken from --token or HUB_TOKEN.\n")
    status, text = send(url="http://127.0.0.1:1")
    assert (status, text.split(":")[0]) == (1, "No key for the hub at http")
    assert "HUB_JWT_SECRET" in text
    created = run_command("token", "--user", "alice", cwd=folder, **other).stdout
    assert send("--token", created.strip())[0] == 1
    created = run_command("token", "--role", "service", "--data", str(folder / ".hub"), cwd=folder, **other).stdout
    assert send("--token", created.strip()) == (0, "")
