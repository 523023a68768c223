"""The commands, through the console script."""

import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest
from py_vapid import Vapid
from redis.asyncio import Redis as RedisClient

from hub import __version__
from hub.api.schema.devices import vapid_public_key
from hub.cli.api_client import execute
from hub.cli.token import parse_duration
from hub.model import Channel
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings
from tests.client import SEND, Tenant, eventually
from tests.commands import HUB, Command, call, environment
from tests.documentation import DOCS, text_of
from tests.processes import SECRET, Deployment

ROOT = Path(__file__).parent.parent
COMMANDS = ["dev", "send", "watch", "replay", "token", "vapid", "doctor", "serve", "work", "settings", "schema"]


@pytest.fixture
async def pair(servers: tuple[Mongod, Redis]) -> AsyncIterator[Deployment]:
    """Two API processes of which one may be killed. A client that missed more than 3 changes gets RESYNC."""
    mongod, redis = servers
    async with Deployment(mongod.url, redis.url, apis=2, workers=0, feed_max_changes="3") as running:
        yield running


def address(deployment: Deployment, index: int = 0) -> str:
    return deployment.urls[index].removesuffix("/graphql")


def watching(deployment: Deployment, tenant: str, *more: str) -> Command:
    given = ["--user", "alice", "--tenant", tenant, "--url", address(deployment)]
    return Command("watch", *given, *more, jwt_secret=SECRET)


