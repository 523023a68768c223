"""Actions that are taken from emails and pushes."""

from tests.channel_setup import list_deliveries
from tests.client import Json, Tenant, eventually
from tests.email_links.emails import EmailRecipient, link_paths, request_path
from tests.webhook_receiver import WebhookReceiver

ACTIONS: list[Json] = [
    {"key": "approve", "label": "Approve", "primary": True},
    {"key": "reject", "label": "Reject <now>"},
    {"key": "diff", "label": "Diff", "url": "/changes/7"},
]
ENDPOINT = "mutation ($input: WebhookInput!) { createWebhook(input: $input) { secret } }"
STATE = "query ($id: ID!) { send(id: $id) { notifications(hidden: true) { nodes { actedKey readAt } } } }"


async def state(tenant: Tenant) -> tuple[str | None, bool]:
    """Return the action and the read mark of the newest notification."""
    [delivery, *_] = await list_deliveries(tenant, channels=["EMAIL"])
    [n] = (await tenant.execute(STATE, id=delivery["sendId"]))["send"]["notifications"]["nodes"]
    return n["actedKey"], bool(n["readAt"])


async def test_action_of_an_email_is_taken_on_its_page_and_not_by_following_the_link(
    alice: EmailRecipient, tenant: Tenant
) -> None:
    """Programs that scan emails follow links. The notification is hidden, because only the email was requested."""
    async with WebhookReceiver() as receiver:
        created = await tenant.execute_as_admin(ENDPOINT, input={"url": f"{receiver.url}/events"})
        receiver.secrets["/events"] = created["createWebhook"]["secret"]
        links = link_paths(await alice.receive_email("EMAIL", title="Deploy 7?", content={"actions": ACTIONS}))
        approve, reject = links["Approve"], links["Reject <now>"]
        for method, headers in (("GET", {}), ("HEAD", {}), ("GET", {"sec-purpose": "prefetch"})):
            response, page = await request_path(tenant, method, approve, headers=headers)
            assert (response.status, response.headers["cache-control"]) == (200, "no-store")
        assert "<h1>Deploy 7?</h1>" in page
        assert '<form method="post" action="?to=0"><button>Approve</button></form>' in page
        assert "Reject &lt;now&gt;</button>" in (await request_path(tenant, "GET", reject))[1]
        assert await state(tenant) == (None, False)
        for _ in range(2):
            response, page = await request_path(tenant, "POST", approve)
            assert (response.status, "<h1>Done: Approve</h1>" in page, "<form" in page) == (200, True, False)
        assert await state(tenant) == ("approve", True)
        await alice.wait_for_status("READ")
        assert "Done: Approve" in (await request_path(tenant, "GET", approve))[1]
        for method, status in (("GET", 200), ("POST", 409)):
            response, page = await request_path(tenant, method, reject)
            assert (response.status, "You already chose Approve." in page, "<form" in page) == (status, True, False)
        assert await state(tenant) == ("approve", True)

        async def received() -> list[tuple[str, str]]:
            """The calls of an endpoint may arrive in another order."""
            data = [call["data"] for call in receiver.bodies["/events"] if call["type"] == "notification.acted"]
            return [(one["channel"], one["actionKey"]) for one in data]

        assert await eventually(received) == [("EMAIL", "approve")]


async def test_link_of_an_action_with_a_url_redirects_and_takes_nothing(alice: EmailRecipient, tenant: Tenant) -> None:
    links = link_paths(await alice.receive_email(content={"actions": ACTIONS}))
    response, _ = await request_path(tenant, "GET", links["Diff"])
    assert (response.status, response.headers["location"]) == (303, "https://app.example/changes/7")
    assert await state(tenant) == (None, True), "the click is recorded"
    response, _ = await request_path(tenant, "POST", links["Diff"])
    assert response.status == 404
    assert await state(tenant) == (None, True)


async def test_action_of_a_removed_notification_cannot_be_taken(alice: EmailRecipient, tenant: Tenant) -> None:
    content = {"actions": ACTIONS}
    approve = link_paths(await alice.receive_email(collapseKey="deploy", content=content))["Approve"]
    await tenant.send(alice.id, collapseKey="deploy", content=content)
    for method in ("GET", "POST"):
        response, page = await request_path(tenant, method, approve)
        assert (response.status, "no longer exists" in page) == (404, True)


async def test_report_of_a_push_takes_the_action(alice: EmailRecipient, tenant: Tenant) -> None:
    """The service worker opens the notification if the report fails."""
    link = link_paths(await alice.receive_email(content={"actions": ACTIONS}))["Approve"].partition("?")[0]
    for action, status in (("merge", 400), (["approve"], 400), ("approve", 204), ("approve", 204), ("reject", 409)):
        response, _ = await request_path(tenant, "POST", link, json={"event": "clicked", "action": action})
        assert (response.status, response.headers["access-control-allow-origin"]) == (status, "*"), action
        expected = ("approve", True) if status in (204, 409) else (None, False)
        assert await state(tenant) == expected, action
