"""Mobile push as Amazon SNS gets it."""

import json
from typing import Any

import pytest

from hub import utc_time
from hub.model import Priority
from hub.send.channels import mobile_push
from hub.send.outcome import Dead, Gone, Retry, Sent
from tests.fake_providers import FakeAmazon
from tests.provider_setup import (
    APNS,
    MONTH_S,
    PRIVATE_VALUES,
    FakeServers,
    new_message,
    open_sns,
    phone_device,
    provider_settings,
)

pytestmark = pytest.mark.usefixtures("no_secrets_in_logs")


def published(amazon: FakeAmazon) -> list[dict[str, Any]]:
    return [form for action, form in amazon.requests if action == "Publish"]


def actions(amazon: FakeAmazon) -> list[str]:
    return [action for action, _ in amazon.requests]


async def test_sns_endpoint_is_created_on_first_use_and_stored(fakes: FakeServers) -> None:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes)
    amazon.requests.clear()
    assert isinstance(await phones.provider.send(new_message(device=phone_device(APNS))), Sent)
    assert actions(amazon) == ["CreatePlatformEndpoint", "SetEndpointAttributes", "Publish"]
    [(user, device, arn)] = phones.stored_endpoints
    assert (user, device) == ("acme/alice", "d2")
    assert "endpoint/APNS/" in arn

    assert isinstance(
        await phones.provider.send(new_message(device=phone_device(APNS))), Sent
    )  # it is not stored, so it is created again
    assert phones.stored_endpoints[1] == phones.stored_endpoints[0]
    amazon.requests.clear()
    assert isinstance(await phones.provider.send(new_message(device=phone_device(APNS, arn=arn))), Sent)
    assert actions(amazon) == ["Publish"]


async def test_disabled_endpoint_is_gone_until_the_app_registers_again(fakes: FakeServers) -> None:
    await fakes.amazon()
    phones = await open_sns(fakes)
    arn = await phones.endpoint()
    await phones.client.set_endpoint_attributes(EndpointArn=arn, Attributes={"Enabled": "false"})
    assert isinstance(await phones.provider.send(new_message(device=phone_device(arn=arn))), Gone)
    assert isinstance(await phones.provider.send(new_message(device=phone_device())), Sent)
    assert phones.stored_endpoints == [("acme/alice", "d2", arn)]


async def test_existing_endpoint_of_another_user_is_found_and_used(fakes: FakeServers) -> None:
    await fakes.amazon()
    phones = await open_sns(fakes)
    created = await phones.client.create_platform_endpoint(
        PlatformApplicationArn=phones.applications["fcm"],
        Token=PRIVATE_VALUES["token"],
        CustomUserData="before the hub",
    )
    assert isinstance(await phones.provider.send(new_message(device=phone_device())), Sent)
    assert phones.stored_endpoints == [("acme/alice", "d2", created["EndpointArn"])]


async def test_deleted_endpoint_is_created_again(fakes: FakeServers) -> None:
    await fakes.amazon()
    phones = await open_sns(fakes)
    arn = await phones.endpoint()
    await phones.client.delete_endpoint(EndpointArn=arn)
    assert isinstance(await phones.provider.send(new_message(device=phone_device(arn=arn))), Sent)
    assert len(phones.stored_endpoints) == 1
    assert phones.stored_endpoints[0][2] != arn


async def test_ios_payload_has_the_apns_fields(fakes: FakeServers) -> None:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes)
    sent = new_message(
        device=phone_device(APNS), n_action_url="acme://builds/1", n_data='{"build": 1}', n_priority=Priority.LOW
    )
    assert isinstance(await phones.provider.send(sent), Sent)
    [form] = published(amazon)
    content = json.loads(form["Message"])
    assert content["default"] == PRIVATE_VALUES["title"]
    assert json.loads(content["APNS"]) == {
        "aps": {
            "alert": {"title": PRIVATE_VALUES["title"], "body": PRIVATE_VALUES["text"]},
            "badge": 3,
            "sound": "default",
            "thread-id": "builds",
            "interruption-level": "passive",
            "mutable-content": 1,
        },
        "id": sent.notification.id,
        "url": "acme://builds/1",
        "category": "builds",
        "data": {"build": 1},
    }
    attributes = {
        form[f"MessageAttributes.entry.{n}.Name"]: form[f"MessageAttributes.entry.{n}.Value.StringValue"]
        for n in range(1, 5)
    }
    assert attributes == {
        "AWS.SNS.MOBILE.APNS.PUSH_TYPE": "alert",
        "AWS.SNS.MOBILE.APNS.PRIORITY": "5",
        "AWS.SNS.MOBILE.APNS.COLLAPSE_ID": sent.notification.id,
        "AWS.SNS.MOBILE.APNS.TTL": str(MONTH_S),
    }
    assert json.loads(mobile_push.preview(sent).text) == json.loads(content["APNS"])


