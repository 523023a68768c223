"""Bounces, complaints and deliveries that SES publishes through SNS."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hub.api.public.sns_signature import SNSVerifier
from hub.platform.connections import Database
from hub.platform.outbound_http import OutboundHTTP
from tests.channel_setup import list_deliveries
from tests.client import Json, Tenant, eventually
from tests.email_links.emails import TOPIC_ARN, EmailRecipient, FakeSes, request_path, skipped_channels
from tests.fake_sns import CERTIFICATE, FakeSnsTopic, create_certificate
from tests.graphql_errors import expect_error
from tests.mongo_assertions import stored_receipts


async def post_event(tenant: Tenant, message: Json) -> int:
    response, _ = await request_path(
        tenant, "POST", "/providers/ses", json=message, headers={"content-type": "text/plain"}
    )
    return response.status


@pytest.mark.parametrize(
    ("kind", "reason", "why"), [("Bounce", "ADDRESS_GONE", "bounced"), ("Complaint", "SUPPRESSED", "complained")]
)
@pytest.mark.parametrize("version", ["1", "2"])
async def test_bounce_and_complaint_suppress_the_address_and_fail_the_delivery(
    alice: EmailRecipient, tenant: Tenant, store: Database, ses: FakeSes, kind: str, reason: str, why: str, version: str
) -> None:
    await alice.receive_email()
    delivery = await alice.wait_for_status("SENT")
    for _ in range(2):  # SNS delivers at least once
        received = ses.topic.ses_event(kind, delivery["providerId"], alice.address.upper(), version=version)
        assert await post_event(tenant, received) == 204
    assert (await alice.wait_for_status("FAILED"))["reason"] == reason
    assert (await alice.stored_user(store))["suppressed"] == {alice.address: why}
    assert len(await stored_receipts(store, tenant=tenant.name, channel="EMAIL", status="FAILED")) == 1
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
    assert await skipped_channels(tenant, alice.id) == [("EMAIL", "SUPPRESSED")]


SUPPRESSIONS = "query ($n: Int, $after: String) { suppressions(first: $n, after: $after) { edges { cursor } nodes { userId address reason } pageInfo { hasNextPage endCursor } } }"
LIFT = "mutation ($id: ID!, $address: String!) { liftSuppression(userId: $id, address: $address) }"


async def test_suppressions_are_paginated_and_lifted_by_an_admin(tenant: Tenant, ses: FakeSes, store: Database) -> None:
    people = sorted([await EmailRecipient(tenant, ses).create() for _ in range(3)], key=lambda user: user.id)
    requested = zip(people, ("Bounce", "Complaint", "Bounce"), strict=True)
    for user, kind in requested:
        await user.receive_email()
        id = (await user.wait_for_status("SENT"))["providerId"]
        assert await post_event(tenant, ses.topic.ses_event(kind, id, user.address)) == 204
    await people[0].create()  # an unchanged profile changes nothing
    older = {"suppressed.zoe@people\uff0eexample": "gone"}  # a user who has changed her address
    await store["users"].update_one({"_id": f"{tenant.name}/{people[0].id}"}, {"$set": older})
    async with Tenant(f"{tenant.name}-2", tenant.urls) as other:
        assert (await other.execute_as_admin(SUPPRESSIONS))["suppressions"]["nodes"] == []

    rows: list[Json] = []
    after = None
    for expected in (3, 1):
        page = (await tenant.execute_as_admin(SUPPRESSIONS, n=3, after=after))["suppressions"]
        assert len(page["nodes"]) == len(page["edges"]) == expected
        rows += page["nodes"]
        after = page["pageInfo"]["endCursor"]
    assert page["pageInfo"]["hasNextPage"] is False
    assert rows[:1] + rows[2:] == [
        {"userId": user.id, "address": user.address, "reason": reason}
        for user, reason in zip(people, ("bounced", "complained", "bounced"), strict=True)
    ]
    assert (rows[1]["userId"], rows[1]["reason"]) == (people[0].id, "gone")
    first = people[0]
    bounced = (await list_deliveries(tenant, userId=first.id))[0]["id"]
    replay = "mutation ($id: ID!) { replay(ids: [$id]) }"
    assert (await tenant.execute(replay, id=bounced))["replay"] == 1

    async def still_suppressed() -> bool:
        [found] = await list_deliveries(tenant, userId=first.id)
        return (found["status"], found["reason"]) == ("FAILED", "SUPPRESSED")

    await eventually(still_suppressed)
    assert (await tenant.execute_as_admin(LIFT, id=first.id, address=first.address.upper()))["liftSuppression"] is True
    assert (await tenant.execute_as_admin(LIFT, id=first.id, address=first.address))["liftSuppression"] is False
    assert [row["address"] for row in (await tenant.execute_as_admin(SUPPRESSIONS))["suppressions"]["nodes"]] == [
        row["address"] for row in rows[1:]
    ]
    assert (await tenant.execute(replay, id=bounced))["replay"] == 1
    await first.wait_for_status("SENT")
    assert len(ses.emails(first.address)) == 2
    for query, variables in ((SUPPRESSIONS, {}), (LIFT, {"id": first.id, "address": first.address})):
        assert await expect_error(tenant.execute(query, **variables)) == ("FORBIDDEN", None)
    assert await expect_error(tenant.execute_as_admin(LIFT, id="nobody", address="a@b.c")) == ("NOT_FOUND", None)
    for invalid in ("", "x", "!", f"{after}=", "Yé"):
        assert await expect_error(tenant.execute_as_admin(SUPPRESSIONS, after=invalid)) == ("BAD_USER_INPUT", "after")


async def test_delivery_and_transient_bounce_do_not_suppress_and_a_late_bounce_does(
    alice: EmailRecipient, tenant: Tenant, store: Database, ses: FakeSes
) -> None:
    await alice.receive_email()
    id = (await alice.wait_for_status("SENT"))["providerId"]
    assert await post_event(tenant, ses.topic.ses_event("Bounce", id, alice.address, bounceType="Transient")) == 204
    assert (
        await post_event(tenant, ses.topic.ses_event("Complaint", id, alice.address, complaintFeedbackType="not-spam"))
        == 204
    )
    await alice.wait_for_status("SENT")
    assert await post_event(tenant, ses.topic.ses_event("Delivery", id, alice.address)) == 204
    await alice.wait_for_status("DELIVERED")
    assert "suppressed" not in await alice.stored_user(store)
    assert await post_event(tenant, ses.topic.ses_event("Bounce", id, alice.address)) == 204
    await alice.wait_for_status("FAILED")


async def test_event_of_an_unknown_email_is_retried_while_it_is_recent(tenant: Tenant, ses: FakeSes) -> None:
    fresh = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    assert await post_event(tenant, ses.topic.ses_event("Bounce", "another", "x@y.example", timestamp=fresh)) == 503
    assert (
        await post_event(
            tenant, ses.topic.ses_event("Bounce", "another", "x@y.example", timestamp="2020-01-01T00:00:00Z")
        )
        == 204
    )
    assert await post_event(tenant, ses.topic.message("Successfully validated SNS topic.")) == 204


async def test_message_without_a_valid_signature_is_rejected(
    alice: EmailRecipient, tenant: Tenant, store: Database, ses: FakeSes
) -> None:
    await alice.receive_email()
    id = (await alice.wait_for_status("SENT"))["providerId"]
    valid = ses.topic.ses_event("Bounce", id, alice.address)
    stranger = FakeSnsTopic(TOPIC_ARN)
    stranger.url = ses.topic.url
    text = valid["Message"]
    calls = ses.topic.calls
    invalid: list[Any] = [
        {**valid, "Message": text.replace(alice.address, "bob@people.example")},
        {**valid, "Message": text + " "},
        {**valid, "Timestamp": "2027-01-01T00:00:00.000Z"},
        {**valid, "Subject": "new"},
        {**valid, "Type": "SubscriptionConfirmation", "SubscribeURL": ses.topic.url, "Token": "t"},
        {**valid, "TopicArn": f"{TOPIC_ARN}-2"},
        {**valid, "SignatureVersion": "1"},
        {**valid, "SignatureVersion": "3"},
        {**valid, "Signature": ""},
        {**valid, "Signature": "no base64"},
        {name: value for name, value in valid.items() if name != "Signature"},
        stranger.ses_event("Bounce", id, alice.address),
        {**valid, "TopicArn": "arn:aws:sns:eu-west-1:999999999999:other"},
        *({**valid, "SigningCertURL": url} for url in untrusted_urls(ses.topic.url)),
        {"notificationType": "Bounce"},
        [],
        "text",
        None,
    ]
    for message in invalid:
        assert await post_event(tenant, message) == 403, message
    assert ses.topic.calls - calls <= len(tenant.urls), "the certificate is fetched once per process"
    assert "suppressed" not in await alice.stored_user(store)
    await alice.wait_for_status("SENT")


async def test_subscription_is_confirmed_only_at_sns(tenant: Tenant, ses: FakeSes) -> None:
    def requesting(url: str) -> Json:
        return ses.topic.message("You have chosen.", "SubscriptionConfirmation", SubscribeURL=url, Token="t0k")

    path = "/?Action=ConfirmSubscription&Token=t0k"
    for url in (
        "https://evil.example/",
        "http://127.0.0.1:1/",
        f"{ses.topic.url}@evil.example/",
        "file:///etc/passwd",
        "",
    ):
        assert await post_event(tenant, requesting(url)) == 403
    assert path not in ses.topic.requested_paths
    assert await post_event(tenant, requesting(ses.topic.url + path)) == 204
    assert ses.topic.requested_paths.count(path) == 1
    other = ses.topic.message(
        "",
        "SubscriptionConfirmation",
        SubscribeURL=ses.topic.url + path,
        Token="t0k",
        TopicArn="arn:aws:sns:eu-west-1:1:x",
    )
    assert await post_event(tenant, other) == 403
    assert ses.topic.requested_paths.count(path) == 1


def untrusted_urls(original: str) -> list[str]:
    """Return URLs that do not belong to Amazon, given one that does."""
    return [
        f"{original}/elsewhere.pem",
        f"{original}{CERTIFICATE}?x=1#{original}".replace("?x=1#", "/../"),
        f"http://sns.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.us-east-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com.evil.example{CERTIFICATE}",
        f"https://evil.example/sns.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com@evil.example{CERTIFICATE}",
        f"https://evil.example\\@sns.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com:8443{CERTIFICATE}",
        f"https://bucket.s3.eu-west-1.amazonaws.com{CERTIFICATE}",
        f"https://sns.eu-west-1.amazonaws.com.cn{CERTIFICATE}",
        "https://[::1",
        "",
    ]


async def test_only_sns_urls_of_the_region_of_the_topic_are_trusted() -> None:
    """Without a fake of Amazon, as in production."""
    sns = SNSVerifier(OutboundHTTP(), (TOPIC_ARN,))
    assert sns.is_sns_url(f"https://sns.eu-west-1.amazonaws.com{CERTIFICATE}", TOPIC_ARN)
    assert sns.is_sns_url(
        f"https://sns.cn-north-1.amazonaws.com.cn{CERTIFICATE}", "arn:aws-cn:sns:cn-north-1:123456789012:ses"
    )
    for url in untrusted_urls("http://127.0.0.1:4566"):
        assert not sns.is_sns_url(url, TOPIC_ARN), url
    for topic in ("arn:aws:sns:eu-west-1.evil.example/:1:x", "arn:aws:sns::1:x", ""):
        assert not sns.is_sns_url(f"https://sns.eu-west-1.amazonaws.com{CERTIFICATE}", topic)


async def test_expired_or_invalid_certificate_verifies_no_message(tenant: Tenant, ses: FakeSes) -> None:
    valid = ses.topic.message("x")
    stored = ses.topic.certificate
    other = create_certificate(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    try:
        for number, pem in enumerate((b"", b"-----BEGIN CERTIFICATE-----\n", other)):
            ses.topic.certificate = pem
            url = f"{ses.topic.url}/SimpleNotificationService-{number}.pem"
            assert await post_event(tenant, {**valid, "SigningCertURL": url}) == 403
    finally:
        ses.topic.certificate = stored
