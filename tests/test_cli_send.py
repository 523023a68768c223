"""`hub send`: what it sends, prints and refuses."""

import json
import socket
from pathlib import Path

from tests.broadcasts import create_users
from tests.cli_commands import base_url, run_command
from tests.client import Tenant, eventually
from tests.processes import SECRET, Deployment


async def test_send_command_delivers_everything_once(tenant: Tenant, deployment: Deployment) -> None:
    options = ["send", "Build failed", "Two tests are red.", "--to", "alice", "--to", "bob", "--category", "builds"]
    options += [
        "--priority",
        "high",
        "--tag",
        "ci",
        "--json",
        '{"build": 7}',
        "--link",
        "/builds/7",
        "--key",
        "b7",
        "--ack",
        "--pin",
    ]
    options += ["--thread-key", "builds", "--actor-name", "Carol", "--actor-avatar", "/carol.png"]
    options += ["--expires", "P1D", "--url", base_url(deployment), "--tenant", tenant.name]
    # an expiry relative to now is another input each time, so the repetition omits it
    first = run_command(*options, jwt_secret=SECRET)
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith(" sent to 2 people.\n")
    fields = "title body category priority tags data actionUrl requireAck pinned expiresAt threadKey actor { name avatarUrl }"
    [node] = (await tenant.execute(f"{{ inbox {{ nodes {{ {fields} }} }} }}", user="alice"))["inbox"]["nodes"]
    assert node.pop("expiresAt")
    assert list(node.values()) == [
        "Build failed",
        "Two tests are red.",
        "builds",
        "HIGH",
        ["ci"],
        {"build": 7},
        "/builds/7",
        True,
        True,
        "builds",
        {"name": "Carol", "avatarUrl": "/carol.png"},
    ]
    refused = run_command("send", "Hi", "--to", "alice", "--actor-avatar", "/c.png", *options[-4:], jwt_secret=SECRET)
    assert (refused.returncode, refused.stderr) == (2, "--actor-avatar requires --actor-name.\n")


async def test_send_command_sends_to_everyone_after_a_dry_run(tenant: Tenant, deployment: Deployment) -> None:
    await create_users(tenant, [f"user-{number:02}" for number in range(13)])
    fields = ["send", "Hi", "--everyone", "--except", "user-01", "--channel", "in_app", "--channel", "email"]
    target = ["--url", base_url(deployment), "--tenant", tenant.name]
    simulated = run_command(*fields, "--dry-run", *target, jwt_secret=SECRET)
    assert simulated.returncode == 0, simulated.stderr
    lines = simulated.stdout.splitlines()
    assert lines[:2] == ["13 users, including those of --except.", "user-00: IN_APP, EMAIL skipped (NOT_CONFIGURED)"]
    assert [line.partition(":")[0] for line in lines[2:11]] == [f"user-{number:02}" for number in range(2, 11)]
    assert lines[11:] == [
        "The category does not exist and would be created.",
        "Nothing was sent, because of --dry-run.",
    ]
    done = run_command(*fields, *target, jwt_secret=SECRET)
    assert done.stdout.endswith(" is being sent to 13 people.\n"), done.stderr

    async def arrived() -> bool:
        return bool((await tenant.inbox("user-12"))["unread"])

    await eventually(arrived)
    assert (await tenant.inbox("user-01"))["unread"] == 0
    both = run_command(*fields, "--to", "alice", *target, jwt_secret=SECRET)
    assert both.stderr == "Pass only one of --to, --topic, --where, and --everyone.\n"


async def test_send_command_sends_to_the_users_who_match_a_filter(tenant: Tenant, deployment: Deployment) -> None:
    await create_users(tenant, ["ann"], locale="de")
    await create_users(tenant, ["bob"], locale="fr")
    target = ["--url", base_url(deployment), "--tenant", tenant.name]
    fields = ["send", "Hi", "--where", '{"locale": "de"}', *target]
    assert run_command(*fields, "--dry-run", jwt_secret=SECRET).stdout.splitlines() == [
        "1 user.",
        "No index serves the filter: a send reads all users of the tenant.",
        "ann: IN_APP",
        "The category does not exist and would be created.",
        "Nothing was sent, because of --dry-run.",
    ]
    done = run_command(*fields, jwt_secret=SECRET)
    assert done.stdout.endswith(" is being sent to 1 person.\n"), done.stderr

    async def arrived() -> bool:
        return bool((await tenant.inbox("ann"))["unread"])

    await eventually(arrived)
    assert (await tenant.inbox("bob"))["unread"] == 0
    wrong = run_command("send", "Hi", "--where", "locale", *target, jwt_secret=SECRET)
    assert wrong.stderr.startswith("--where is not JSON")
    assert wrong.stderr.endswith(""" Example: --where '{"attributes.plan": "pro"}'\n""")


async def test_send_command_uses_the_given_channels(tenant: Tenant, deployment: Deployment) -> None:
    fields = ["send", "Hi", "--to", "alice", "--channel", "in_app", "--channel", "EMAIL"]
    done = run_command(*fields, "--url", base_url(deployment), "--tenant", tenant.name, jwt_secret=SECRET)
    assert done.returncode == 0, done.stderr
    query = "{ inbox { nodes { deliveries { channel status } } } }"
    [n] = (await tenant.execute(query, user="alice"))["inbox"]["nodes"]
    assert [(row["channel"], row["status"]) for row in n["deliveries"]] == [
        ("IN_APP", "DELIVERED"),
        ("EMAIL", "SKIPPED"),
    ]
    assert done.stderr.splitlines() == ["EMAIL skipped: NOT_CONFIGURED (1)."]
    assert "--channel" in run_command(*fields[:-1], "pigeon", jwt_secret=SECRET).stderr


