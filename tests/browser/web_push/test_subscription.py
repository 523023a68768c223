"""The push toggle: permission, sign-out, another user, and renewed subscriptions."""

from uuid import uuid4

from tests.browser.web_push.push_page import UNSUBSCRIBED, WITHIN_S, PushUser
from tests.client import eventually


async def test_push_asks_for_permission_only_on_click_and_can_be_turned_off(push_user: PushUser) -> None:
    page = await push_user.context.new_page()
    await page.add_init_script(
        "{ const ask = Notification.requestPermission; Notification.requestPermission = () => "
        "((window.asked = (window.asked ?? 0) + 1), ask.call(Notification)); }"
    )
    await page.goto(push_user.address())
    turn_on = page.get_by_role("button", name="Turn on")
    await turn_on.wait_for()
    assert await page.evaluate("window.asked") is None
    assert await push_user.devices() == []
    await turn_on.click()
    await page.get_by_role("button", name="Turn off").click()
    await turn_on.wait_for()
    assert await page.evaluate("window.asked") == 1

    async def none() -> bool:
        return await push_user.devices() == []

    await eventually(none, WITHIN_S)
    assert await page.evaluate(UNSUBSCRIBED) is True


async def test_push_stays_on_at_the_next_visit_and_off_for_another_user(push_user: PushUser) -> None:
    await push_user.subscribed()
    [device] = await push_user.devices()
    again = await push_user.page()
    await again.get_by_role("button", name="Turn off").wait_for()
    assert await push_user.devices() == [device]
    await again.get_by_text("This browser", exact=True).wait_for()
    push_user.user = f"other{uuid4().hex[:8]}"
    other = await push_user.page()
    await other.get_by_role("button", name="Turn on").wait_for()


async def test_push_is_off_after_the_device_was_removed_elsewhere(push_user: PushUser) -> None:
    await push_user.subscribed()
    [device] = await push_user.devices()
    await push_user.tenant.execute(
        "mutation ($id: ID!) { removeDevice(id: $id) }", user=push_user.user, id=device["id"]
    )
    page = await push_user.page()
    await page.get_by_role("button", name="Turn on").wait_for()


async def test_user_who_turned_push_off_and_signed_out_gets_no_more_pushes(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    assert await push_user.devices()
    await page.evaluate(
        """async () => {
          const preferences = document.querySelector("hub-preferences");
          await preferences.shadowRoot.querySelector("hub-push").turnOff();
          preferences.token = "";
        }"""
    )
    assert await page.evaluate(UNSUBSCRIBED) is True

    async def none() -> bool:
        return await push_user.devices() == []

    await eventually(none, WITHIN_S)
    await page.get_by_role("button", name="Turn o").wait_for(state="detached")
    await page.locator("hub-preferences").evaluate("(element, token) => (element.token = token)", push_user.token)
    await page.get_by_role("button", name="Turn on").wait_for()


async def test_push_can_be_turned_off_without_the_hub(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    await page.route("**/graphql", lambda route: route.abort())
    async with page.expect_event("requestfailed"):
        await page.evaluate("document.querySelector('hub-preferences').shadowRoot.querySelector('hub-push').turnOff()")
    assert await page.evaluate(UNSUBSCRIBED) is True
    assert errors == []


async def test_second_user_of_the_browser_keeps_push_when_the_first_one_visits(push_user: PushUser) -> None:
    first = push_user.user
    await push_user.subscribed()
    push_user.user = second = f"other{uuid4().hex[:8]}"
    await push_user.subscribed()
    push_user.user = first
    page = await push_user.page()
    await page.get_by_role("button", name="Turn on").wait_for()
    push_user.user = second
    await push_user.send(title="Still here")
    [banner] = await push_user.banners(page)
    assert banner["title"] == "Still here"


async def test_subscription_of_the_app_is_unchanged(push_user: PushUser) -> None:
    page = await push_user.context.new_page()
    await page.goto(f"{push_user.pages.url}/elsewhere")
    endpoint = await page.evaluate(
        """async () => {
          await navigator.serviceWorker.register("/own.js");
          const registration = await navigator.serviceWorker.ready;
          const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
          const applicationServerKey = await crypto.subtle.exportKey("raw", pair.publicKey);
          return (await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey })).endpoint;
        }"""
    )
    await page.goto(push_user.address(attributes="worker=/own.js"))
    await page.get_by_role("button", name="Turn on").click()
    await page.get_by_text(
        "This site already has its own push notifications here. Only one of them can be active."
    ).wait_for()
    current = "navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription()).then((s) => s.endpoint)"
    assert await page.evaluate(current) == endpoint
    assert await push_user.devices() == []


async def test_renewed_subscription_is_registered_again(push_user: PushUser) -> None:
    page = await push_user.subscribed()
    [before] = await push_user.devices()
    await (await push_user.worker()).evaluate(
        """async () => {
          const old = await self.registration.pushManager.getSubscription();
          const { options } = old;
          await old.unsubscribe();
          const done = [];
          const event = new Event("pushsubscriptionchange");
          Object.assign(event, { oldSubscription: { options }, waitUntil: (promise) => done.push(promise) });
          self.dispatchEvent(event);
          await Promise.all(done);
        }"""
    )

    async def registered_again() -> bool:
        devices = await push_user.devices()
        return len(devices) == 1 and devices != [before]

    await eventually(registered_again, WITHIN_S)
    id = await push_user.send(title="After the change")
    [banner] = await push_user.banners(page)
    assert banner["tag"] == id