def test_help_lists_every_command_with_an_example() -> None:
    listed = call("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in listed
    for command in [command for command in COMMANDS if command != "serve"]:
        assert "Example" in call(command, "--help").stdout


def test_reference_names_every_setting() -> None:
    named = text_of(DOCS / "reference" / "settings.md")
    assert [name for name in Settings.model_fields if f"`HUB_{name.upper()}`" not in named] == []


async def test_token_opens_the_door_for_its_user_and_role(deployment: Deployment) -> None:
    tenant = f"t{uuid4().hex[:12]}"
    url = address(deployment)
    made = call("token", "--role", "service", "--tenant", tenant, "--expires", "PT5M", jwt_secret=SECRET)
    await execute(
        url,
        made.stdout.strip(),
        SEND,
        input={"to": {"users": ["zoe"]}, "category": "a", "content": {"title": "Hi", "body": ""}},
    )
    mine = call("token", "--user", "zoe", "--tenant", tenant, jwt_secret=SECRET)
    assert (await execute(url, mine.stdout.strip(), "{ me { id } inbox { unread } }")) == {
        "me": {"id": "zoe"},
        "inbox": {"unread": 1},
    }


def test_vapid_prints_settings_that_the_hub_takes() -> None:
    lines = call("vapid").stdout.splitlines()
    given = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert set(given) == {"HUB_VAPID_PRIVATE_KEY", "HUB_VAPID_SUBJECT"}
    settings = Settings(
        jwt_secret=SECRET, vapid_private_key=given["HUB_VAPID_PRIVATE_KEY"], vapid_subject=given["HUB_VAPID_SUBJECT"]
    )
    assert Channel.WEB_PUSH in settings.configured
    public = vapid_public_key(given["HUB_VAPID_PRIVATE_KEY"])
    assert lines[0] == f"# Public key: {public}"
    signer = Vapid.from_string(given["HUB_VAPID_PRIVATE_KEY"])
    assert (
        f"k={public}"
        in signer.sign({"aud": "https://push.example.org", "sub": "mailto:a@example.org"})["Authorization"]
    )
    assert call("vapid").stdout != "\n".join(lines)


def test_replay_says_what_it_wants() -> None:
    assert "--all" in call("replay", jwt_secret=SECRET).stderr
    assert "one of these" in call("replay", "some-id", "--channel", "email", jwt_secret=SECRET).stderr
    assert "--since PX" in call("replay", "--since", "PX", jwt_secret=SECRET).stderr


def test_token_refuses_what_is_no_duration(capsys: pytest.CaptureFixture[str]) -> None:
    done = call("token", "--user", "a", "--expires", "1h", jwt_secret=SECRET)
    assert (done.returncode, done.stdout) == (2, "")
    assert "PT1H" in done.stderr
    for wrong in ("", "P", "PT", "P1Y", "P1M", "PT0S", "P1W2D", "-PT1H", "P999999D"):
        with pytest.raises(SystemExit):
            parse_duration(wrong)
    capsys.readouterr()
    assert [parse_duration(right) for right in ("PT1.5S", "P1DT2H3M", "P2W")] == [1.5, 93_780, 1_209_600]


def test_token_without_a_subject_or_key_says_what_to_give(tmp_path: Path) -> None:
    assert "--user ID" in call("token", jwt_secret=SECRET).stderr
    assert "leave --role out" in call("token", "--role", "user", jwt_secret=SECRET).stderr
    assert "give service or admin" in call("token", "--role", "boss", jwt_secret=SECRET).stderr
    keyless = call("token", "--user", "a", cwd=tmp_path)
    assert keyless.returncode == 1
    assert "HUB_JWT_SECRET" in keyless.stderr


@pytest.mark.parametrize("command", [["serve"], ["work"], ["token", "--user", "a"], ["dev", "--port", "0"]])
def test_weak_secret_is_refused_with_a_clear_text(command: list[str], tmp_path: Path) -> None:
    done = call(*command, cwd=tmp_path, jwt_secret="too-short")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("HUB_JWT_SECRET: each secret has 32 bytes or more; make one with `openssl rand")


def test_wrong_setting_is_named() -> None:
    done = call("serve", jwt_secret=SECRET, port="eighty")
    assert done.returncode == 2
    assert done.stderr.startswith("HUB_PORT: ")
    assert "'eighty'" in done.stderr


@pytest.mark.parametrize("name", ["sns_platform_fcm", "sns_platform_apns"])
@pytest.mark.parametrize(
    "arn",
    [
        "hub",
        "arn:aws:sns:eu-west-1:123456789012:hub",
        "arn:aws:sns:eu-west-1:1:app/GCM/hub",
        "arn:aws:sns:eu-west-1:123456789012:app/ADM/hub",
    ],
)
def test_arn_that_names_no_platform_application_is_refused(name: str, arn: str) -> None:
    done = call("work", **{name: arn}, jwt_secret=SECRET)
    assert done.returncode == 2
    assert done.stderr.startswith(f"HUB_{name.upper()}: write the ARN of an SNS platform application")


@pytest.mark.parametrize(
    "url", ["app.example", "javascript:alert(1)", "https://a.example/app", "https://u:p@a.example"]
)
def test_address_of_the_app_that_can_not_be_is_refused(url: str) -> None:
    done = call("serve", jwt_secret=SECRET, app_url=url)
    assert (done.returncode, done.stderr.startswith("HUB_APP_URL: "), "Traceback" in done.stderr) == (2, True, False)


def test_version_is_told() -> None:
    assert call("--version").stdout == f"hub {__version__}\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_serve_on_a_taken_port_ends_and_names_the_setting(host: str) -> None:
    address = "127.0.0.1" if host == "localhost" else host
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        try:
            taken.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        taken.listen()
        port = taken.getsockname()[1]
        done = call("serve", jwt_secret=SECRET, host=host, port=str(port), mongo_url="mongodb://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Port {port} on {host} is taken: choose another with HUB_PORT.\n"


@pytest.mark.parametrize("command", [["serve"], ["work"], ["dev", "--port", "0"]])
def test_start_without_mongodb_says_so_without_the_password(command: list[str], tmp_path: Path) -> None:
    for url, words in [
        ("mongodb://me:pass-word@127.0.0.1:1/?authSource=admin", "MongoDB does not answer at 127.0.0.1:1 (HUB_MONGO_U"),
        ("mongodb://me:pass-word@[x:y", "HUB_MONGO_URL is no address of a MongoDB"),
    ]:
        given = {"mongo_url": url, "redis_url": "redis://127.0.0.1:1", "jwt_secret": SECRET}
        done = call(*command, **given, port="0", commit_deadline_s="0.5", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(words)
        assert "pass-word" not in done.stderr
        assert "Traceback" not in done.stderr


def test_schema_check_compares_with_the_file(tmp_path: Path) -> None:
    assert call("schema", "--check", cwd=ROOT).returncode == 0
    stale = call("schema", "--check", cwd=tmp_path)
    assert stale.returncode == 1
    assert "hub schema > schema.graphql" in stale.stderr


async def test_send_puts_everything_into_the_inbox_once(tenant: Tenant, deployment: Deployment) -> None:
    given = ["send", "Build failed", "Two tests are red.", "--to", "alice", "--to", "bob", "--category", "builds"]
    given += [
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
    ]
    given += ["--expires", "P1D", "--url", address(deployment), "--tenant", tenant.name]
    # an instant of expiry is another input each time, so the repeat must go without it
    first = call(*given, jwt_secret=SECRET)
    assert first.returncode == 0, first.stderr
    assert first.stdout.endswith(" sent to 2 people.\n")
    fields = "title body category priority tags data actionUrl requireAck expiresAt"
    [node] = (await tenant.ask(f"{{ inbox {{ nodes {{ {fields} }} }} }}", user="alice"))["inbox"]["nodes"]
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
    ]


async def test_send_goes_out_on_the_channels_that_it_names(tenant: Tenant, deployment: Deployment) -> None:
    given = ["send", "Hi", "--to", "alice", "--channel", "in_app", "--channel", "EMAIL"]
    done = call(*given, "--url", address(deployment), "--tenant", tenant.name, jwt_secret=SECRET)
    assert done.returncode == 0, done.stderr
    query = "{ inbox { nodes { deliveries { channel status } } } }"
    [n] = (await tenant.ask(query, user="alice"))["inbox"]["nodes"]
    assert [(row["channel"], row["status"]) for row in n["deliveries"]] == [
        ("IN_APP", "DELIVERED"),
        ("EMAIL", "SKIPPED"),
    ]
    assert done.stderr == "EMAIL skipped: NOT_CONFIGURED (1).\n"
    assert "--channel" in call(*given[:-1], "pigeon", jwt_secret=SECRET).stderr


async def test_send_with_a_known_key_says_so(tenant: Tenant, deployment: Deployment) -> None:
    given = ["send", "Hi", "--to", "alice", "--key", "k", "--url", address(deployment), "--tenant", tenant.name]
    first, again = call(*given, jwt_secret=SECRET), call(*given, jwt_secret=SECRET)
    assert "already sent" in again.stdout
    assert first.stdout.split()[0] == again.stdout.split()[0]
    given[1] = "Other"
    assert call(*given, jwt_secret=SECRET).stderr.startswith("CONFLICT: ")


def test_send_refused_or_unanswered_says_why(deployment: Deployment, tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for arguments, words in [
        (
            ["--to", "a", "--url", address(deployment)],
            "BAD_USER_INPUT (input.content.title): The title is empty: give at least one visible character.",
        ),
        (["--to", "a", "--url", nowhere], f"Nothing responds at {nowhere}: is the hub running?"),
        (["--to", "a", "--url", "example"], "example is not a valid URL"),
        (["--to", "a"], "No hub dev runs on .hub"),
        (["--url", nowhere], "--to alice"),
        (["--to", "alice,bob", "--url", nowhere], "--to alice,bob: repeat --to for each user."),
        (["--to", "a", "--json", "{", "--url", nowhere], "--json is not JSON"),
        (["--to", "a", "--token", "x", "--url", address(deployment)], "UNAUTHENTICATED: "),
    ]:
        done = call("send", " ", *arguments, cwd=tmp_path, jwt_secret=SECRET)
        assert done.returncode in {1, 2}
        assert done.stderr.startswith(words) or words in done.stderr
        assert "Traceback" not in done.stderr


async def test_watch_shows_what_arrives_what_is_read_and_what_is_marked(tenant: Tenant, deployment: Deployment) -> None:
    await tenant.send("alice", title="Before")
    async with watching(deployment, tenant.name) as watch:
        await watch.says("Live")
        assert "unread     Before (news)" in watch.out
        await tenant.send("alice", title="Red\x1b[2Jalert", body="two\nlines", priority="HIGH")
        await watch.says(r"new +Red \[2Jalert \[HIGH\] \(news\) · two lines · 2 unread, 2 unseen")
        id = (await tenant.inbox("alice"))["nodes"][0]["id"]
        for field, word, counts in [
            ("markSeen", "seen", "2 unread, 1 unseen"),
            ("markRead", "read", "1 unread, 1 unseen"),
            ("markUnread", "unread", "2 unread, 1 unseen"),
            ("archive", "archived", "1 unread, 1 unseen"),
            ("unarchive", "unarchived", "2 unread, 1 unseen"),
        ]:
            await tenant.mark("alice", field, id)
            await watch.says(rf"{word} +Red \[2Jalert · {counts}\n")
        await tenant.mark_all("alice", "markAllRead")
        await watch.says("all read +0 unread, 0 unseen")
        await tenant.mark("alice", "markUnread", id)
        await watch.says(r"unread +Red \[2Jalert · 1 unread, 0 unseen\n")
        await tenant.mark("alice", "snooze", id, until="2100-01-01T00:00:00Z")
        await watch.says(r"snoozed +Red \[2Jalert · 0 unread")
        await tenant.ask(f'mutation {{ unsnooze(ids: ["{id}"]) {{ changed }} }}', user="alice")
        await watch.says(r"back +Red \[2Jalert · 1 unread")
        watch.interrupt()
        assert await watch.ends(5) == 0
        assert watch.err == ""


async def test_watch_resumes_after_the_api_was_killed_and_tells_what_it_caught_up_on(pair: Deployment) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", pair.urls) as tenant, watching(pair, tenant.name) as watch:
        await watch.says("Live")
        pair.apis[0].kill()
        await watch.says("lost +")
        for title in ("one", "two"):
            await tenant.send("alice", title=title, url=pair.urls[1])
        await pair.apis[0].start()
        await watch.says(r"new +two [^\n]* 2 unread, 2 unseen\n.*resumed +caught up on 2 changes")
        assert watch.out.count(" one ") == 1
        pair.apis[0].kill()
        await pair.apis[0].start()
        await watch.says("nothing was missed")
        await tenant.send("alice", title="three", url=pair.urls[1])
        await watch.says("new +three")


async def test_watch_of_a_hub_that_stops_says_so(pair: Deployment) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", pair.urls) as tenant, watching(pair, tenant.name) as watch:
        await watch.says("Live")
        await pair.apis[0].stop()
        await watch.says(f"lost +The hub at {address(pair)} is stopping or restarting. Reconnecting.")


async def test_watch_loads_anew_after_too_many_changes(pair: Deployment) -> None:
    async with Tenant(f"t{uuid4().hex[:12]}", pair.urls) as tenant, watching(pair, tenant.name) as watch:
        await watch.says("Live")
        pair.apis[0].kill()
        for number in range(5):
            await tenant.send("alice", title=f"n{number}", url=pair.urls[1])
        await pair.apis[0].start()
        await watch.says("(?s)reloaded.*5 unread, 5 unseen.*unread +n4")
        await tenant.send("alice", title="later", url=pair.urls[1])
        await watch.says("new +later .*6 unread")


async def test_watch_piped_to_head_ends_when_head_does(tenant: Tenant, deployment: Deployment) -> None:
    given = ["watch", "--user", "alice", "--tenant", tenant.name, "--url", address(deployment)]
    process = subprocess.Popen(  # noqa: ASYNC220 - it is polled
        [HUB, *given], env=environment(jwt_secret=SECRET), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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


def test_watch_with_a_refused_token_or_no_hub_says_so(deployment: Deployment) -> None:
    refused = call("watch", "--token", "x", "--url", address(deployment))
    assert refused.returncode == 1
    assert refused.stderr == (
        "The hub closed the connection: The token is not valid here. "
        f"The hub is {address(deployment)}; the token was given by --token or HUB_TOKEN.\n"
    )
    away = call("watch", "--user", "a", "--url", "http://127.0.0.1:1", jwt_secret=SECRET)
    assert away.returncode == 1
    assert "Nothing responds at http://127.0.0.1:1" in away.stderr


@pytest.mark.usefixtures("deployment")
def test_doctor_finds_everything_well(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    done = call("doctor", mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET, mongo_ulr="x")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("All is well.\n")
    for words in ("replica set hub", "indexes exist", "Redis answers", "agree", "enough files"):
        assert words in done.stdout
    assert "HUB_MONGO_ULR is not a setting of the hub: did you mean HUB_MONGO_URL?" in done.stdout
    assert "channels with a provider: WEBHOOK" in done.stdout
    assert "note   EMAIL is not set up" in done.stdout
    assert "no deliveries are overdue" in done.stdout


def test_doctor_looks_at_what_channels_need(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    given = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET}
    push = {"vapid_private_key": "no-key", "vapid_subject": "mailto:a@example.org"}
    mail = {"smtp_url": "smtp://127.0.0.1:1", "email_from": "a@example.org"}
    wrong = call("doctor", **given, **push)
    assert wrong.returncode == 1
    assert "wrong  HUB_VAPID_PRIVATE_KEY is no key: `hub vapid` makes one." in wrong.stdout
    away = call("doctor", **given, **mail)
    assert "no mail server responds at 127.0.0.1:1" in away.stdout
    assert "set HUB_PUBLIC_URL" in away.stdout
    assert away.stdout.count("HUB_APP_URL") == 1
    assert "HUB_APP_URL" not in call("doctor", **given, **mail, app_url="https://app.example").stdout
    assert "/dev/outbox" in call("doctor", **given, mode="development").stdout
    for done in (wrong, away):
        assert "Traceback" not in done.stderr


async def test_doctor_warns_of_a_redis_that_drops_keys(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    await redis.start()
    try:
        async with RedisClient.from_url(redis.url) as client:
            given = {"mongo_url": servers[0].url, "redis_url": redis.url, "jwt_secret": SECRET}
            await client.config_set("maxmemory-policy", "allkeys-lru")
            assert "noeviction" not in call("doctor", **given).stdout, "without a bound nothing is dropped"
            await client.config_set("maxmemory", "100mb")
            for policy, warned in (("allkeys-lru", True), ("volatile-lru", False), ("noeviction", False)):
                await client.config_set("maxmemory-policy", policy)
                told = call("doctor", **given).stdout
                assert ("set its maxmemory-policy to noeviction (it is allkeys-lru)" in told) is warned, policy
    finally:
        await redis.stop()


def test_doctor_asks_for_what_amazon_needs(servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    given = {"mongo_url": servers[0].url, "redis_url": servers[1].url, "jwt_secret": SECRET}
    phones = {"sns_platform_apns": "arn:aws:sns:eu-west-1:123456789012:app/APNS_SANDBOX/hub"}
    lost = call("doctor", **given, ses_from="a@example.org")
    assert lost.returncode == 1
    assert "wrong  HUB_SES_FROM needs AWS_REGION too" in lost.stdout
    keyless = call("doctor", **given, **phones).stdout
    assert "note   no AWS key found, required by HUB_SNS_PLATFORM_APNS" in keyless
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    well = call("doctor", **given, **phones, ses_from="a@example.org")
    assert "ok     AWS is called with the key from env, SES in eu-west-1" in well.stdout
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    strange = call("doctor", **given, **phones)
    assert "wrong  the AWS variables and files cannot be used (HUB_SNS_PLATFORM_APNS)" in strange.stdout
    for done in (lost, well, strange):
        assert "Traceback" not in done.stdout + done.stderr


def test_doctor_says_what_is_wrong(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    mongod, redis = servers
    fresh = call("doctor", mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET, mongo_database="empty")
    assert fresh.returncode == 1
    assert "indexes are missing in the database empty (HUB_MONGO_DATABASE)" in fresh.stdout
    away = call(
        "doctor", mongo_url="mongodb://127.0.0.1:1", redis_url="redis://127.0.0.1:1", jwt_secret=SECRET, cwd=tmp_path
    )
    assert away.returncode == 1
    assert "wrong  MongoDB does not answer as it should (HUB_MONGO_URL)" in away.stdout
    assert "wrong  Redis does not answer as it should (HUB_REDIS_URL)" in away.stdout
    unset = call("doctor", mongo_url=mongod.url, cwd=tmp_path)
    assert unset.returncode == 1
    assert "HUB_JWT_SECRET" in unset.stdout
    nowhere = call("doctor", mongo_url="x://me:pass-word@y", redis_url="me:pass-word@y", jwt_secret=SECRET)
    assert "wrong  HUB_MONGO_URL is no address" in nowhere.stdout
    assert "wrong  HUB_REDIS_URL is no address" in nowhere.stdout
    assert "pass-word" not in nowhere.stdout
    none = call("doctor", cwd=tmp_path)
    assert none.returncode == 1
    assert none.stderr.startswith("No hub dev runs on .hub: start ")
    for done in (fresh, away, unset, nowhere, none):
        assert "Traceback" not in done.stderr


def test_doctor_piped_to_head_ends_quietly(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    given = environment(mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET)
    process = subprocess.Popen([HUB, "doctor"], env=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr
    assert (process.stderr.read(), process.wait(20)) == ("", 0)
    process.stderr.close()
