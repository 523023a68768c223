"""Bounces, complaints and deliveries that SES publishes through SNS."""

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from hub.api.public.sns_signature import SNSVerifier
from hub.platform.connections import Database
from hub.platform.outbound_http import OutboundHTTP
from tests.channel_setup import deliveries
from tests.client import Json, Tenant, eventually
from tests.email_links.emails import ARN, Person, Post, call, skipped
from tests.fake_sns import CERTIFICATE, Topic, certificate
from tests.graphql_errors import refusal

# ---------------------------------------------------------------- bounces and complaints


async def tell(tenant: Tenant, message: Json) -> int:
    response, _ = await call(tenant, "POST", "/providers/ses", json=message, headers={"content-type": "text/plain"})
    return response.status


@pytest.mark.parametrize(
    ("kind", "reason", "why"), [("Bounce", "ADDRESS_GONE", "bounced"), ("Complaint", "SUPPRESSED", "complained")]
)
@pytest.mark.parametrize("version", ["1", "2"])
async def test_bounce_and_complaint_suppress_the_address_and_fail_the_delivery(
    alice: Person, tenant: Tenant, store: Database, post: Post, kind: str, reason: str, why: str, version: str
) -> None:
    await alice.mailed()
    delivery = await alice.settled("SENT")
    for _ in range(2):  # SNS tells at least once
        told = post.topic.told(kind, delivery["providerId"], alice.address.upper(), version=version)
        assert await tell(tenant, told) == 204
    assert (await alice.settled("FAILED"))["reason"] == reason
    assert (await alice.user(store))["suppressed"] == {alice.address: why}
    failed = {"tenant": tenant.name, "channel": "EMAIL", "status": "FAILED"}
    assert await store["receipts"].count_documents(failed) == 1
    await tenant.send(alice.id, channels=["IN_APP", "EMAIL"])
    assert await skipped(tenant, alice.id) == [("EMAIL", "SUPPRESSED")]


SUPPRESSIONS = "query ($n: Int, $after: String) { suppressions(first: $n, after: $after) { edges { cursor } nodes { userId address reason } pageInfo { hasNextPage endCursor } } }"
LIFT = "mutation ($id: ID!, $address: String!) { liftSuppression(userId: $id, address: $address) }"


async def test_suppressed_addresses_are_listed_page_by_page_and_lifted_by_an_administrator(
    tenant: Tenant, post: Post, store: Database
) -> None:
    people = sorted([await Person(tenant, post).arrive() for _ in range(3)], key=lambda person: person.id)
    asked = zip(people, ("Bounce", "Complaint", "Bounce"), strict=True)
    for person, kind in asked:
        await person.mailed()
        id = (await person.settled("SENT"))["providerId"]
        assert await tell(tenant, post.topic.told(kind, id, person.address)) == 204
    await people[0].arrive()  # a profile that comes again changes nothing
    older = {"suppressed.zoe@people\uff0eexample": "gone"}  # one who has changed her address
    await store["users"].update_one({"_id": f"{tenant.name}/{people[0].id}"}, {"$set": older})
    async with Tenant(f"{tenant.name}-2", tenant.urls) as other:
        assert (await other.admin(SUPPRESSIONS))["suppressions"]["nodes"] == []

    rows: list[Json] = []
    after = None
    for expected in (3, 1):
        page = (await tenant.admin(SUPPRESSIONS, n=3, after=after))["suppressions"]
        assert len(page["nodes"]) == len(page["edges"]) == expected
        rows += page["nodes"]
        after = page["pageInfo"]["endCursor"]
    assert page["pageInfo"]["hasNextPage"] is False
    assert rows[:1] + rows[2:] == [
        {"userId": person.id, "address": person.address, "reason": why}
        for person, why in zip(people, ("bounced", "complained", "bounced"), strict=True)
    ]
    assert (rows[1]["userId"], rows[1]["reason"]) == (people[0].id, "gone")
    first = people[0]
    bounced = (await deliveries(tenant, userId=first.id))[0]["id"]
    replay = "mutation ($id: ID!) { replay(ids: [$id]) }"
    assert (await tenant.ask(replay, id=bounced))["replay"] == 1

    async def still_suppressed() -> bool:
        [found] = await deliveries(tenant, userId=first.id)
        return (found["status"], found["reason"]) == ("FAILED", "SUPPRESSED")

    await eventually(still_suppressed, 20)
    assert (await tenant.admin(LIFT, id=first.id, address=first.address.upper()))["liftSuppression"] is True
    assert (await tenant.admin(LIFT, id=first.id, address=first.address))["liftSuppression"] is False
    assert [row["address"] for row in (await tenant.admin(SUPPRESSIONS))["suppressions"]["nodes"]] == [
        row["address"] for row in rows[1:]
    ]
    assert (await tenant.ask(replay, id=bounced))["replay"] == 1
    await first.settled("SENT")
    assert len(post.mails(first.address)) == 2
    for query, variables in ((SUPPRESSIONS, {}), (LIFT, {"id": first.id, "address": first.address})):
        assert await refusal(tenant.ask(query, **variables)) == ("FORBIDDEN", None)
    assert await refusal(tenant.admin(LIFT, id="nobody", address="a@b.c")) == ("NOT_FOUND", None)
    for wrong in ("", "x", "!", f"{after}=", "Yé"):
        assert await refusal(tenant.admin(SUPPRESSIONS, after=wrong)) == ("BAD_USER_INPUT", "after")


