"""The push toggle: permission, sign-out, another user, and renewed subscriptions."""

from uuid import uuid4

from tests.browser.web_push.push_page import UNSUBSCRIBED, WITHIN_S, Rig
from tests.client import eventually


async def test_it_asks_only_when_pressed_and_can_be_turned_off(rig: Rig) -> None:
    page = await rig.context.new_page()
    await page.add_init_script(
        "{ const ask = Notification.requestPermission; Notification.requestPermission = () => "
        "((window.asked = (window.asked ?? 0) + 1), ask.call(Notification)); }"
    )
    await page.goto(rig.address())
    turn_on = page.get_by_role("button", name="Turn on")
    await turn_on.wait_for()
    assert await page.evaluate("window.asked") is None
    assert await rig.devices() == []
    await turn_on.click()
    await page.get_by_role("button", name="Turn off").click()
    await turn_on.wait_for()
    assert await page.evaluate("window.asked") == 1

    async def none() -> bool:
        return await rig.devices() == []

    await eventually(none, WITHIN_S)
    assert await page.evaluate(UNSUBSCRIBED) is True


async def test_it_stays_on_at_the_next_visit_and_off_for_another_person(rig: Rig) -> None:
    await rig.subscribed()
    [device] = await rig.devices()
    again = await rig.page()
    await again.get_by_role("button", name="Turn off").wait_for()
    assert await rig.devices() == [device]
    await again.get_by_text("This browser", exact=True).wait_for()
    rig.user = f"other{uuid4().hex[:8]}"
    other = await rig.page()
    await other.get_by_role("button", name="Turn on").wait_for()


async def test_removed_elsewhere_it_is_off(rig: Rig) -> None:
    await rig.subscribed()
    [device] = await rig.devices()
    await rig.tenant.ask("mutation ($id: ID!) { removeDevice(id: $id) }", user=rig.user, id=device["id"])
    page = await rig.page()
    await page.get_by_role("button", name="Turn on").wait_for()


async def test_who_signs_out_after_turning_it_off_is_not_reached_here_any_more(rig: Rig) -> None:
    page = await rig.subscribed()
    assert await rig.devices()
    await page.evaluate(
        """async () => {
          const preferences = document.querySelector("hub-preferences");
          await preferences.shadowRoot.querySelector("hub-push").turnOff();
          preferences.token = "";
        }"""
    )
    assert await page.evaluate(UNSUBSCRIBED) is True

    async def none() -> bool:
        return await rig.devices() == []

    await eventually(none, WITHIN_S)
    await page.get_by_role("button", name="Turn o").wait_for(state="detached")
    await page.locator("hub-preferences").evaluate("(element, token) => (element.token = token)", rig.token)
    await page.get_by_role("button", name="Turn on").wait_for()


async def test_who_takes_the_browser_over_keeps_it_when_the_first_one_visits(rig: Rig) -> None:
    first = rig.user
    await rig.subscribed()
    rig.user = second = f"other{uuid4().hex[:8]}"
    await rig.subscribed()
    rig.user = first
    page = await rig.page()
    await page.get_by_role("button", name="Turn on").wait_for()
    rig.user = second
    await rig.send(title="Still here")
    [banner] = await rig.banners(page)
    assert banner["title"] == "Still here"


async def test_subscription_of_the_app_itself_is_left_alone(rig: Rig) -> None:
    page = await rig.context.new_page()
    await page.goto(f"{rig.pages.url}/elsewhere")
    endpoint = await page.evaluate(
        """async () => {
          await navigator.serviceWorker.register("/own.js");
          const registration = await navigator.serviceWorker.ready;
          const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, true, ["sign"]);
          const applicationServerKey = await crypto.subtle.exportKey("raw", pair.publicKey);
          return (await registration.pushManager.subscribe({ userVisibleOnly: true, applicationServerKey })).endpoint;
        }"""
    )
    await page.goto(rig.address(attributes="worker=/own.js"))
    await page.get_by_role("button", name="Turn on").click()
    await page.get_by_text("This site sends its own banners here: both at once don't go.").wait_for()
    current = "navigator.serviceWorker.ready.then((r) => r.pushManager.getSubscription()).then((s) => s.endpoint)"
    assert await page.evaluate(current) == endpoint
    assert await rig.devices() == []


async def test_renewed_subscription_is_registered_again(rig: Rig) -> None:
    page = await rig.subscribed()
    [before] = await rig.devices()
    await (await rig.worker()).evaluate(
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
        devices = await rig.devices()
        return len(devices) == 1 and devices != [before]

    await eventually(registered_again, WITHIN_S)
    id = await rig.send(title="After the change")
    [banner] = await rig.banners(page)
    assert banner["tag"] == id
