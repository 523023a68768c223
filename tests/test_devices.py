"""Browsers, apps and personal webhooks."""

import asyncio
from base64 import b64decode, urlsafe_b64decode

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from hub.api.vapid import vapid_public_key
from hub.errors import Unavailable
from hub.model import Role
from hub.platform.connections import Database
from hub.platform.embedded_servers import Mongod, Redis
from tests.client import GraphQLErrors, Json, Tenant
from tests.device_calls import (
    CONNECT_WEBHOOK,
    DEVICE,
    REGISTER_MOBILE_DEVICE,
    REGISTER_WEB_PUSH,
    base64url,
    list_devices,
    new_browser,
    register,
)
from tests.graphql_errors import expect_error
from tests.processes import Process

REMOVE = "mutation ($id: ID!) { removeDevice(id: $id) }"


async def test_browser_is_registered_listed_and_removed(tenant: Tenant) -> None:
    device = await register(tenant, "alice", input=new_browser(label="Firefox"))
    assert (device["kind"], device["label"], device["lastUsedAt"]) == ("WEB_PUSH", "Firefox", None)
    assert await list_devices(tenant, "alice") == [device]
    assert (await tenant.execute(f'{{ user(id: "alice") {{ devices {{ {DEVICE} }} }} }}'))["user"]["devices"] == [
        device
    ]
    assert (await tenant.execute(REMOVE, user="alice", id=device["id"]))["removeDevice"] is True
    assert (await tenant.execute(REMOVE, user="alice", id=device["id"]))["removeDevice"] is False
    assert await list_devices(tenant, "alice") == []


async def test_browser_registered_again_keeps_its_id_and_gets_the_new_keys(tenant: Tenant, database: Database) -> None:
    first = await register(tenant, "alice", input=new_browser("https://push.example/a", label="Old"))
    fields = new_browser("https://push.example/a", label="New")
    again = await register(tenant, "alice", input=fields | {"auth": fields["auth"] + "=="})
    assert (again["id"], again["createdAt"], again["label"]) == (first["id"], first["createdAt"], "New")
    assert again["lastUsedAt"] > first["createdAt"]
    doc = await database.users.find_one({"_id": f"{tenant.name}/alice"})
    assert doc
    [stored] = doc["devices"]
    assert (stored["p256dh"], stored["auth"]) == (fields["p256dh"], fields["auth"])


@pytest.mark.parametrize("query", [REGISTER_WEB_PUSH, REGISTER_MOBILE_DEVICE])
async def test_device_belongs_to_the_user_who_registered_it_last(tenant: Tenant, query: str) -> None:
    fields = new_browser() if query is REGISTER_WEB_PUSH else {"platform": "fcm", "token": "t" * 160}
    await register(tenant, "alice", query, input=fields)
    moved = await register(tenant, "bob", query, input=fields)
    assert await list_devices(tenant, "alice") == []
    assert await list_devices(tenant, "bob") == [moved]


async def test_device_registered_by_20_users_at_once_belongs_to_one(tenant: Tenant) -> None:
    fields = new_browser()
    users = [f"u{number}" for number in range(20)]
    await asyncio.gather(*(register(tenant, user, input=fields) for user in users))
    found = await asyncio.gather(*(list_devices(tenant, user) for user in users))
    assert sum(map(len, found)) == 1


async def test_devices_above_20_are_rejected_also_concurrently(tenant: Tenant) -> None:
    fields = [new_browser() for _ in range(24)]
    responses = await asyncio.gather(*(register(tenant, "alice", input=one) for one in fields), return_exceptions=True)
    refused = [response for response in responses if isinstance(response, GraphQLErrors)]
    assert [(response.code, "HUB_USER_MAX_DEVICES" in str(response)) for response in refused] == [
        ("TOO_LARGE", True)
    ] * 4
    assert len(await list_devices(tenant, "alice")) == 20
    existing = next(
        one for one, response in zip(fields, responses, strict=True) if not isinstance(response, BaseException)
    )
    await register(tenant, "alice", input=existing)


