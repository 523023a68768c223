"""Why a person got something or not: hidden notifications, suppressions, and the notification of a delivery."""

from hub.model import mailbox_of
from hub.platform.connections import Database
from tests.channel_setup import UPSERT_USERS
from tests.client import GraphQLErrors, Tenant, eventually

HIDDEN = """query ($id: ID!, $n: Int, $a: String) { user(id: $id) { hiddenNotifications(first: $n, after: $a) {
  nodes { title deliveries { channel status reason } } pageInfo { hasNextPage endCursor } } } }"""
SUPPRESSIONS = "query ($id: ID!) { user(id: $id) { suppressions { userId address reason } } }"
NOTIFICATION = "{ deliveries { nodes { notificationId notification { id title userId } } } }"


async def test_hidden_notifications_contain_what_no_channel_took_newest_first(tenant: Tenant) -> None:
    await tenant.execute(UPSERT_USERS, users=[{"id": "zoe"}])
    await tenant.send("zoe", title="In the inbox")
    for title in ("First", "Second", "Third"):
        await tenant.send("zoe", title=title, channels=["EMAIL"])
    await tenant.send("yan", title="Of another user", channels=["EMAIL"])
    titles, after = [], None
    while True:
        page = (await tenant.execute(HIDDEN, id="zoe", n=2, a=after))["user"]["hiddenNotifications"]
        titles += [node["title"] for node in page["nodes"]]
        for node in page["nodes"]:
            assert node["deliveries"][0]["status"] == "SKIPPED"
        if not page["pageInfo"]["hasNextPage"]:
            break
        after = page["pageInfo"]["endCursor"]
    assert titles == ["Third", "Second", "First"]
    try:
        await tenant.execute("{ me { hiddenNotifications { nodes { id } } } }", user="zoe")
    except GraphQLErrors as errors:
        assert errors.code == "FORBIDDEN"
    else:
        raise AssertionError("a user must not read them")


async def test_suppressions_of_a_user_are_for_administrators(tenant: Tenant, database: Database) -> None:
    await tenant.execute(UPSERT_USERS, users=[{"id": "zoe", "email": "zoe@example.org"}])
    suppressed = {"zoe@example.org": "bounced", "+4915112345678": "gone"}
    await database.users.update_one({"_id": mailbox_of(tenant.name, "zoe")}, {"$set": {"suppressed": suppressed}})
    found = (await tenant.execute_as_admin(SUPPRESSIONS, id="zoe"))["user"]["suppressions"]
    assert [(row["userId"], row["address"], row["reason"]) for row in found] == [
        ("zoe", "+4915112345678", "gone"),
        ("zoe", "zoe@example.org", "bounced"),
    ]
    response = await tenant.execute_raw(SUPPRESSIONS, id="zoe")
    assert response["errors"][0]["extensions"]["code"] == "FORBIDDEN"


async def test_deliveries_have_their_notifications(tenant: Tenant) -> None:
    users = ["zoe", "yan", "xue"]
    await tenant.execute(UPSERT_USERS, users=[{"id": user, "email": f"{user}@example.org"} for user in users])
    later = [{"channels": ["IN_APP"]}, {"channels": ["WEBHOOK"], "after": "PT1H"}]
    await tenant.send(*users, title="With a step", steps=later)

    async def rows() -> list[dict[str, object]]:
        nodes: list[dict[str, object]] = (await tenant.execute(NOTIFICATION))["deliveries"]["nodes"]
        return nodes

    found = await eventually(rows)
    for row in found:
        assert row["notification"]["id"] == row["notificationId"]
        assert row["notification"]["title"] == "With a step"
    assert sorted(row["notification"]["userId"] for row in found) == sorted(users)
