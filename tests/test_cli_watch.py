"""`hub watch`: the events it prints, reconnection, and how it ends."""

import subprocess
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from hub.platform.embedded_servers import Mongod, Redis
from tests.cli_commands import HUB, Command, base_url, environment, run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET, Deployment


@pytest.fixture
async def two_apis(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """Two API processes of which a test may kill one. A client that missed more than 3 changes gets RESYNC."""
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=2, workers=0, backlog_max_changes="3") as running:
        yield running


def watch_command(deployment: Deployment, tenant: str, *more: str) -> Command:
    fields = ["--user", "alice", "--tenant", tenant, "--url", base_url(deployment)]
    return Command("watch", *fields, *more, jwt_secret=SECRET)


async def test_watch_prints_new_read_and_marked_notifications(tenant: Tenant, deployment: Deployment) -> None:
    await tenant.send("alice", title="Before")
    async with watch_command(deployment, tenant.name) as watch:
        await watch.wait_for_output("Live")
        assert "unread       Before (news)" in watch.out
        await tenant.send("alice", title="Red\x1b[2Jalert", body="two\nlines", priority="HIGH")
        await watch.wait_for_output(r"new +Red \[2Jalert \[HIGH\] \(news\) · two lines · 2 unread, 2 unseen")
        id = (await tenant.inbox("alice"))["nodes"][0]["id"]
        for field, word, counts in [
            ("markSeen", "seen", "2 unread, 1 unseen"),
            ("markRead", "read", "1 unread, 1 unseen"),
            ("markUnread", "unread", "2 unread, 1 unseen"),
            ("archive", "archived", "1 unread, 1 unseen"),
            ("unarchive", "unarchived", "2 unread, 1 unseen"),
            ("pin", "pinned", "2 unread, 1 unseen"),
            ("unpin", "unpinned", "2 unread, 1 unseen"),
        ]:
            await tenant.mark("alice", field, id)
            await watch.wait_for_output(rf"{word} +Red \[2Jalert · {counts}\n")
        await tenant.mark_all("alice", "markAllRead")
        await watch.wait_for_output("all read +0 unread, 0 unseen")
        await tenant.mark("alice", "markUnread", id)
        await watch.wait_for_output(r"unread +Red \[2Jalert · 1 unread, 0 unseen\n")
        await tenant.mark("alice", "snooze", id, until="2100-01-01T00:00:00Z")
        await watch.wait_for_output(r"snoozed +Red \[2Jalert · 0 unread")
        await tenant.execute(f'mutation {{ unsnooze(ids: ["{id}"]) {{ changed }} }}', user="alice")
        await watch.wait_for_output(r"back +Red \[2Jalert · 1 unread")
        watch.interrupt()
        assert await watch.wait(5) == 0
        assert watch.err == ""


async def test_watch_resumes_after_the_api_was_killed_and_prints_what_it_missed(two_apis: Deployment) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", two_apis.urls) as tenant, watch_command(two_apis, tenant.name) as watch:
        await watch.wait_for_output("Live")
        two_apis.apis[0].kill()
        await watch.wait_for_output("lost +")
        for title in ("one", "two"):
            await tenant.send("alice", title=title, url=two_apis.urls[1])
        await two_apis.apis[0].start()
        await watch.wait_for_output(r"new +two [^\n]* 2 unread, 2 unseen\n.*resumed +caught up on 2 changes")
        assert watch.out.count(" one ") == 1
        two_apis.apis[0].kill()
        await two_apis.apis[0].start()
        await watch.wait_for_output("nothing was missed")
        await tenant.send("alice", title="three", url=two_apis.urls[1])
        await watch.wait_for_output("new +three")


async def test_watch_reports_that_the_hub_stops(two_apis: Deployment) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", two_apis.urls) as tenant, watch_command(two_apis, tenant.name) as watch:
        await watch.wait_for_output("Live")
        await two_apis.apis[0].stop()
        await watch.wait_for_output(f"lost +The hub at {base_url(two_apis)} is stopping or restarting. Reconnecting.")


async def test_watch_reloads_after_too_many_changes(two_apis: Deployment) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", two_apis.urls) as tenant, watch_command(two_apis, tenant.name) as watch:
        await watch.wait_for_output("Live")
        two_apis.apis[0].kill()
        for number in range(5):
            await tenant.send("alice", title=f"n{number}", url=two_apis.urls[1])
        await two_apis.apis[0].start()
        await watch.wait_for_output("(?s)reloaded.*5 unread, 5 unseen.*unread +n4")
        await tenant.send("alice", title="later", url=two_apis.urls[1])
        await watch.wait_for_output("new +later .*6 unread")


async def test_watch_with_a_closed_pipe_ends(tenant: Tenant, deployment: Deployment) -> None:
    fields = ["watch", "--user", "alice", "--tenant", tenant.name, "--url", base_url(deployment)]
    process = subprocess.Popen(  # noqa: ASYNC220 - it is polled
        [HUB, *fields], env=environment(jwt_secret=SECRET), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()

    async def ended() -> bool:
        await tenant.send("alice")
        return process.poll() is not None

    await eventually(ended)
    assert (process.returncode, process.stderr.read()) == (0, "")
    process.stderr.close()


def test_watch_reports_a_rejected_token_and_a_missing_hub(deployment: Deployment) -> None:
    refused = run_command("watch", "--token", "x", "--url", base_url(deployment))
    assert refused.returncode == 1
    assert refused.stderr == (
        "The hub closed the connection: The access token is not valid for this hub. "
        f"The hub is {base_url(deployment)}; the token was taken from --token or HUB_TOKEN.\n"
    )
    away = run_command("watch", "--user", "a", "--url", "http://127.0.0.1:1", jwt_secret=SECRET)
    assert away.returncode == 1
    assert "Nothing responds at http://127.0.0.1:1" in away.stderr