async def test_delivery_and_transient_bounce_suppress_nobody_and_a_late_bounce_still_counts(
    alice: Person, tenant: Tenant, store: Database, post: Post
) -> None:
    await alice.mailed()
    id = (await alice.settled("SENT"))["providerId"]
    assert await tell(tenant, post.topic.told("Bounce", id, alice.address, bounceType="Transient")) == 204
    assert await tell(tenant, post.topic.told("Complaint", id, alice.address, complaintFeedbackType="not-spam")) == 204
    await alice.settled("SENT")
    assert await tell(tenant, post.topic.told("Delivery", id, alice.address)) == 204
    await alice.settled("DELIVERED")
    assert "suppressed" not in await alice.user(store)
    assert await tell(tenant, post.topic.told("Bounce", id, alice.address)) == 204
    await alice.settled("FAILED")


async def test_mail_that_is_not_known_is_told_again_while_it_is_fresh(tenant: Tenant, post: Post) -> None:
    fresh = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    assert await tell(tenant, post.topic.told("Bounce", "another", "x@y.example", timestamp=fresh)) == 503
    assert (
        await tell(tenant, post.topic.told("Bounce", "another", "x@y.example", timestamp="2020-01-01T00:00:00Z")) == 204
    )
    assert await tell(tenant, post.topic.message("Successfully validated SNS topic.")) == 204


async def test_message_that_no_topic_of_ours_signed_is_refused(
    alice: Person, tenant: Tenant, store: Database, post: Post
) -> None:
    await alice.mailed()
    id = (await alice.settled("SENT"))["providerId"]
    good = post.topic.told("Bounce", id, alice.address)
    stranger = Topic(ARN)
    stranger.url = post.topic.url
    text = good["Message"]
    calls = post.topic.calls
    wrong: list[Any] = [
        {**good, "Message": text.replace(alice.address, "bob@people.example")},
        {**good, "Message": text + " "},
        {**good, "Timestamp": "2027-01-01T00:00:00.000Z"},
        {**good, "Subject": "new"},
        {**good, "Type": "SubscriptionConfirmation", "SubscribeURL": post.topic.url, "Token": "t"},
        {**good, "TopicArn": f"{ARN}-2"},
        {**good, "SignatureVersion": "1"},
        {**good, "SignatureVersion": "3"},
        {**good, "Signature": ""},
        {**good, "Signature": "no base64"},
        {name: value for name, value in good.items() if name != "Signature"},
        stranger.told("Bounce", id, alice.address),
        {**good, "TopicArn": "arn:aws:sns:eu-west-1:999999999999:other"},
        *({**good, "SigningCertURL": url} for url in elsewhere(post.topic.url)),
        {"notificationType": "Bounce"},
        [],
        "text",
        None,
    ]
    for message in wrong:
        assert await tell(tenant, message) == 403, message
    assert post.topic.calls - calls <= len(tenant.urls), "the certificate, once a process"
    assert "suppressed" not in await alice.user(store)
    await alice.settled("SENT")


async def test_subscription_is_confirmed_at_amazon_only(tenant: Tenant, post: Post) -> None:
    def asking(url: str) -> Json:
        return post.topic.message("You have chosen.", "SubscriptionConfirmation", SubscribeURL=url, Token="t0k")

    path = "/?Action=ConfirmSubscription&Token=t0k"
    for url in (
        "https://evil.example/",
        "http://127.0.0.1:1/",
        f"{post.topic.url}@evil.example/",
        "file:///etc/passwd",
        "",
    ):
        assert await tell(tenant, asking(url)) == 403
    assert path not in post.topic.asked
    assert await tell(tenant, asking(post.topic.url + path)) == 204
    assert post.topic.asked.count(path) == 1
    other = post.topic.message(
        "",
        "SubscriptionConfirmation",
        SubscribeURL=post.topic.url + path,
        Token="t0k",
        TopicArn="arn:aws:sns:eu-west-1:1:x",
    )
    assert await tell(tenant, other) == 403
    assert post.topic.asked.count(path) == 1


def elsewhere(right: str) -> list[str]:
    """Addresses that are not Amazon's, where `right` is."""
    return [
        f"{right}/elsewhere.pem",
        f"{right}{CERTIFICATE}?x=1#{right}".replace("?x=1#", "/../"),
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


async def test_only_the_topics_own_region_of_sns_is_amazon() -> None:
    """Without a stand-in for Amazon, as in production."""
    sns = SNSVerifier(OutboundHTTP(), (ARN,))
    assert sns.is_sns_url(f"https://sns.eu-west-1.amazonaws.com{CERTIFICATE}", ARN)
    assert sns.is_sns_url(
        f"https://sns.cn-north-1.amazonaws.com.cn{CERTIFICATE}", "arn:aws-cn:sns:cn-north-1:123456789012:ses"
    )
    for url in elsewhere("http://127.0.0.1:4566"):
        assert not sns.is_sns_url(url, ARN), url
    for topic in ("arn:aws:sns:eu-west-1.evil.example/:1:x", "arn:aws:sns::1:x", ""):
        assert not sns.is_sns_url(f"https://sns.eu-west-1.amazonaws.com{CERTIFICATE}", topic)


async def test_certificate_that_has_expired_or_is_none_checks_nothing(tenant: Tenant, post: Post) -> None:
    good = post.topic.message("x")
    kept = post.topic.certificate
    other = certificate(rsa.generate_private_key(public_exponent=65537, key_size=2048))
    try:
        for number, pem in enumerate((b"", b"-----BEGIN CERTIFICATE-----\n", other)):
            post.topic.certificate = pem
            url = f"{post.topic.url}/SimpleNotificationService-{number}.pem"
            assert await tell(tenant, {**good, "SigningCertURL": url}) == 403
    finally:
        post.topic.certificate = kept
