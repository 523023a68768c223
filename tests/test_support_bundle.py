"""`hub support-bundle`, `hub doctor --json`, and `hub healthcheck`."""

import json
import os
import signal
import stat
import zipfile
from pathlib import Path
from uuid import uuid4

import pytest

from hub import __version__
from hub.cli.redaction import redact_log_line, redact_text
from hub.cli.settings import rows
from hub.platform.embedded_servers import Mongod, Redis
from tests.certificates import create_certificate
from tests.channel_setup import UPSERT_USERS
from tests.cli_commands import run_command
from tests.client import Json, Tenant
from tests.processes import SECRET, Deployment, Process

PERSON = "alice-of-the-logs"
EMAIL = "alice@people.example"
PHONE = "+4915112345678"


def read_bundle(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as bundle:
        return {name: bundle.read(name).decode() for name in bundle.namelist()}


async def test_bundle_has_the_state_of_the_hub_and_no_personal_data(
    servers: tuple[Mongod, Redis], tmp_path: Path
) -> None:
    mongod, redis = servers
    name = f"bundle{uuid4().hex[:8]}"
    own = {"mongo_database": name, "redis_prefix": f"{name}:"}
    sender = {
        "smtp_url": "smtp://user:pass-word@127.0.0.1:1",
        "smtp_from": f"Alice <{EMAIL}>",
        "sms_limit_per_user": "7",
    }
    async with Deployment(mongod.url, redis.url, apis=1, workers=0, **own, **sender, log_level="debug") as running:
        async with Tenant("t", running.urls) as tenant:
            await tenant.execute(UPSERT_USERS, users=[{"id": PERSON, "email": EMAIL}])
            await tenant.inbox(PERSON)
            await tenant.send(PERSON, channels=["EMAIL"], priority="HIGH")
        [api] = running.apis
        assert PERSON in api.log
        (tmp_path / "api.log").write_text(api.log)
        (tmp_path / "other.log").write_text(f"starting for {PERSON}\n")
        stores = {"mongo_url": mongod.url, "redis_url": redis.url, "jwt_secret": SECRET, **own, **sender}
        logs = ["--log", str(tmp_path / "api.log"), "--log", str(tmp_path / "other.log")]
        path = tmp_path / "bundle.zip"
        done = run_command("support-bundle", str(path), *logs, **stores)
        assert done.returncode == 0, done.stderr
        again = run_command("support-bundle", str(path), **stores)
    assert again.returncode == 1
    assert "exists already: choose another file" in again.stderr
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    entries = read_bundle(path)
    assert sorted(entries) == [
        *("README.txt", "doctor.json", "log-1.jsonl", "log-2.jsonl", "queue.json", "settings.json", "versions.json")
    ]
    for entry, text in entries.items():
        for private in (PERSON, EMAIL, "pass-word", SECRET, "people.example"):
            assert private not in text, (entry, private)
    assert json.loads(entries["versions.json"])["hub"] == __version__
    settings = {row["name"]: row["value"] for row in json.loads(entries["settings.json"])}
    assert settings.keys() == {row.variable for row in rows()}
    assert settings["HUB_SMS_LIMIT_PER_USER"] == "7"
    assert settings["HUB_SMTP_FROM"] == settings["HUB_JWT_SECRET"] == settings["HUB_SMTP_URL"] == "(set)"
    sections = json.loads(entries["doctor.json"])["sections"]
    assert any("all" in one["text"] and "indexes exist" in one["text"] for part in sections for one in part["findings"])
    queue = json.loads(entries["queue.json"])
    assert queue["lanes"] == [{"channel": "EMAIL", "priority": "HIGH", "waiting": 1, "tenants": 1}]
    assert [one["channel"] for one in queue["due"]] == ["EMAIL"]
    lines = [json.loads(line) for line in entries["log-1.jsonl"].splitlines()]
    assert any(line["event"] == "operation" for line in lines)
    assert entries["log-2.jsonl"] == ""


def test_bundle_is_written_without_stores(tmp_path: Path) -> None:
    path = tmp_path / "bundle.zip"
    away = {"mongo_url": "mongodb://127.0.0.1:1", "redis_url": "redis://127.0.0.1:1", "jwt_secret": SECRET}
    for settings, error in ((away, "127.0.0.1:1"), ({}, "name no MongoDB and Redis")):
        path.unlink(missing_ok=True)
        done = run_command("support-bundle", str(path), cwd=tmp_path, **settings)
        assert done.returncode == 0, done.stderr
        entries = read_bundle(path)
        assert error in json.loads(entries["queue.json"])["error"]
        assert json.loads(entries["doctor.json"])["ok"] is False
    missing = run_command("support-bundle", "--log", "nowhere.log", cwd=tmp_path)
    assert missing.returncode == 1
    assert "Cannot read the log nowhere.log" in missing.stderr


def test_log_lines_lose_people_and_texts_of_exceptions() -> None:
    def redacted(**event: object) -> Json | None:
        line = redact_log_line(json.dumps(event))
        return json.loads(line) if line else None

    people = {
        "user": PERSON,
        "recipient": PERSON,
        "mailbox": f"t/{PERSON}",
        "mailboxes": [PERSON],
        "address": "192.0.2.1",
    }
    assert redacted(event="operation", ms=3, **people) == {"event": "operation", "ms": 3}
    assert redacted(event="document_unreadable", id=PERSON) == {"event": "document_unreadable"}
    assert redacted(event="audit", id="7", actor=PERSON, target=PERSON) == {"event": "audit", "id": "7"}
    assert redacted(event="x", error=f"550 <{EMAIL}> and {PHONE}, see https://people.example/alice") == {
        "event": "x",
        "error": "550 <[email]> and [phone], see [url]",
    }
    traceback = (
        'Traceback (most recent call last):\n  File "/opt/hub/a.py", line 3, in f\n    raise ValueError(name)\n'
        f"ValueError: {PERSON}\n{PERSON} wrote"
    )
    assert redacted(event="x", exception=traceback) == {
        "event": "x",
        "exception": 'Traceback (most recent call last):\n  File "/opt/hub/a.py", line 3, in f\nValueError',
    }
    assert redact_log_line(f"hello {PERSON}") is None
    breaker = "webhook/acme/https://people.example:443 fails and is not called for another 3 s"
    assert redact_text(breaker) == "webhook/[address] fails and is not called for another 3 s"


@pytest.mark.usefixtures("deployment")
def test_doctor_prints_json(servers: tuple[Mongod, Redis]) -> None:
    stores = {"mongo_url": servers[0].url, "redis_url": servers[1].url, "jwt_secret": SECRET}
    well = run_command("doctor", "--json", **stores)
    assert well.returncode == 0, well.stdout
    report = json.loads(well.stdout)
    assert (report["ok"], report["failure"], report["version"]) == (True, None, __version__)
    findings = [finding for section in report["sections"] for finding in section["findings"]]
    assert {finding["result"] for finding in findings} == {"ok", "note"}
    wrong = run_command("doctor", "--json", **{**stores, "redis_url": "redis://127.0.0.1:1"})
    assert wrong.returncode == 1
    report = json.loads(wrong.stdout)
    assert report["ok"] is False
    findings = [finding for section in report["sections"] for finding in section["findings"]]
    assert any(one["result"] == "wrong" and "HUB_REDIS_URL" in one["text"] for one in findings)


async def test_healthcheck_succeeds_while_the_process_responds(servers: tuple[Mongod, Redis], tmp_path: Path) -> None:
    mongod, redis = servers
    certificate = create_certificate(tmp_path)
    tls = {"ssl_certfile": str(certificate.file), "ssl_keyfile": str(certificate.key)}
    mutual = {**tls, "ssl_ca_certs": str(certificate.file)}
    for settings in ({}, tls, mutual):
        api = Process("serve", mongod.url, redis.url, **settings)
        await api.start()
        try:
            here = {"port": str(api.port), "host": "0.0.0.0", **settings}
            done = run_command("healthcheck", **here)
            assert (done.returncode, done.stderr) == (0, ""), settings
            os.kill(api.pid, signal.SIGSTOP)
            stuck = run_command("healthcheck", **here)
            os.kill(api.pid, signal.SIGCONT)
            assert stuck.returncode == 1, settings
            assert "timed out" in stuck.stderr
        finally:
            api.kill()
    worker = Process("work", mongod.url, redis.url, work_port="0")
    await worker.start()
    try:
        assert run_command("healthcheck", port="1", work_port=str(worker.port)).returncode == 0
        unset = run_command("healthcheck", port="1")
        assert unset.returncode == 1
        assert "No hub responds at 127.0.0.1:1" in unset.stderr
        assert "set HUB_WORK_PORT" in unset.stderr
    finally:
        worker.kill()
