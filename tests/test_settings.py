"""Settings: formats, bounds, and errors that name the invalid setting."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hub.cli.target_hub import describe_faults
from hub.platform.embedded_servers import Mongod, Redis
from hub.settings import Settings, value_parsers
from tests.cli_commands import run_command
from tests.processes import SECRET

APP = "https://app.example.org"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:bounces"
ANDROID = "arn:aws:sns:eu-west-1:123456789012:app/GCM/hub"
IPHONE = "arn:aws:sns:us-east-1:123456789012:app/APNS/hub"


def settings(**values: str) -> Settings:
    """Return settings from texts, as in the environment."""
    return Settings(**{"jwt_secret": SECRET, **values})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("https://App.Example.org/", APP),
        ("HTTPS://app.example.org:443", APP),
        ("https://app.example.org:", APP),
        (f"{APP},{APP}/ ", APP),
        ("http://localhost:80", "http://localhost"),
        ("http://LOCALHOST:5173/", "http://localhost:5173"),
        ("https://app.example.org:0443", APP),
        ("https://bücher.example", "https://xn--bcher-kva.example"),
        ("https://BÜCHER.example:8443", "https://xn--bcher-kva.example:8443"),
        ("https://straße.example", "https://xn--strae-oqa.example"),
        ("https://app。example.org", APP),
        ("https://my_app.example.org", "https://my_app.example.org"),
        ("http://[0:0:0::1]:5173", "http://[::1]:5173"),
        ("http://[2001:DB8::A]", "http://[2001:db8::a]"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("chrome-extension://ABCDEF/", "chrome-extension://abcdef"),
    ],
)
def test_allowed_origin_is_normalized_to_what_browsers_send(text: str, sent: str) -> None:
    assert settings(allowed_origins=text).allowed_origins == (sent,)


@pytest.mark.parametrize(
    "word",
    [
        *("app.example.org", "app.example.org:443", "//app.example.org", "https:/app.example.org", "null", "*"),
        *("https://*.example.org", "https://app.example.org/app", "https://app.example.org?x", "https://a.example#x"),
        *("https://me:secret@app.example.org", "https://", "https://app..example.org", "https://app.example.org:x"),
        *("https://app.example.org:99999", "https://app.example.org:0", "https://[::1", "https://[::1%25eth0]"),
        *("http://127.1", "http://0x7f.1", "http://256.1.1.1", "ws://app.example.org", "file:///app", "https://-a.b"),
    ],
)
def test_allowed_origin_that_no_browser_sends_is_rejected(word: str) -> None:
    serve = run_command("serve", jwt_secret=SECRET, allowed_origins=f"{APP} {word}") if word == "*" else None
    with pytest.raises(ValidationError) as rejected:
        settings(allowed_origins=f"{APP} {word}")
    [line] = describe_faults(rejected.value)
    assert line.startswith("HUB_ALLOWED_ORIGINS: ")
    assert APP in line
    if serve:
        assert (serve.returncode, serve.stderr) == (2, f"{line}\n")


@given(st.from_regex(re.compile(r"[a-zA-Z:/.\[\]@0-9äß*?#%_-]{0,30}"), fullmatch=True))
def test_parsed_origin_is_parsed_to_itself(text: str) -> None:
    """Normalizing is idempotent, and no exception other than ValueError is raised."""
    try:
        parsed = value_parsers.origin(text)
    except ValueError:
        return
    assert value_parsers.origin(parsed) == parsed
    assert parsed.isascii()
    assert parsed == parsed.lower()


@given(st.text(max_size=60) | st.from_regex(r"[a-zA-Z<>@\",;:. ()\[\]]{1,30}", fullmatch=True))
def test_sender_is_rejected_or_one_address(text: str) -> None:
    """Any text is one address that can be used in a header, or ValueError."""
    try:
        _, address = value_parsers.sender(text)
    except ValueError:
        return
    assert re.fullmatch(r"[!-~]+@[a-z0-9.-]+", address)


@pytest.mark.parametrize("name", ["smtp_from", "ses_from"])
@pytest.mark.parametrize(
    ("sender", "words"),
    [
        ("Acme <no-reply@foo_bar.example.org>", "email cannot come from `foo_bar.example.org`"),
        ("Acme <no-reply@example.org>, Beta <no-reply@example.com>", "2 senders"),
        ("no-reply@example.org no-reply@example.com", "this is not a valid sender"),
        ("no-reply@example.org; no-reply@example.com", "this is not a valid sender"),
        ("Acme, Inc. <no-reply@example.org>", "put a name with a comma in quotes"),
        ("Acme <no-reply@example.org> x", "this is not a valid sender"),
        ("Acme", "this is not a valid sender"),
        ("mailto:no-reply@example.org", "this is not a valid sender"),
        ("a@b@example.org", "this is not a valid sender"),
        ("user@example..org", "this is not a valid sender"),
        ("team: no-reply@example.org;", "this is not a valid sender"),
        ("Müller <müller@example.org>", "this is not a valid sender"),
        ('"a b"@example.org', "ASCII letters"),
    ],
)
def test_invalid_sender_is_rejected_with_the_name_of_the_setting(name: str, sender: str, words: str) -> None:
    with pytest.raises(ValidationError) as rejected:
        settings(**{name: sender})
    [line] = describe_faults(rejected.value)
    assert line.startswith(f"HUB_{name.upper()}: ")
    assert words in line


@pytest.mark.parametrize(
    "sender",
    ["no-reply@example.org", "Acme Inc. <no-reply@example.org>", '"A, B" <a@bücher.example>', "Müller <a@b.c>"],
)
def test_valid_sender_is_accepted(sender: str) -> None:
    assert settings(smtp_from=sender).smtp_from == sender


INVALID = {
    "encryption_keys": [
        "pass-word",
        "pass-word:",
        f"k1:{'pass-word' * 5}",
        f"k 1:{'A' * 43}",
        f"k1:{'A' * 43} k1:{'B' * 43}",
        f"{'k' * 33}:{'A' * 43}",
    ],
    "mongo_database": ["", "a b", "a.b", "a/b", "x" * 64],
    "port": ["70000", "-1", "http"],
    "work_port": ["70000"],
    "trusted_proxies": ["proxy.example.org", "10.0.0.1/8"],
    "metrics_token": ["two words", "pass-wörd"],
    "jwks_url": ["issuer.example.org/keys", "ftp://a.example", "https://me:pass-word@a.example/keys", "https://a:x/"],
    "public_url": [
        "hub.example.org",
        "https://hub.example.org?pass-word",
        "https://hub.example.org:99999",
        "https://a b",
    ],
    "app_url": ["app.example.org", "https://app.example.org/app", "capacitor://localhost"],
    "smtp_url": ["mail.example.org:25", "smtp://u:pass-word#@mail.example.org", "smtp://mail.example.org/x"],
    "sns_topics": ["bounces", f"{TOPIC} bounces"],
    "twilio_account_sid": [f"SK{'1' * 32}", f"AC{'1' * 31}"],
    "sms_from": ["0151 12345678", "Acme", f"mg{'1' * 32}"],
    "whatsapp_from": ["whatsapp:0151", f"MG{'1' * 32}"],
    "sns_sms_from": ["ab", "123456", "Acme Corp", "0151"],
    "sms_segments": ["0", "8"],
    "vapid_subject": ["ops@example.org", "mailto:", "mailto:a@b_c.example", "https:"],
    "delivery_concurrency_by_channel": ["20", "{", '{"EMAIL": 0}', '{"MAIL": 1}', "[" * 100_000],
    "retry_schedule_by_channel": ['{"EMAIL": [-1]}', '{"EMAIL": [1e99]}', "5s"],
    "retry_schedule": ["5", "nans", "infd", "-5s", "999999d", ","],
    "egress_allow": ["10.0.0.1/8", "localhost"],
    "chats": ["SLACK IRC", "WEBHOOK"],
    "chat_origins": ["https://chat.example.org/path", "chat.example.org"],
    "scheduler_interval_s": ["nan", "inf", "1e300"],
    "idempotency_days": ["100000"],
    "request_timeout_s": ["0"],
    "page_max_items": ["99999999999"],
    "persisted_max_queries": ["0"],
    "redis_prefix": ["a\udcff", "a\x00b"],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in INVALID.items() for value in values])
def test_invalid_setting_is_rejected_with_its_name(name: str, value: str) -> None:
    """The error begins with the name and never contains a password."""
    more = {"smtp_from": "a@example.org"} if name == "smtp_url" else {}
    with pytest.raises(ValidationError) as rejected:
        settings(**{name: value}, **more)
    for line in describe_faults(rejected.value):
        assert line.startswith(f"HUB_{name.upper()}")
        assert "pass-w" not in line


def test_settings_that_contradict_each_other_are_named() -> None:
    with pytest.raises(ValidationError) as rejected:
        settings(sns_platform_fcm=ANDROID, sns_platform_apns=IPHONE)
    assert describe_faults(rejected.value)[0].startswith(
        "HUB_SNS_PLATFORM_FCM and HUB_SNS_PLATFORM_APNS are in different regions"
    )
    with pytest.raises(ValidationError) as keyless:
        settings(vapid_private_key="no-key", vapid_subject="mailto:ops@example.org")
    with pytest.raises(ValidationError) as without_account:
        settings(sms_from="+15550001111", whatsapp_from="whatsapp:+15550001111")
    [line] = describe_faults(without_account.value)
    assert line.startswith("HUB_SMS_FROM and HUB_WHATSAPP_FROM cannot be used without HUB_TWILIO_ACCOUNT_SID")
    assert describe_faults(keyless.value) == ["HUB_VAPID_PRIVATE_KEY is not a valid key: `hub vapid` creates one."]


@pytest.mark.parametrize("name", ["mongod", "redis_server"])
def test_program_that_cannot_be_run_is_named(name: str, tmp_path: Path) -> None:
    dev = run_command("dev", "--port", "0", cwd=tmp_path, **{name: "/nowhere/program"})
    assert dev.returncode == 1
    assert f"HUB_{name.upper()}: /nowhere/program cannot be run as " in dev.stderr


def test_doctor_and_serve_report_the_same_errors(servers: tuple[Mongod, Redis]) -> None:
    """Includes errors that only a starting process finds: certificate, listen address, options of Redis."""
    mongod, redis = servers
    stores = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET, "port": "0"}
    for invalid, words in (
        ({"delivery_concurrency_by_channel": "{"}, "HUB_DELIVERY_CONCURRENCY_BY_CHANNEL: write a JSON object"),
        ({"ssl_certfile": "/nowhere.pem"}, "HUB_SSL_CERTFILE (--ssl-certfile): /nowhere.pem cannot be read"),
        ({"host": "203.0.113.7"}, "HUB_HOST: 203.0.113.7 is not an address of this machine"),
        ({"mongo_url": f"{mongod.url}&tls=true&tlsCAFile=/nowhere.pem"}, "HUB_MONGO_URL is not a valid MongoDB URL"),
        ({"redis_url": f"{redis.url}?colour=red"}, "HUB_REDIS_URL is not a valid Redis URL"),
    ):
        started, examined = (
            run_command("serve", **{**stores, **invalid}),
            run_command("doctor", **{**stores, **invalid}),
        )
        assert started.returncode in {1, 2}
        assert examined.returncode == 1
        assert started.stderr.startswith(words)
        assert f"wrong  {words}" in examined.stdout
        assert "Traceback" not in started.stderr + examined.stderr


@pytest.mark.parametrize("text", ["$plan", "a.b", " ".join(f"a{n}" for n in range(17))])
def test_indexed_attributes_are_at_most_16_valid_names(text: str) -> None:
    with pytest.raises(ValidationError) as refused:
        settings(indexed_attributes=text)
    assert "HUB_INDEXED_ATTRIBUTES" in "".join(describe_faults(refused.value))
    assert settings(indexed_attributes="plan, plan team").indexed_attributes == ("plan", "team")


def test_sign_in_at_the_issuer_requires_an_issuer_with_https_and_its_keys() -> None:
    keys = {"jwks_url": "https://login.example.org/keys", "console_oidc_client_id": "console"}
    for issuer in ("https://login.example.org/realm", "http://127.0.0.1:8080/realm", "http://localhost:80"):
        assert settings(**keys, jwt_issuer=issuer).console_oidc_client_id == "console"
    for issuer in ("", "login", "http://login.example.org", "https://a;b", "https://[::", "ftp://localhost"):
        with pytest.raises(ValidationError, match="HUB_JWT_ISSUER"):
            settings(**keys, jwt_issuer=issuer)
    with pytest.raises(ValidationError, match="HUB_JWKS_URL"):
        settings(console_oidc_client_id="console", jwt_issuer="https://login.example.org")
