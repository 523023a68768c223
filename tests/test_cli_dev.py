"""`hub dev` as a new user runs it."""

import asyncio
import json
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
from redis import Redis as RedisClient

from hub.api.public.static_files import FrontendFiles
from hub.cli.api_client import execute
from hub.platform import server_process
from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import HUB, Command, environment, run_command
from tests.client import SEND, Json, eventually
from tests.doc_pages import DOCS, example_pages, text_of
from tests.processes import SECRET
from tests.webhook_receiver import WebhookReceiver

ROOT = Path(__file__).parent.parent
INBOX = "{ inbox(first: 100) { unread nodes { title } } }"
CONNECT = "mutation ($to: String!) { connectWebhook(url: $to) { secret } }"
CTRL_C_S = 5.0
SERVES = r"(?s)serves at (http://[0-9.:]+) .*/graphiql#token=\S+\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that is removed after the test, because a data folder of MongoDB has 300 MB."""
    with tempfile.TemporaryDirectory(prefix="hub-", ignore_cleanup_errors=True) as name:
        yield Path(name)


def dev(data: Path, **settings: str) -> Command:
    return Command("dev", "--port", "0", "--data", str(data), **settings)


def line_after(text: str, start: str) -> str:
    return text.partition(start)[2].splitlines()[1]


def token_of(text: str, name: str) -> str:
    found = re.search(rf"^{name} +(\S+)$", text, re.MULTILINE)
    assert found
    return found[1]


def children(data: Path) -> list[int]:
    """Return the ports of MongoDB and Redis."""
    running = json.loads((data / "running.json").read_text())
    return [port for key in ("mongo_url", "redis_url") if (port := urlsplit(running[key]).port)]


async def gone(ports: list[int], within_s: float = 5) -> None:
    async def nobody_listens() -> bool:
        return not any(server_process.is_listening(port) for port in ports)

    await eventually(nobody_listens, within_s)


