"""Credentials at rest: encryption in the background, rotation of keys, and keys that are missing."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymongo import AsyncMongoClient, MongoClient

from hub import base64url
from hub.audience import tenants, users
from hub.audience.users import DEVICE_CREDENTIALS
from hub.cli.encryption_check import check_encryption
from hub.cli.findings import CheckFailed, Findings
from hub.model import Device, DeviceKind, WebhookEndpoint, document
from hub.platform import index_builds
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from hub.platform.encryption import CredentialUnavailable, Encryption, StoredCredentials
from hub.settings import Settings
from hub.webhooks.endpoints import Endpoints
from hub.workflows.credential_encryption import SLICE, STORED, CredentialEncryption
from tests.channel_setup import (
    FakeChannels,
    deployment_with_channels,
    list_deliveries,
    wait_for_deliveries,
    wait_until_settled,
)
from tests.cli_commands import environment, run_command
from tests.client import SHORTEST_PAUSE_S, Json, Tenant, eventually
from tests.clocks import hub_now
from tests.conftest import scaled
from tests.hub_process import ForkedProcess
from tests.processes import SECRET, Deployment, Process
from tests.provider_setup import provider_settings
from tests.telemetry import log_lines
from tests.webhook_data import CALLS, create_endpoint, execute_as

K1, K2, K3 = (f"k{number}:{base64url.encode(secrets.token_bytes(32))}" for number in (1, 2, 3))
KEYS = st.lists(st.tuples(st.text("abc-_", min_size=1, max_size=3), st.binary(min_size=32, max_size=32)), min_size=1)
PLACES = st.tuples(st.sampled_from(["users", "tenants"]), st.sampled_from(["devices.auth", "devices.url"]), st.text())
PUSH_ONLY = ["WEB_PUSH"]
ROTATE = ("keys", "rotate-encryption")


def encryption(*keys: str) -> Encryption:
    return Encryption((id, base64url.decode(key)) for id, _, key in (each.partition(":") for each in keys))


@given(st.text(), KEYS, PLACES, PLACES)
def test_only_the_place_of_a_value_and_its_key_decrypt_it(
    text: str, keys: list[tuple[str, bytes]], place: tuple[str, str, str], other: tuple[str, str, str]
) -> None:
    ids = dict(keys)
    first, *_ = ids
    sealed = Encryption(ids.items())
    stored = sealed.encrypt(text, *place)
    assert stored.startswith(f"v1.{first}.")
    assert stored != sealed.encrypt(text, *place), "the nonce is random"
    assert Encryption(reversed(ids.items())).decrypt(stored, *place) == text
    refused: list[tuple[Encryption, str, tuple[str, str, str]]] = [
        (Encryption([]), stored, place),
        (Encryption([(first, bytes(255 - byte for byte in ids[first]))]), stored, place),
        (sealed, stored[:-1] + ("A" if stored[-1] not in "ABCD" else "Z"), place),
    ]
    if other != place:
        refused.append((sealed, stored, other))
    for keyring, value, where in refused:
        with pytest.raises(CredentialUnavailable, match=f"`{first}`"):
            keyring.decrypt(value, *where)
    assert Encryption([]).decrypt(Encryption([]).encrypt(text, *place), *place) == text


@asynccontextmanager
async def audience_database(servers: tuple[Mongod, Redis]) -> AsyncIterator[Database]:
    """A database with the indexes of users and tenants."""
    async with AsyncMongoClient(servers[0].url, tz_aware=True) as client:
        name = f"encryption{uuid4().hex[:8]}"
        await index_builds.make_indexes(client[name], users.indexes(), tenants.indexes())
        yield client[name]
        await client.drop_database(name)


def new_device(number: int, **fields: Any) -> Device:
    values = {"url": f"https://push.example/{number}", "p256dh": "point", "auth": f"auth-{number}", **fields}
    return Device(id=f"d{number}", kind=DeviceKind.WEB_PUSH, key=uuid4().hex, created_at=hub_now(), **values)


async def insert_devices(database: Database, count: int, keys: Encryption | None = None) -> None:
    """Insert users with one browser each. Without keys, the documents are those of a hub that encrypts nothing."""
    stored = keys or encryption()
    await database.users.insert_many(
        {
            "_id": f"old/{number:05}",
            "tenant": "old",
            "created_at": hub_now(),
            "updated_at": hub_now(),
            "devices": [document(stored.encrypted(DEVICE_CREDENTIALS, new_device(number)))],
        }
        for number in range(count)
    )


async def test_slice_keeps_a_device_that_was_registered_again_meanwhile(servers: tuple[Mongod, Redis]) -> None:
    async with audience_database(servers) as database:
        with MongoClient[Json](servers[0].url) as client:
            rival = client[database.name].users

            class Overtaken(Encryption):
                """Between the read and the write of a slice, the device gets new keys."""

                def encrypted_values(
                    self, where: StoredCredentials, id: str, values: Mapping[str, Any]
                ) -> dict[str, Any]:
                    if id == "d0" and values["auth"] == "auth-0":
                        rival.update_one({"_id": "old/00000"}, {"$set": {"devices.0.auth": "new"}})
                    return super().encrypted_values(where, id, values)

            await insert_devices(database, 2)
            keys = Overtaken([("k1", bytes(32))])
            credentials = CredentialEncryption(database, keys)
            assert [await credentials.tick() for _ in range(3)] == [1, 1, 0]
        docs = await database.users.find().sort("_id").to_list()
        found = [keys.decrypted(DEVICE_CREDENTIALS, Device(**device)) for doc in docs for device in doc["devices"]]
        assert [(device.auth, device.p256dh) for device in found] == [("new", "point"), ("auth-1", "point")]


async def test_queries_read_only_what_they_return(servers: tuple[Mongod, Redis]) -> None:
    """A hub with millions of devices asks twice a second what remains."""
    async with audience_database(servers) as database:
        await insert_devices(database, 300, encryption(K1))
        await database.users.update_many({"_id": {"$gte": "old/00290"}}, {"$unset": {"devices.0.encrypted_with": ""}})
        await database.users.insert_many({"_id": f"no-device/{number}"} for number in range(100))
        await database.command("profile", 2)
        credentials = CredentialEncryption(database, encryption(K2, K1))
        assert [await credentials.missing_keys(), await credentials.tick(), await credentials.tick()] == [[], 10, 0]
        slice_ = await credentials.encrypt_slice(DEVICE_CREDENTIALS, "k1", after="old/00279")
        await database.command("profile", 0)
        assert (slice_.written, slice_.last) == (10, "old/00289")
        profiled = await database["system.profile"].find({"ns": f"{database.name}.users"}).to_list()
        reads = [entry for entry in profiled if entry["op"] == "query"]
        assert [entry["docsExamined"] for entry in reads] == [0, 10, 0, 10]
        assert max(entry["keysExamined"] for entry in reads) <= 14
        assert not any(entry.get("hasSortStage") for entry in reads)


async def test_webhook_secret_whose_key_is_lost_can_be_rotated(servers: tuple[Mongod, Redis]) -> None:
    async with audience_database(servers) as database:

        def endpoints(*keys: str) -> Endpoints:
            return Endpoints(database, provider_settings(), hub_now, encryption(*keys))

        async def stored(*keys: str) -> WebhookEndpoint:
            [endpoint] = await endpoints(*keys).list_all("acme")
            return endpoints(*keys).decrypted(endpoint)

        created = await endpoints(K1).create("acme", "https://hooks.example/", [], None)
        assert (await stored(K1)).secrets == created.secrets
        second = await endpoints(K2, K1).rotate("acme", created.id, None)
        assert second.secrets[1:] == created.secrets
        assert (await stored(K2)).secrets == second.secrets, "the previous secret is also encrypted with the new key"
        with pytest.raises(CredentialUnavailable, match="k2"):
            await stored(K3)
        third = await endpoints(K3).rotate("acme", created.id, None)
        assert (await stored(K3)).secrets == third.secrets
        assert len(third.secrets) == 1
        plain = await endpoints().rotate("acme", created.id, None)
        assert (await stored()).secrets == plain.secrets


async def restart(process: Process, *keys: str) -> None:
    """Stop a process, and start it again with these keys."""
    await process.stop()
    process.forget_log()
    process.environment["HUB_ENCRYPTION_KEYS"] = " ".join(keys)
    await process.start()


async def find_texts(database: Database, texts: list[str]) -> set[tuple[str, str]]:
    """Return the collections that contain any of the texts, with the text."""
    found = set()
    for name in await database.list_collection_names():
        stored = str([doc async for doc in database[name].find()])
        found |= {(name, text) for text in texts if text in stored}
    return found


async def test_credentials_are_encrypted_while_processes_without_a_key_run(servers: tuple[Mongod, Redis]) -> None:
    mongod, redis = servers
    async with AsyncExitStack() as stack:
        opened = deployment_with_channels(mongod.url, redis.url, workers=1, public_url="https://hub.example")
        deployment, tenant, fakes = await stack.enter_async_context(opened)
        settings = {
            name: deployment.workers[0].environment[f"HUB_{name.upper()}"]
            for name in Settings.model_fields.keys() - {"mongo_url", "redis_url"}
            if f"HUB_{name.upper()}" in deployment.workers[0].environment
        }
        client = await stack.enter_async_context(AsyncMongoClient(mongod.url))
        database = client[settings["mongo_database"]]
        await fakes.add_addresses(tenant, "alice")
        _, secret = await create_endpoint(tenant, f"{fakes.receiver.url}/tenant", ["notification.read"])
        fakes.receiver.secrets["/tenant"] = secret

        def credentials() -> list[str]:
            browsers = fakes.push.subscriptions.values()
            values = [text for one in browsers for text in (one.endpoint, one.p256dh_text, one.auth_text)]
            return [*values, *fakes.phones, *fakes.receiver.secrets.values(), f"{fakes.receiver.url}/alice"]

        async def none_is_plain() -> bool:
            return not await find_texts(database, credentials())

        assert not await none_is_plain()
        worker = Process("work", mongod.url, redis.url, **settings | {"encryption_keys": K1})
        stack.callback(worker.kill)
        await worker.start()
        await eventually(none_is_plain)
        await fakes.add_addresses(tenant, "bob")  # with the API process that has no key
        await eventually(none_is_plain)
        deployment.workers[0].kill()
        await tenant.send("alice", "bob", channels=["IN_APP", "WEB_PUSH", "MOBILE_PUSH", "WEBHOOK"])
        await wait_for_deliveries(tenant, "DELIVERED", 2)  # by webhook
        await wait_for_deliveries(tenant, "SENT", 4)
        await tenant.mark_all("alice", "markAllRead")
        await eventually(lambda: asyncio.sleep(0, fakes.receiver.bodies["/tenant"]))
        assert fakes.receiver.invalid_signatures == 0
        await _copied_value_does_not_decrypt(database, tenant)
        stored = await find_texts(database, [text for text in credentials() if text not in fakes.phones])
        assert not stored, "the fake ARNs contain the tokens of phones, real ones do not"
        await restart(deployment.apis[0], K1)
        await _urls_are_shown_to_their_owner(tenant, fakes)
        assert not [line for line in worker.log.splitlines() if any(text in line for text in credentials())]


async def _copied_value_does_not_decrypt(database: Database, tenant: Tenant) -> None:
    docs = {doc["_id"].partition("/")[2]: doc async for doc in database.users.find()}
    [alice, bob] = (docs[user]["devices"][0] for user in ("alice", "bob"))
    match = {"_id": docs["bob"]["_id"], "devices.id": bob["id"]}
    await database.users.update_one(match, {"$set": {"devices.$.auth": alice["auth"]}})
    sent = await tenant.send("alice", "bob", channels=PUSH_ONLY)

    async def failed() -> list[Json] | None:
        found = await list_deliveries(tenant, sendId=sent["send"]["id"], userId="bob", channels=PUSH_ONLY)
        return found if found[0]["attempts"] else None

    [delivery] = await eventually(failed)
    assert delivery["attempts"][0]["provider"] == "hub"
    assert "the key `k1` in HUB_ENCRYPTION_KEYS does not decrypt devices.auth" in delivery["attempts"][0]["error"]
    await database.users.update_one(match, {"$set": {"devices.$.auth": bob["auth"]}})


async def _urls_are_shown_to_their_owner(tenant: Tenant, fakes: FakeChannels) -> None:
    url = f"{fakes.receiver.url}/alice"
    shown = (await tenant.execute("{ me { devices { kind url } } }", user="alice"))["me"]["devices"]
    assert {device["kind"]: device["url"] for device in shown} == {
        "WEB_PUSH": None,
        "MOBILE_PUSH": None,
        "WEBHOOK": url,
    }
    exported = (await tenant.execute_as_admin('mutation { exportUser(id: "alice") }'))["exportUser"]
    [browser, phone, webhook] = exported["devices"]
    assert (webhook["url"], browser["url"].startswith(fakes.push.url), exported["complete"]) == (url, True, True)
    assert set(phone) == {"id", "kind", "platform", "createdAt", "lastUsedAt"}


async def test_rotation_under_load_loses_nothing_and_missing_keys_are_named(
    servers: tuple[Mongod, Redis], tmp_path: Path
) -> None:
    mongod, redis = servers
    old_count = scaled(5 * SLICE, 100 * SLICE)
    people = [f"user{number}" for number in range(20)]
    name = f"fakes{uuid4().hex[:8]}"
    stores = {"mongo_url": mongod.url, "redis_url": redis.url, "mongo_database": name, "redis_prefix": f"{name}:"}
    times = {"scheduler_interval_s": "0.1", "retry_schedule": ",".join(["1s"] * 60)}
    async with AsyncExitStack() as stack:
        fakes = await stack.enter_async_context(FakeChannels())
        database = (await stack.enter_async_context(AsyncMongoClient(mongod.url)))[name]
        settings = {**fakes.settings, **times, "egress_allow": "127.0.0.0/8", "work_port": "0"}
        running = Deployment(apis=1, workers=1, **stores, **settings, encryption_keys=f"{K2} {K1}")
        deployment = await stack.enter_async_context(running)
        tenant = await stack.enter_async_context(Tenant("acme", deployment.urls))
        _, secret = await create_endpoint(tenant, f"{fakes.receiver.url}/tenant", ["notification.seen"])
        fakes.receiver.secrets["/tenant"] = secret
        await insert_devices(database, old_count, encryption(K1))
        await insert_browsers(database, fakes, people, encryption(K1))

        credentials = CredentialEncryption(database, encryption(K2, K1))
        rotated = asyncio.Event()
        load = asyncio.create_task(_register_and_send(tenant, fakes, people, rotated))
        stores["jwt_secret"] = SECRET
        both = environment(**stores, encryption_keys=f"{K2} {K1}")
        killed = ForkedProcess(ROTATE, both, tmp_path / "out", tmp_path / "err")
        await eventually(
            lambda: asyncio.sleep(0, (tmp_path / "err").exists() and (tmp_path / "err").read_text()),
            longest_pause_s=SHORTEST_PAUSE_S,
        )
        killed.kill()
        killed.wait()
        assert 0 < await credentials.count(DEVICE_CREDENTIALS, "k1") < old_count, "it was not killed in the middle"
        done = await asyncio.to_thread(run_command, *ROTATE, **stores, encryption_keys=f"{K2},{K1}")
        rotated.set()
        sent = await load
        assert done.returncode == 0, done.stderr
        assert done.stdout.endswith("`k1` encrypts nothing: it may be removed from HUB_ENCRYPTION_KEYS.\n")
        assert [await credentials.count(where, key) for where in STORED for key in ("k1", None)] == [0] * 6
        assert {one["status"] for one in await wait_until_settled(tenant, sent, 60)} == {"SENT"}

        [worker] = deployment.workers
        await restart(worker, K3)
        await _missing_key_is_named(worker, tenant, people, stores)
        await restart(worker, K2)
        found = await wait_until_settled(tenant, sent + len(people), 60)
        assert {one["status"] for one in found} == {"SENT"}, "a retried delivery is not lost"
        await eventually(lambda: asyncio.sleep(0, fakes.receiver.bodies["/tenant"]))
        assert not fakes.receiver.invalid_signatures


async def insert_browsers(database: Database, fakes: FakeChannels, people: list[str], keys: Encryption) -> None:
    """Insert users of the tenant with one browser of the push service each."""
    browsers = [fakes.push.subscribe() for _ in people]
    devices = [
        new_device(number, url=browser.endpoint, p256dh=browser.p256dh_text, auth=browser.auth_text)
        for number, browser in enumerate(browsers)
    ]
    await database.users.insert_many(
        {
            "_id": f"acme/{user}",
            "tenant": "acme",
            "created_at": hub_now(),
            "updated_at": hub_now(),
            "devices": [document(keys.encrypted(DEVICE_CREDENTIALS, device))],
        }
        for user, device in zip(people, devices, strict=True)
    )


async def _register_and_send(tenant: Tenant, fakes: FakeChannels, people: list[str], rotated: asyncio.Event) -> int:
    """Register browsers of new users, and send to new and old users, until the keys are rotated. Return the number of
    sends."""
    sent = 0
    while not rotated.is_set():
        new = f"new{sent}"
        await fakes.add_browser(tenant, new)
        for user in (new, people[sent % len(people)]):
            await tenant.send(user, channels=PUSH_ONLY)
            sent += 1
    return sent


async def _missing_key_is_named(worker: Process, tenant: Tenant, people: list[str], settings: dict[str, str]) -> None:
    [line] = log_lines(worker, event="encryption_keys_missing")
    assert line["keys"] == ["k2"]
    async with tenant.http.get(worker.url.replace("/graphql", "/readyz")) as response:
        assert (response.status, (await response.json())["missingEncryptionKeys"]) == (200, ["k2"])
    sent = await tenant.send(*people, channels=["IN_APP", *PUSH_ONLY])
    await tenant.mark_all(people[0], "markAllSeen")

    def tried(found: list[Json]) -> Json | None:
        return next((job for job in found if job["status"] == "RETRYING"), None)

    async def tried_delivery() -> Json | None:
        return tried(await list_deliveries(tenant, sendId=sent["send"]["id"]))

    async def tried_call() -> Json | None:
        [endpoint] = await execute_as(tenant, CALLS)
        return tried(endpoint["calls"]["nodes"])

    for find in (tried_delivery, tried_call):
        [attempt, *_] = (await eventually(find))["attempts"]
        assert attempt["provider"] == "hub"
        assert "does not contain the key `k2`" in attempt["error"]
    commands = [("doctor",), ROTATE]
    runs = [asyncio.to_thread(run_command, *command, **settings, encryption_keys=K3) for command in commands]
    doctor, rotation = await asyncio.gather(*runs)
    assert (doctor.returncode, rotation.returncode) == (1, 1)
    assert re.search(
        r"wrong  HUB_ENCRYPTION_KEYS does not contain the key `k2`, which encrypts (at least )?[\d,]+ ", doctor.stdout
    )
    assert "and HUB_ENCRYPTION_KEYS does not contain it: add it, and run this again." in rotation.stdout
    other = f"k2{K1.removeprefix('k1')}"
    with pytest.raises(CheckFailed, match=r"^The key `k2` in HUB_ENCRYPTION_KEYS does not decrypt devices\.url"):
        await check_encryption(Settings(**settings, encryption_keys=other), Findings())  # type: ignore[arg-type]
