"""Tokens of the inbox: renewal, rejection, and a change of the signed-in user."""

import pytest
from playwright.async_api import Route

from tests.browser.conftest import DIST, Browsers, BrowserUser
from tests.browser.inbox_marks import send_numbered
from tests.client import Tenant, eventually

SIGNED_OUT = "You are signed out"


async def test_token_is_renewed_before_it_expires(tenant: Tenant, browsers: Browsers) -> None:
    alice = await browsers.person("alice")
    alice.expires_in_s = 20
    tab = await (await alice.tab()).open()
    await tab.wait_until_live()
    before = len(alice.token_requests)

    async def renewed() -> bool:
        return len(alice.token_requests) > before

    await eventually(renewed)
    await tenant.send("alice", title="After")
    await tab.item("After").wait_for()
    assert not any(alice.token_requests), "a token expired before there was a new one"


async def test_rejected_token_hides_the_inbox_until_a_valid_one_arrives(tenant: Tenant, browsers: Browsers) -> None:
    await send_numbered(tenant, 2)
    alice = await browsers.person("alice")
    alice.expires_in_s = 3
    alice.token = alice.sign()
    tab = await (await alice.tab()).open()
    await tab.page.get_by_text("You are signed out").wait_for()
    await tab.wait_for_items()
    await tab.wait_for_unread(0)
    assert await tab.page.evaluate("JSON.stringify(localStorage)") == "{}"
    assert alice.token in alice.token_requests
    alice.token, alice.expires_in_s = None, 3600
    await tab.wait_for_items("Number 001", "Number 000")
    await tab.wait_until_live()


async def test_token_without_an_inbox_counts_as_signed_out(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="First")
    alice.token = tenant.token()  # of a service
    tab = await alice.blank()
    async with tab.page.expect_console_message(lambda output: "hub: no inbox" in output.text) as received:
        await tab.load()
    assert "Use a token whose `sub` is the user's id" in (await received.value).text
    await tab.open()
    await tab.page.get_by_text("You are signed out").wait_for()
    assert await tab.page.get_by_role("button", name="Try again").count() == 0
    alice.token = None
    await tab.page.evaluate("document.querySelector('hub-inbox').refresh()")
    await tab.wait_for_items("First")
    await tab.wait_until_live()


async def test_signed_out_user_sees_a_message_instead_of_loading(alice: BrowserUser) -> None:
    tab = await (await alice.tab()).open()
    await tab.wait_until_live()
    await tab.page.evaluate("document.querySelector('hub-inbox').getToken = null")
    await tab.page.get_by_text("You are signed out").wait_for()
    await tab.page.evaluate("document.querySelector('hub-inbox').getToken = giveToken")
    await tab.wait_until_live()


@pytest.mark.parametrize(
    ("get_token", "displayed"),
    [
        ("() => ''", SIGNED_OUT),
        ("async () => ''", SIGNED_OUT),
        ("() => { Math.random = () => 100; throw new Error('No network'); }", "Connecting…"),  # waits of minutes
    ],
)
async def test_element_asks_for_a_token_immediately_when_the_user_has_signed_in(
    get_token: str, displayed: str, tenant: Tenant, alice: BrowserUser
) -> None:
    await tenant.send("alice", title="First")
    tab = await alice.blank()
    await tab.page.add_init_script(f"""const give = window.giveToken, before = {get_token};
      window.giveToken = (refused) => (window.signedIn ? give(refused) : before());""")
    await tab.load()
    await tab.open()
    await tab.page.get_by_text(displayed).wait_for()
    await tab.page.evaluate("window.signedIn = true; document.querySelector('hub-inbox').refresh()")
    await tab.wait_for_items("First")