async def test_dev_prints_commands_that_work(folder: Path) -> None:
    async with dev(folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        for name, unread in (("alice", 3), ("bob", 2)):
            assert (await execute(url, token_of(hub.out, name), INBOX))["inbox"]["unread"] == unread
        words = line_after(hub.out, "Watch alice's inbox").split()
        assert words[0].endswith("hub")
        async with Command(*words[1:]) as watch:
            await watch.wait_for_output("3 unread, 3 unseen")
            curl = line_after(hub.out, "Send a notification, in a third")
            if shutil.which("curl"):
                done = subprocess.run(  # noqa: ASYNC221 - the hub runs in another process
                    curl, shell=True, text=True, capture_output=True, timeout=20, check=True
                )
                assert "errors" not in json.loads(done.stdout)
                await watch.wait_for_output("new +Hello .*4 unread")
            sent = run_command("send", "By command", "--to", "alice", "--data", str(folder))
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


@pytest.mark.skipif(not shutil.which("curl"), reason="the examples call curl")
async def test_documented_commands_work(folder: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", text_of(*example_pages()), re.DOTALL)
    (folder / "docs").symlink_to(DOCS)
    async with Command("dev", "--port", "0", cwd=folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        script = "\n".join(blocks).replace("http://127.0.0.1:8000", url).replace(".venv/bin/hub", str(HUB))
        done = await asyncio.to_thread(
            subprocess.run,
            ["bash", "-c", script],
            cwd=folder,
            env=environment(),
            text=True,
            capture_output=True,
            timeout=270,
        )
    assert done.stderr == ""
    assert '"errors"' not in done.stdout
    for words in (
        '"duplicate":false',
        '"title":"While you were away"',
        '"changed":1',
        '"email":"carol@example.org"',
        '"kind":"DELIVERY"',
        "All is well.",
    ):
        assert words in done.stdout


async def test_dev_ends_within_5_s_of_ctrl_c_with_code_0_and_one_line(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output(SERVES)
        ports = children(folder)
        async with Command("watch", "--user", "alice", "--data", str(folder)) as watch:
            await watch.wait_for_output("Live")
            output = hub.out
            hub.interrupt()
            assert await hub.wait(CTRL_C_S) == 0
            await watch.wait_for_output("lost")
        assert hub.out.removeprefix(output).split("\n") == ["", f"Stopped. The data stays in {folder}.", ""]
        assert hub.err == ""
        assert not any(server_process.is_listening(port) for port in ports)
        assert not (folder / "running.json").exists()


async def test_dev_interrupted_while_starting_ends_cleanly(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output("Starting mongod")
        hub.interrupt()
        assert await hub.wait(CTRL_C_S) == 0
        assert hub.err == ""


async def test_dev_killed_leaves_no_child_and_keeps_its_data(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output(SERVES)
        token = token_of(hub.out, "alice")
        assert run_command("send", "Kept", "--to", "alice", "--data", str(folder)).returncode == 0
        ports = children(folder)
        assert len(ports) == 2
        assert "mode development" in run_command("doctor", "--data", str(folder)).stdout
        foreign = run_command("doctor", "--data", str(folder), mongo_url="mongodb://127.0.0.1:1", jwt_secret=SECRET)
        assert "mode production" in foreign.stdout
        hub.kill()
        await gone(ports)
    left = run_command("doctor", "--data", str(folder))
    assert left.returncode == 1
    assert "stale running.json" in left.stderr
    async with dev(folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        inbox = (await execute(url, token, INBOX))["inbox"]  # the old token is still valid: the key is stored too
        assert inbox["nodes"][0]["title"] == "Kept"
        assert inbox["unread"] == 4  # the demo data was not created twice
        for secret in ("jwt-secret", "running.json"):
            assert stat.S_IMODE((folder / secret).stat().st_mode) == 0o600


async def test_dev_restarts_a_server_and_gives_up_after_three_times(folder: Path) -> None:
    async with dev(folder) as hub:
        await hub.wait_for_output(SERVES)
        url = json.loads((folder / "running.json").read_text())["redis_url"]
        for time in range(4):
            client = RedisClient.from_url(url)
            client.shutdown(nosave=True)
            client.close()
            if time < 3:
                await hub.wait_for_output(rf"(?s)(redis-server is running again.*){{{time + 1}}}")
        assert await hub.wait(10) == 1
        assert hub.err.count("redis-server ended with status 0. From ") == 4
        assert str(folder / "redis" / "redis-server.log") in hub.err
        assert "Traceback" not in hub.err


async def test_dev_allows_local_origins_and_redirects_to_the_demo(folder: Path) -> None:
    async with dev(folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]
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
            assert (await execute(url, handed["alice"], INBOX))["inbox"]["unread"] == 3
            assert "sends" in await execute(url, handed["service"], "{ sends { nodes { id } } }")
            assert (await execute(url, handed["admin"], "{ auditLog { nodes { id } } }"))["auditLog"]["nodes"]
            async with session.post(f"{url}/dev/tokens", headers={"origin": "http://localhost:5173"}) as response:
                assert response.status == 403
        assert hub.err.count("origin_refused") == 1
        assert "HUB_ALLOWED_ORIGINS" in hub.err


async def test_dev_on_locked_data_prints_where_the_other_runs(folder: Path) -> None:
    async with dev(folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        second = run_command("dev", "--data", str(folder))
        assert second.returncode == 1
        assert f"Another hub dev runs on {folder} at {url}" in second.stderr
        assert "--data" in second.stderr
        assert "DATA=folder" in second.stderr


def test_dev_on_a_used_port_names_the_option(folder: Path) -> None:
    with socket.socket() as accepted:
        accepted.bind(("127.0.0.1", 0))
        accepted.listen()
        port = accepted.getsockname()[1]
        done = run_command("dev", "--port", str(port), "--data", str(folder))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Port {port} on 127.0.0.1 is taken: choose another with --port (under make: PORT=8001).\n"


def test_dev_with_an_invalid_setting_starts_nothing_and_names_it(folder: Path) -> None:
    weak = run_command("dev", "--data", str(folder), jwt_secret="short")
    assert (weak.returncode, weak.stdout) == (2, "")
    assert "HUB_JWT_SECRET: each secret has 32 bytes or more" in weak.stderr
    missing = run_command("dev", "--port", "0", "--data", str(folder), mongod="/nowhere/mongod")
    assert missing.returncode == 1
    assert "/nowhere/mongod cannot be run as mongod" in missing.stderr


async def test_commands_resolve_hub_and_key_and_print_the_source(folder: Path) -> None:
    async with Command("dev", "--port", "0", cwd=folder) as hub:
        url = (await hub.wait_for_output(SERVES))[1]

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


async def test_dev_with_configured_servers_starts_none(folder: Path, servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    settings = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET}
    async with dev(folder, **settings, mongo_database="dev_test", redis_prefix="dev:", mode="production") as hub:
        url = (await hub.wait_for_output(SERVES))[1]
        assert "Starting" not in hub.out
        assert not (folder / "jwt-secret").exists()
        async with aiohttp.ClientSession() as session:
            for path in ("graphiql", "dev/outbox", "dev/outbox.json"):
                async with session.get(f"{url}/{path}") as response:
                    assert response.status == 404, path  # the mode of the environment wins
        hub.interrupt()
        assert await hub.wait(CTRL_C_S) == 0
