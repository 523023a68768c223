"""The languages of the inbox: each has a file, which is loaded when it is used."""

from tests.browser.conftest import FRONT, Browsers, Tab
from tests.client import Tenant

LOCALES = FRONT / "packages" / "inbox" / "src" / "locales"
LANGUAGES = sorted({path.stem for path in LOCALES.glob("inbox/*.ts")} - {"index", "en"})
NARROWEST = {"width": 320, "height": 640}


async def use_language(tab: Tab, language: str) -> None:
    await tab.page.evaluate("(language) => (document.documentElement.lang = language)", language)
    await tab.page.locator(f"hub-inbox #panel[lang={language}]").wait_for(state="attached")


async def test_every_language_is_loaded_when_used_and_fits_on_the_narrowest_phone(
    tenant: Tenant, browsers: Browsers
) -> None:
    for n in range(10):
        await tenant.send("alice", title=f"Number {n}")
    alice = await browsers.person("alice", viewport=NARROWEST)
    tab = await alice.blank()
    loaded: list[str] = []
    tab.page.on("request", lambda request: loaded.append(request.url) if "/locales/" in request.url else None)
    await tab.load()
    await tab.open()
    await tab.tab("UNREAD").locator(".count").wait_for()
    assert loaded == []
    labels = set()
    for language in LANGUAGES:
        await use_language(tab, language)
        labels.add(await tab.bell.get_attribute("aria-label"))
        assert await tab.panel.get_attribute("dir") == ("rtl" if language == "ar" else "ltr")
        for view in ("ACTIVE", "UNREAD", "ARCHIVED", "SNOOZED"):
            box = await tab.tab(view).bounding_box()
            assert box
            assert box["x"] >= 0, f"{language} {view}"
            assert box["x"] + box["width"] <= NARROWEST["width"], f"{language} {view}"
    assert len(labels) == len(LANGUAGES) >= 14
    assert loaded == [f"{alice.origin}/locales/inbox-{language}.js" for language in LANGUAGES]


async def test_language_without_texts_is_english_unless_the_app_provides_texts(browsers: Browsers) -> None:
    alice = await browsers.person("alice", page={"lang": "zh-TW"})  # the Chinese texts have the simplified script
    tab = await alice.tab()
    await tab.page.locator("hub-inbox #panel[lang=en]").wait_for(state="attached")
    assert await tab.bell.get_attribute("lang") == "en"
    await tab.page.evaluate("document.querySelector('hub-inbox').words = {notifications: '通知'}")
    await tab.page.locator("hub-inbox #panel[lang=zh-TW][aria-label=通知]").wait_for(state="attached")


async def test_inbox_is_english_if_the_file_of_its_language_cannot_be_loaded(browsers: Browsers) -> None:
    alice = await browsers.person("alice", page={"lang": "fr"})
    await alice.context.route("**/locales/*", lambda route: route.abort())
    tab = await alice.blank()
    async with tab.page.expect_event("requestfailed", lambda request: "/locales/" in request.url):
        await tab.load()
    await tab.wait_until_live()
    assert await tab.bell.get_attribute("aria-label") == "Notifications"
    assert tab.errors == []