P256DH, AUTH = "input.p256dh", "input.auth"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"endpoint": "http://push.example/a"}, "input.endpoint"),
        ({"endpoint": "https://"}, "input.endpoint"),
        ({"endpoint": "https://user:pass@push.example/"}, "input.endpoint"),
        ({"endpoint": "https://push.example:99999/"}, "input.endpoint"),
        ({"endpoint": "https://push.example/\r\nX: y"}, "input.endpoint"),
        ({"endpoint": "https://push.example/" + "a" * 2048}, "input.endpoint"),
        ({"endpoint": "/a"}, "input.endpoint"),
        ({"p256dh": ""}, P256DH),
        ({"p256dh": base64url(b"\x04" + b"\x01" * 64)}, P256DH),
        ({"p256dh": base64url(b"\x02" + b"\x01" * 32)}, P256DH),
        ({"p256dh": "*" * 87}, P256DH),
        ({"auth": base64url(b"\x01" * 15)}, AUTH),
        ({"auth": "é"}, AUTH),
        ({"label": ""}, "input.label"),
        ({"label": "x" * 257}, "input.label"),
    ],
)
async def test_invalid_browser_is_rejected(tenant: Tenant, fields: Json, field: str) -> None:
    response = tenant.execute(REGISTER_WEB_PUSH, user="alice", input=new_browser() | fields)
    assert await expect_error(response) == ("BAD_USER_INPUT", field)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"platform": "windows"}, "input.platform"),
        ({"token": ""}, "input.token"),
        ({"token": "a b"}, "input.token"),
        ({"token": "a" * 4097}, "input.token"),
        ({"label": "\n"}, "input.label"),
    ],
)
async def test_invalid_app_is_rejected(tenant: Tenant, fields: Json, field: str) -> None:
    complete = {"platform": "apns", "token": "ab12"} | fields
    assert await expect_error(tenant.execute(REGISTER_MOBILE_DEVICE, user="alice", input=complete)) == (
        "BAD_USER_INPUT",
        field,
    )


async def test_webhook_url_is_visible_only_to_its_user(tenant: Tenant) -> None:
    url = "https://hooks.example/alice?key=7"
    await register(tenant, "alice", CONNECT_WEBHOOK, at=url)
    await register(tenant, "alice", input=new_browser())
    fields = "devices { kind url }"
    own = (await tenant.execute(f"{{ me {{ {fields} }} }}", user="alice"))["me"]["devices"]
    assert own == [{"kind": "WEBHOOK", "url": url}, {"kind": "WEB_PUSH", "url": None}]
    query = f'{{ user(id: "alice") {{ {fields} }} }}'
    headers = [{"authorization": f"Bearer {tenant.token(user, role=Role.ADMIN)}"} for user in (None, "bob")]
    for header in headers:
        found = (await tenant.execute_raw(query, headers=header))["data"]["user"]["devices"]
        assert [device["url"] for device in found] == [None, None]


async def test_webhook_secret_is_shown_once_and_replaced_when_connected_again(
    tenant: Tenant, database: Database
) -> None:
    url = "https://hooks.example/alice"
    first = await register(tenant, "alice", CONNECT_WEBHOOK, at=url, label="Mine")
    assert first["secret"].startswith("whsec_")
    assert len(b64decode(first["secret"].removeprefix("whsec_"))) >= 24
    assert (first["device"]["kind"], first["device"]["label"]) == ("WEBHOOK", "Mine")
    again = await register(tenant, "alice", CONNECT_WEBHOOK, at=url)
    assert again["secret"] != first["secret"]
    assert again["device"]["id"] == first["device"]["id"]
    await register(tenant, "bob", CONNECT_WEBHOOK, at=url)  # several users may use one URL
    assert [device["id"] for device in await list_devices(tenant, "alice")] == [first["device"]["id"]]
    doc = await database.users.find_one({"_id": f"{tenant.name}/alice"})
    assert doc
    assert doc["devices"][0]["secret"] == again["secret"]


@pytest.mark.parametrize(
    "url",
    [
        "ftp://hooks.example/",
        "hooks.example",
        "https://u@hooks.example/",
        "https://ex ample/",
        "http://127.1/",
        "http://169.254.169.254/",
        "https://169.254.169.254/",
        "https://0x7f000001/",
        "https://hooks.example:8443/",
    ],
)
async def test_invalid_webhook_is_rejected(tenant: Tenant, url: str) -> None:
    assert await expect_error(tenant.execute(CONNECT_WEBHOOK, user="alice", at=url)) == ("BAD_USER_INPUT", "url")


async def test_web_push_key_is_the_public_key_or_a_clear_error(tenant: Tenant, servers: tuple[Mongod, Redis]) -> None:
    with pytest.raises(GraphQLErrors, match="HUB_VAPID_PRIVATE_KEY") as refused:
        await tenant.execute("{ webPushKey }", user="alice")
    assert refused.value.code == "NOT_FOUND"
    private = ec.generate_private_key(ec.SECP256R1())
    raw = private.private_numbers().private_value.to_bytes(32)
    hub = Process(
        "serve",
        servers[0].url,
        servers[1].url,
        vapid_private_key=base64url(raw),
        vapid_subject="mailto:ops@example.org",
    )
    try:
        await hub.start()
        key = (await tenant.execute("{ webPushKey }", user="alice", url=hub.url))["webPushKey"]
    finally:
        hub.kill()
    point = private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    assert urlsafe_b64decode(key + "=") == point
    der = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    assert vapid_public_key(base64url(der)) == key
    for invalid in ("x", base64url(b"\0" * 32), base64url(b"\1" * 40)):
        with pytest.raises(Unavailable):
            vapid_public_key(invalid)