async def test_send_command_schedules_a_send(tenant: Tenant, deployment: Deployment) -> None:
    options = ["--to", "alice", "--url", base_url(deployment), "--tenant", tenant.name]
    done = run_command("send", "Later", *options, "--at", "P30D", jwt_secret=SECRET)
    assert done.returncode == 0, done.stderr
    assert "is scheduled for" in done.stdout
    sends = (await tenant.execute("{ sends(statuses: [SCHEDULED]) { nodes { id title sendAt } } }"))["sends"]["nodes"]
    assert [(row["id"], row["title"]) for row in sends] == [(done.stdout.split()[0], "Later")]
    assert sends[0]["sendAt"] in done.stdout
    await tenant.execute_as_admin('mutation { upsertTopic(input: {key: "news"}) { key } }')
    where = ["--where", '{"attributes.plan": "pro"}']
    target = options[2:]
    for audience, people in ((["--topic", "news"], "the subscribers of news"), (where, "all users that match")):
        done = run_command("send", "Later", *audience, *target, "--at", "P30D", jwt_secret=SECRET)
        assert f" to {people}" in done.stdout, done.stderr
    listed = run_command("sends", "list", *target, "--status", "scheduled", "--since", "1h", jwt_secret=SECRET)
    assert [row["title"] for row in json.loads(listed.stdout)] == ["Later"] * 3
    table = run_command("sends", "list", *target, "--limit", "1", "--output", "table", jwt_secret=SECRET)
    assert table.stdout.splitlines()[1].split()[2:] == ["SCHEDULED", "news", "0", "Later", "-"]
    refused = run_command("send", "Later", *options, "--at", "tomorrow", jwt_secret=SECRET)
    assert refused.returncode != 0
    assert "DateTime" in refused.stderr


async def test_send_command_with_a_time_that_has_passed_says_that_it_sends_now(
    tenant: Tenant, deployment: Deployment
) -> None:
    options = ["--to", "alice", "--url", base_url(deployment), "--tenant", tenant.name]
    past = run_command("send", "Late", *options, "--at", "2020-01-01T00:00:00Z", jwt_secret=SECRET)
    assert past.stdout.endswith(" sent to 1 person. The time of --at has passed: sent now.\n"), past.stderr
    later = run_command("send", "Later", *options, "--at", "1h", jwt_secret=SECRET)
    assert "is scheduled for" in later.stdout, later.stderr
    refused = run_command("send", "Later", *options, "--at", "1", jwt_secret=SECRET)
    assert "--at 1: add a unit, such as 1h or 1d." in refused.stderr


async def test_send_command_sends_a_template_with_data(tenant: Tenant, deployment: Deployment, tmp_path: Path) -> None:
    upsert = "mutation ($i: TemplateInput!) { upsertTemplate(input: $i) { version } }"
    await tenant.execute_as_admin(upsert, i={"key": "order", "title": "Order {{ id }}", "body": ""})
    (tmp_path / "data.json").write_text('{"id": 7}')
    options = ["--to", "alice", "--url", base_url(deployment), "--tenant", tenant.name]
    data = ["--template-data", str(tmp_path / "data.json")]
    done = run_command("send", "--template", "order", *data, *options, jwt_secret=SECRET)
    assert done.returncode == 0, done.stderr
    [n] = (await tenant.execute("{ inbox { nodes { title } } }", user="alice"))["inbox"]["nodes"]
    assert n["title"] == "Order 7"
    for arguments, message in (
        (data, "--template-data requires --template."),
        ([], "Pass the title of the notification, or --template."),
        (["Title", "--template", "order"], "leave them out"),
        (["--template", "order", "--template-data", str(tmp_path / "none.json")], "cannot be read"),
    ):
        refused = run_command("send", *arguments, *options, jwt_secret=SECRET)
        assert (refused.returncode != 0, message in refused.stderr) == (True, True), refused.stderr


async def test_send_command_with_a_used_key_reports_a_duplicate(tenant: Tenant, deployment: Deployment) -> None:
    fields = ["send", "Hi", "--to", "alice", "--key", "k", "--url", base_url(deployment), "--tenant", tenant.name]
    first, again = run_command(*fields, jwt_secret=SECRET), run_command(*fields, jwt_secret=SECRET)
    assert "already sent" in again.stdout
    assert first.stdout.split()[0] == again.stdout.split()[0]
    fields[1] = "Other"
    assert run_command(*fields, jwt_secret=SECRET).stderr.startswith("CONFLICT: ")


def test_send_command_reports_rejections_and_connection_errors(deployment: Deployment, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for arguments, words in [
        (
            ["--to", "a", "--url", base_url(deployment)],
            "BAD_USER_INPUT (input.content.title): The title must have at least one visible character.",
        ),
        (
            ["--to", "a", "--url", nowhere],
            f"Nothing responds at {nowhere}: start the hub, or choose another with --url (HUB_URL).",
        ),
        (["--to", "a", "--url", "example"], "example is not a valid URL"),
        (["--to", "a"], "No hub dev runs on .hub"),
        (["--url", nowhere], "--to alice"),
        (["--to", "alice,bob", "--url", nowhere], "--to alice,bob: repeat --to for each user."),
        (["--to", "a", "--json", "{", "--url", nowhere], "--json is not JSON"),
        (["--to", "a", "--token", "x", "--url", base_url(deployment)], "UNAUTHENTICATED: "),
    ]:
        done = run_command("send", " ", *arguments, cwd=tmp_path, jwt_secret=SECRET)
        assert done.returncode in {1, 2}
        assert done.stderr.startswith(words) or words in done.stderr
        assert "Traceback" not in done.stderr
