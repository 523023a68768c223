"""`hub topics`: list, show, upsert, subscribe, and unsubscribe."""

import asyncio
import subprocess
from pathlib import Path

from tests.cli_commands import base_url, run_command
from tests.client import Tenant
from tests.processes import SECRET, Deployment
from tests.topics.calls import leave, list_topics, subscribe, topics_of_user, upsert_topic


async def run(deployment: Deployment, tenant: Tenant, *arguments: str) -> subprocess.CompletedProcess[str]:
    target = ("--url", base_url(deployment), "--tenant", tenant.name)
    return await asyncio.to_thread(run_command, "topics", *arguments, *target, jwt_secret=SECRET)


async def lines(deployment: Deployment, tenant: Tenant, *arguments: str) -> list[str]:
    result = await run(deployment, tenant, *arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout.splitlines()


async def test_topic_is_created_changed_listed_and_shown(deployment: Deployment, tenant: Tenant) -> None:
    await lines(deployment, tenant, "upsert", "releases", "--name", "Releases", "--visible")
    changed = await lines(deployment, tenant, "upsert", "releases", "--description", "New versions")
    assert changed[:3] == ["releases: Releases", "New versions", "Visible, 0 subscribers"]
    await subscribe(tenant, "release-notes", "alice")
    assert await lines(deployment, tenant, "list") == [
        "release-notes  release-notes  invisible  1 subscriber",
        "releases  Releases  visible  0 subscribers",
    ]
    assert len(await lines(deployment, tenant, "list", "NOTES")) == 1
    shown = await lines(deployment, tenant, "show", "release-notes")
    assert shown[:2] == ["release-notes: release-notes", "Invisible, 1 subscriber"]
    missing = await run(deployment, tenant, "show", "release")
    assert (missing.returncode, missing.stderr) == (1, "This tenant has no topic release.\n")


async def test_users_of_a_file_are_subscribed_and_unsubscribed(
    deployment: Deployment, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "users.txt"
    file.write_text("\ufeff" + "\r\n".join(f"user {n}" for n in range(1500)) + "\n\nuser 0\n", encoding="utf-8")
    result = await run(deployment, tenant, "subscribe", "news", "alice", "--file", str(file))
    assert result.stdout == "1,501 of 1,501 users subscribed.\n"
    assert result.stderr.splitlines() == ["1,000 of 1,501 users", "1,501 of 1,501 users"]
    assert await topics_of_user(tenant, "user 0") == (["news"], {"news": False})
    assert await lines(deployment, tenant, "unsubscribe", "news", "--file", str(file)) == [
        "1,500 of 1,500 users unsubscribed."
    ]
    assert await topics_of_user(tenant, "alice") == (["news"], {"news": False})


async def test_user_who_left_is_subscribed_with_force(deployment: Deployment, tenant: Tenant) -> None:
    await upsert_topic(tenant, "news", visible=True)
    await subscribe(tenant, "news", "alice")
    await leave(tenant, "news", "alice")
    assert (await lines(deployment, tenant, "subscribe", "news", "alice"))[0].startswith("0 of 1 user ")
    assert (await lines(deployment, tenant, "subscribe", "news", "alice", "--force"))[0].startswith("1 of 1 user ")


async def test_errors_say_what_to_change(deployment: Deployment, tenant: Tenant, tmp_path: Path) -> None:
    none = await run(deployment, tenant, "subscribe", "news")
    assert (none.returncode, none.stderr) == (2, "Name at least one user, or pass --file.\n")
    missing = await run(deployment, tenant, "subscribe", "news", "--file", str(tmp_path / "no"))
    assert (missing.returncode, "cannot be read" in missing.stderr) == (1, True)
    unknown = await run(deployment, tenant, "unsubscribe", "news", "alice")
    assert (unknown.returncode, unknown.stderr) == (1, "NOT_FOUND (topic): This topic does not exist.\n")
    file = tmp_path / "users.txt"
    file.write_text("\n".join([*(f"u{n}" for n in range(1000)), "a\u200bb"]))
    partly = await run(deployment, tenant, "subscribe", "news", "--file", str(file))
    assert partly.returncode == 1
    assert "The first 1,000 of 1,001 users are done.\nBAD_USER_INPUT (users): An id must" in partly.stderr
    assert (await list_topics(tenant))["nodes"][0]["subscribers"] == 1000