async def test_android_payload_has_the_fcm_fields(fakes: FakeServers) -> None:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes)
    sent = new_message(device=phone_device(), n_data='{"build": 1}', n_image_url="https://img.example/1.png")
    assert isinstance(await phones.provider.send(sent), Sent)
    content = json.loads(published(amazon)[0]["Message"])
    received = json.loads(content["GCM"])["fcmV1Message"]["message"]
    assert received["notification"] == {"title": PRIVATE_VALUES["title"], "body": PRIVATE_VALUES["text"]}
    assert received["data"] == {
        "id": sent.notification.id,
        "image": "https://img.example/1.png",
        "category": "builds",
        "data": '{"build":1}',
    }
    assert received["android"] == {
        "priority": "HIGH",
        "ttl": f"{MONTH_S}s",
        "collapse_key": sent.notification.id,
        "notification": {"notification_count": 3, "tag": sent.notification.id, "image": "https://img.example/1.png"},
    }
    assert json.loads(mobile_push.preview(sent).text) == json.loads(content["GCM"])


def test_collapse_key_replaces_the_older_message_on_the_phone() -> None:
    ids = []
    for key, ack in (("build-1", False), ("build-1", False), ("build-1", True), ("build-2", False)):
        sent = new_message(device=phone_device(), n_collapse_key=key, n_require_ack=ack)
        android = mobile_push.fcm(sent, utc_time.now())["fcmV1Message"]["message"]["android"]
        attributes = mobile_push._apns_attributes(sent.notification, "APNS", utc_time.now())
        ids.append(attributes["AWS.SNS.MOBILE.APNS.COLLAPSE_ID"]["StringValue"])
        assert android["collapse_key"] == android["notification"]["tag"] == ids[-1]
    assert ids[0] == ids[1]
    assert len(set(ids)) == 3
    assert all(len(id) <= 64 for id in ids)


@pytest.mark.parametrize("platform", ["fcm", "apns"])
async def test_too_large_mobile_push_is_shortened(fakes: FakeServers, platform: str) -> None:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes)
    sent = new_message(
        device=phone_device(platform), n_title="\u20ac" * 256, n_body="\u20ac" * 5000, n_data='"' + "x" * 4000 + '"'
    )
    assert isinstance(await phones.provider.send(sent), Sent)
    content = json.loads(published(amazon)[0]["Message"])
    body = content["GCM" if platform == "fcm" else "APNS"]
    assert len(body.encode()) <= mobile_push.PAYLOAD_BYTES
    assert "\u20ac" * 256 in body
    assert "\u20ac\u2026" in body
    assert '"partial"' in body


@pytest.mark.parametrize("platform", ["", "symbian"])
async def test_platform_without_an_application_is_dead(fakes: FakeServers, platform: str) -> None:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes)
    amazon.calls = 0
    assert isinstance(await phones.provider.send(new_message(device=phone_device(platform))), Dead)
    assert amazon.calls == 0


@pytest.mark.parametrize(
    ("status", "code", "outcome"),
    [
        (400, "InvalidParameter", Dead),
        (400, "EndpointDisabled", Gone),
        (400, "PlatformApplicationDisabled", Retry),
        (400, "Throttling", Retry),
        (403, "AuthorizationError", Retry),
        (403, "InvalidClientTokenId", Retry),
        (500, "InternalError", Retry),
    ],
)
async def test_sns_error_determines_the_outcome(fakes: FakeServers, status: int, code: str, outcome: type) -> None:
    amazon = await fakes.amazon()
    phones = await open_sns(fakes)
    arn = await phones.endpoint()
    amazon.calls = 0
    amazon.fault = FakeAmazon.xml_error(status, code)
    assert isinstance(await phones.provider.send(new_message(device=phone_device(arn=arn))), outcome)
    assert amazon.calls == 1


async def test_applications_in_two_regions_are_rejected(fakes: FakeServers) -> None:
    arns = [
        f"arn:aws:sns:{region}:123456789012:app/{kind}/a"
        for region, kind in (("eu-west-1", "GCM"), ("us-east-1", "APNS"))
    ]
    with pytest.raises(ValueError, match="regions"):
        await mobile_push.create_providers(
            fakes.resources(provider_settings(sns_platform_fcm=arns[0], sns_platform_apns=arns[1]))
        )
