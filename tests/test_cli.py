"""The `hub` command: help, tokens, keys, wrong settings and failed starts."""

import socket
from pathlib import Path
from uuid import uuid4

import pytest
from py_vapid import Vapid

from hub import __version__
from hub.api.vapid import vapid_public_key
from hub.cli.api_client import execute
from hub.cli.token import parse_duration
from hub.model import Channel
from hub.settings import Settings
from tests.cli_commands import base_url, run_command
from tests.client import SEND
from tests.doc_pages import DOCS, text_of
from tests.processes import SECRET, Deployment

ROOT = Path(__file__).parent.parent
COMMANDS = [
    "dev",
    "send",
    "watch",
    "replay",
    "token",
    "console",
    "vapid",
    "doctor",
    "serve",
    "work",
    "settings",
    "templates",
    "metrics",
    "commands",
    "metrics",
    "commands",
    "schema",
]


def test_help_lists_every_command_with_an_example() -> None:
    listed = run_command("--help").stdout
    for command in COMMANDS:
        assert f"\n  {command} " in listed
    for command in COMMANDS:
        assert "Example" in run_command(command, "--help").stdout


def test_reference_names_every_setting() -> None:
    named = text_of(DOCS / "reference" / "settings.md")
    assert [name for name in Settings.model_fields if f"`HUB_{name.upper()}`" not in named] == []


async def test_token_command_prints_a_valid_token_for_the_user_and_role(deployment: Deployment) -> None:
    tenant = f"t{uuid4().hex[:12]}"
    url = base_url(deployment)
    created = run_command("token", "--role", "service", "--tenant", tenant, "--expires", "PT5M", jwt_secret=SECRET)
    await execute(
        url,
        created.stdout.strip(),
        SEND,
        input={"to": {"users": ["zoe"]}, "category": "a", "content": {"title": "Hi", "body": ""}},
    )
    own = run_command("token", "--user", "zoe", "--tenant", tenant, jwt_secret=SECRET)
    assert (await execute(url, own.stdout.strip(), "{ me { id } inbox { unread } }")) == {
        "me": {"id": "zoe"},
        "inbox": {"unread": 1},
    }


def test_vapid_command_prints_valid_settings() -> None:
    lines = run_command("vapid").stdout.splitlines()
    fields = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert set(fields) == {"HUB_VAPID_PRIVATE_KEY", "HUB_VAPID_SUBJECT"}
    settings = Settings(
        jwt_secret=SECRET, vapid_private_key=fields["HUB_VAPID_PRIVATE_KEY"], vapid_subject=fields["HUB_VAPID_SUBJECT"]
    )
    assert Channel.WEB_PUSH in settings.configured
    public = vapid_public_key(fields["HUB_VAPID_PRIVATE_KEY"])
    assert lines[0] == f"# Public key: {public}"
    signer = Vapid.from_string(fields["HUB_VAPID_PRIVATE_KEY"])
    assert (
        f"k={public}"
        in signer.sign({"aud": "https://push.example.org", "sub": "mailto:a@example.org"})["Authorization"]
    )
    assert run_command("vapid").stdout != "\n".join(lines)


def test_replay_without_arguments_prints_what_is_missing() -> None:
    assert "--all" in run_command("replay", jwt_secret=SECRET).stderr
    assert "one of these" in run_command("replay", "some-id", "--channel", "email", jwt_secret=SECRET).stderr
    assert "--since PX" in run_command("replay", "--since", "PX", jwt_secret=SECRET).stderr