async def test_connection_error_is_logged_for_the_developer(alice: BrowserUser) -> None:
    other = "https://app.example.org"
    bell = f"<hub-inbox endpoint={alice.origin}/graphql token=TOKEN></hub-inbox>"
    html = f'<!doctype html><script type="module" src="/inbox.js"></script>{bell}'

    async def serve(route: Route) -> None:
        path = route.request.url.removeprefix(other)
        if path == "/inbox.js":
            await route.fulfill(path=DIST / "inbox.js", content_type="text/javascript")
        else:
            await route.fulfill(body=html.replace("TOKEN", alice.sign()), content_type="text/html")

    await alice.context.route(f"{other}/**", serve)
    tab = await alice.blank()
    async with tab.page.expect_console_message(lambda output: "HUB_ALLOWED_ORIGINS" in output.text) as refused:
        await tab.page.goto(f"{other}/page")
    assert f"is {other} among its HUB_ALLOWED_ORIGINS" in (await refused.value).text

    alice.token = "no.token.atall"
    async with tab.page.expect_console_message(lambda output: "the token is refused" in output.text) as received:
        await tab.load()
    assert (await received.value).text == "hub: the token is refused: The access token is not valid for this hub."


async def test_second_user_sees_nothing_of_the_first(tenant: Tenant, alice: BrowserUser) -> None:
    await tenant.send("alice", title="For Alice")
    await tenant.send("bob", title="For Bob")
    tab = await (await alice.tab()).open()
    await tab.wait_for_items("For Alice")
    alice.user = "bob"
    await tab.page.evaluate("document.querySelector('hub-inbox').refresh()")
    await tab.wait_for_items("For Bob")
    assert "For Alice" not in await tab.page.evaluate("JSON.stringify(localStorage)")


async def test_last_connected_element_provides_tokens_and_a_removed_one_does_not(
    tenant: Tenant, alice: BrowserUser
) -> None:
    tab = await alice.tab()
    await tab.wait_until_live()
    await tab.page.evaluate("""async () => {
      const bell = document.createElement("hub-inbox");
      window.asked = 0;
      bell.getToken = (refused) => (asked++, giveToken(refused ?? null));
      document.body.append(bell);
    }""")
    second = tab.page.locator("body > hub-inbox")
    await tab.wait_until_live("body > hub-inbox")
    await tab.page.evaluate("document.querySelector('header hub-inbox').remove()")
    before = await tab.page.evaluate("asked")
    await second.evaluate("(bell) => bell.refresh()")

    async def requested() -> bool:
        return bool(await tab.page.evaluate("asked") > before)

    await eventually(requested)
    await tenant.send("alice", title="After")
    await second.locator(".badge").filter(has_text="1").wait_for()


async def test_replaced_get_token_keeps_the_connection(tenant: Tenant, alice: BrowserUser) -> None:
    tab = await alice.blank()
    sockets: list[str] = []
    tab.page.on("websocket", lambda socket: sockets.append(socket.url))
    await tab.load()
    await tab.wait_until_live()
    bell = tab.page.locator("hub-inbox")
    await bell.evaluate(
        "(bell) => { bell.getToken = () => (window.asked = giveToken(null)); return bell.updateComplete }"
    )
    await tenant.send("alice", title="After")
    await tab.wait_for_unread(1)
    assert len(sockets) == 1
    await bell.evaluate("(bell) => bell.refresh()")
    await tab.page.wait_for_function("window.asked")


async def test_page_in_the_background_takes_a_new_token_immediately(tenant: Tenant, alice: BrowserUser) -> None:
    alice.expires_in_s = -60
    alice.token = alice.sign()
    await tenant.send("alice", title="After")
    tab = await alice.blank()
    await tab.page.add_init_script("""Math.random = () => 100; // waits of minutes
      Object.defineProperty(document, "visibilityState", {value: "hidden"})""")
    async with tab.page.expect_websocket() as context:
        await tab.load()
    socket = await context.value
    if not socket.is_closed():
        await socket.wait_for_event("close")
    await tab.open()
    alice.token, alice.expires_in_s = None, 3600

    async def exists() -> bool:
        await tab.page.evaluate("document.querySelector('hub-inbox').refresh()")
        return await tab.titles() == ["After"]

    await eventually(exists)
