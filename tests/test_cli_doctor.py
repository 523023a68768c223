"""`hub doctor`: what it checks and reports."""

import re
import subprocess
from pathlib import Path
from uuid import uuid4

import pytest
from pymongo import AsyncMongoClient
from redis.asyncio import Redis as RedisClient

from hub.platform import index_builds
from hub.platform.embedded_servers import Mongod, Redis
from hub.runtime.indexes import indexes
from hub.settings import Settings
from tests.cli_commands import HUB, environment, run_command
from tests.fake_twilio import ACCOUNT, TOKEN
from tests.processes import SECRET


@pytest.mark.usefixtures("deployment")
def test_doctor_of_a_healthy_hub_reports_no_problem(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    done = run_command("doctor", mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET, mongo_ulr="x")
    assert done.returncode == 0, done.stdout
    assert done.stdout.endswith("All is well.\n")
    for words in ("replica set hub", "indexes exist", "Redis responds", "agree", "enough files"):
        assert words in done.stdout
    assert "HUB_MONGO_ULR is not a setting of the hub: did you mean HUB_MONGO_URL?" in done.stdout
    assert "channels with a provider: WEBHOOK" in done.stdout
    assert "note   EMAIL is not set up" in done.stdout
    assert "no deliveries are overdue" in done.stdout
    assert "stored unencrypted: set HUB_ENCRYPTION_KEYS" in done.stdout


def test_doctor_checks_the_settings_of_channels(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    settings = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET}
    push = {"vapid_private_key": "no-key", "vapid_subject": "mailto:a@example.org"}
    email = {"smtp_url": "smtp://127.0.0.1:1", "smtp_from": "a@example.org"}
    invalid = run_command("doctor", **settings, **push)
    assert invalid.returncode == 1
    assert "wrong  HUB_VAPID_PRIVATE_KEY is not a valid key: `hub vapid` creates one." in invalid.stdout
    away = run_command("doctor", **settings, **email)
    assert "no mail server responds at 127.0.0.1:1" in away.stdout
    assert "set HUB_PUBLIC_URL" in away.stdout
    assert away.stdout.count("HUB_APP_URL") == 1
    assert "HUB_APP_URL" not in run_command("doctor", **settings, **email, app_url="https://app.example").stdout
    twilio = {"twilio_account_sid": ACCOUNT, "twilio_auth_token": TOKEN, "whatsapp_from": "whatsapp:+15550001111"}
    texts = run_command("doctor", **settings, **twilio, sms_from="+15550001111", mode="development")
    assert f"Twilio sends SMS from +15550001111 and WhatsApp from +15550001111 with account {ACCOUNT}" in texts.stdout
    assert "note   Twilio cannot report statuses and STOP: set HUB_PUBLIC_URL" in texts.stdout
    assert "WEB_PUSH has no provider: /dev/outbox shows its messages" in texts.stdout
    assert TOKEN not in texts.stdout
    regional = run_command("doctor", **settings, sns_sms_from="Acme", public_url="https://hub.example")
    assert "wrong  HUB_SNS_SMS_FROM needs AWS_REGION too" in regional.stdout
    assert "note   WHATSAPP is not set up and is skipped (NOT_CONFIGURED): set HUB_WHATSAPP_FROM" in regional.stdout
    for done in (invalid, away):
        assert "Traceback" not in done.stderr


async def test_doctor_warns_about_a_redis_that_evicts_keys(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    redis = Redis(tmp_path)
    await redis.start()
    try:
        async with RedisClient.from_url(redis.url) as client:
            settings = {"mongo_url": servers[0].url, "redis_url": redis.url, "jwt_secret": SECRET}
            await client.config_set("maxmemory-policy", "allkeys-lru")
            assert "noeviction" not in run_command("doctor", **settings).stdout, (
                "without a memory limit nothing is evicted"
            )
            await client.config_set("maxmemory", "100mb")
            for policy, warned in (("allkeys-lru", True), ("volatile-lru", False), ("noeviction", False)):
                await client.config_set("maxmemory-policy", policy)
                received = run_command("doctor", **settings).stdout
                assert ("set its maxmemory-policy to noeviction (it is allkeys-lru)" in received) is warned, policy
    finally:
        await redis.stop()


def test_doctor_checks_the_aws_settings(servers: tuple[Mongod, Redis], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nowhere")
    settings = {"mongo_url": servers[0].url, "redis_url": servers[1].url, "jwt_secret": SECRET}
    phones = {"sns_platform_apns": "arn:aws:sns:eu-west-1:123456789012:app/APNS_SANDBOX/hub"}
    lost = run_command("doctor", **settings, ses_from="a@example.org")
    assert lost.returncode == 1
    assert "wrong  HUB_SES_FROM needs AWS_REGION too" in lost.stdout
    keyless = run_command("doctor", **settings, **phones).stdout
    assert "note   no AWS key found, required by HUB_SNS_PLATFORM_APNS" in keyless
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    well = run_command("doctor", **settings, **phones, ses_from="a@example.org")
    assert "ok     AWS is called with the key from env, SES in eu-west-1" in well.stdout
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    strange = run_command("doctor", **settings, **phones)
    assert "wrong  the AWS variables and files cannot be used (HUB_SNS_PLATFORM_APNS)" in strange.stdout
    for done in (lost, well, strange):
        assert "Traceback" not in done.stdout + done.stderr


async def test_doctor_reports_indexes_with_other_keys_or_options(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    name = f"doctor{uuid4().hex[:8]}"

    def doctor() -> str:
        return run_command(
            "doctor", mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET, mongo_database=name
        ).stdout

    async with AsyncMongoClient(mongod.url) as client:
        await index_builds.make_indexes(client[name], *indexes(Settings(jwt_secret=(SECRET,))))
        assert "indexes exist" in doctor()
        deliveries, receipts = client[name].deliveries, client[name].receipts
        await deliveries.drop_index("due")
        await deliveries.create_index([("due_at", 1)], name="due")
        await receipts.drop_index("expiry")
        await receipts.create_index([("at", 1)], name="expiry", expireAfterSeconds=1)
        [line] = [line for line in doctor().splitlines() if "have other keys or options" in line]
        assert line.startswith("wrong  2 of ")
        assert {"deliveries.due", "receipts.expiry"} == set(re.findall(r"\w+\.\w+(?=[,.])", line))
        await client.drop_database(name)


def test_doctor_reports_what_is_wrong(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    mongod, redis = servers
    fresh = run_command("doctor", mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET, mongo_database="empty")
    assert fresh.returncode == 1
    assert "indexes are missing in the database empty (HUB_MONGO_DATABASE)" in fresh.stdout
    away = run_command(
        "doctor", mongo_url="mongodb://127.0.0.1:1", redis_url="redis://127.0.0.1:1", jwt_secret=SECRET, cwd=tmp_path
    )
    assert away.returncode == 1
    assert "wrong  MongoDB cannot be used (HUB_MONGO_URL)" in away.stdout
    assert "wrong  Redis cannot be used (HUB_REDIS_URL)" in away.stdout
    unset = run_command("doctor", mongo_url=mongod.url, cwd=tmp_path)
    assert unset.returncode == 1
    assert "HUB_JWT_SECRET" in unset.stdout
    nowhere = run_command("doctor", mongo_url="x://me:pass-word@y", redis_url="me:pass-word@y", jwt_secret=SECRET)
    assert "wrong  HUB_MONGO_URL is not a valid" in nowhere.stdout
    assert "wrong  HUB_REDIS_URL is not a valid" in nowhere.stdout
    assert "pass-word" not in nowhere.stdout
    none = run_command("doctor", cwd=tmp_path)
    assert none.returncode == 1
    assert none.stderr.startswith("No hub dev runs on .hub: start ")
    for done in (fresh, away, unset, nowhere, none):
        assert "Traceback" not in done.stderr


def test_doctor_with_a_closed_pipe_ends_without_an_error(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    fields = environment(mongo_url=mongod.url, redis_url=redis.url, jwt_secret=SECRET)
    process = subprocess.Popen([HUB, "doctor"], env=fields, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr
    assert (process.stderr.read(), process.wait(20)) == ("", 0)
    process.stderr.close()