def test_token_command_with_an_invalid_duration_fails(capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("1x", "24"):
        done = run_command("token", "--user", "a", "--expires", text, jwt_secret=SECRET)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"--expires {text}: " in done.stderr
    for invalid in ("", "P", "PT", "P1Y", "P1M", "PT0S", "-PT1H", "P999999D"):
        with pytest.raises(SystemExit):
            parse_duration(invalid)
    capsys.readouterr()
    assert [parse_duration(original) for original in ("PT1.5S", "P1DT2H3M", "P2W", "P1W2D")] == [
        1.5,
        93_780,
        1_209_600,
        777_600,
    ]


def test_token_command_without_a_subject_or_key_names_the_option(tmp_path: Path) -> None:
    assert "--user ID" in run_command("token", jwt_secret=SECRET).stderr
    assert "leave --role out" in run_command("token", "--role", "user", jwt_secret=SECRET).stderr
    wrong = run_command("token", "--role", "boss", jwt_secret=SECRET).stderr
    assert wrong == "--role boss: use viewer, support, operator, service, admin.\n"
    nameless = run_command("token", "--role", "viewer", jwt_secret=SECRET).stderr
    assert nameless == "--role viewer requires --user, the id of the person, for the audit log.\n"
    keyless = run_command("token", "--user", "a", cwd=tmp_path)
    assert keyless.returncode == 1
    assert "HUB_JWT_SECRET" in keyless.stderr


@pytest.mark.parametrize("command", [["serve"], ["work"], ["token", "--user", "a"], ["dev", "--port", "0"]])
def test_weak_secret_is_rejected_with_a_message(command: list[str], tmp_path: Path) -> None:
    done = run_command(*command, cwd=tmp_path, jwt_secret="too-short")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("HUB_JWT_SECRET: each secret has 32 bytes or more; create one with `openssl rand")


def test_wrong_setting_is_named() -> None:
    done = run_command("serve", jwt_secret=SECRET, port="eighty")
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
def test_arn_of_another_resource_is_rejected(name: str, arn: str) -> None:
    done = run_command("work", **{name: arn}, jwt_secret=SECRET)
    assert done.returncode == 2
    assert done.stderr.startswith(f"HUB_{name.upper()}: write the ARN of an SNS platform application")


@pytest.mark.parametrize(
    "url", ["app.example", "javascript:alert(1)", "https://a.example/app", "https://u:p@a.example"]
)
def test_invalid_app_url_is_rejected(url: str) -> None:
    done = run_command("serve", jwt_secret=SECRET, app_url=url)
    assert (done.returncode, done.stderr.startswith("HUB_APP_URL: "), "Traceback" in done.stderr) == (2, True, False)


def test_version_is_printed() -> None:
    assert run_command("--version").stdout == f"hub {__version__}\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_serve_on_a_used_port_fails_and_names_the_setting(host: str) -> None:
    address = "127.0.0.1" if host == "localhost" else host
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as accepted:
        try:
            accepted.bind((address, 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
        accepted.listen()
        port = accepted.getsockname()[1]
        done = run_command("serve", jwt_secret=SECRET, host=host, port=str(port), mongo_url="mongodb://127.0.0.1:1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"Port {port} on {host} is taken: choose another with HUB_PORT.\n"


@pytest.mark.parametrize("command", [["serve"], ["work"], ["dev", "--port", "0"]])
def test_start_without_mongodb_fails_without_printing_the_password(command: list[str], tmp_path: Path) -> None:
    for url, words in [
        (
            "mongodb://me:pass-word@127.0.0.1:1/?authSource=admin",
            "MongoDB does not respond at 127.0.0.1:1 (HUB_MONGO_U",
        ),
        ("mongodb://me:pass-word@[x:y", "HUB_MONGO_URL is not a valid MongoDB URL"),
    ]:
        settings = {"mongo_url": url, "redis_url": "redis://127.0.0.1:1", "jwt_secret": SECRET}
        done = run_command(*command, **settings, port="0", commit_deadline_s="0.5", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(words)
        assert "pass-word" not in done.stderr
        assert "Traceback" not in done.stderr


def test_schema_check_compares_with_the_file(tmp_path: Path) -> None:
    assert run_command("schema", "--check", cwd=ROOT).returncode == 0
    stale = run_command("schema", "--check", cwd=tmp_path)
    assert stale.returncode == 1
    assert "hub schema > schema.graphql" in stale.stderr
