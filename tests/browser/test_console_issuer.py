"""Sign-in to the console at the issuer of access tokens, by OpenID Connect."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from playwright.async_api import Browser, Page, expect

from hub.platform.embedded_servers import Mongod, Redis
from tests.browser.conftest import AXE, AXE_TAGS
from tests.browser.test_demo import AXE_RUN, WITHIN_MS
from tests.oidc_provider import OidcProvider
from tests.processes import Deployment

expect.set_options(timeout=WITHIN_MS)

AUDIENCE = "notification-hub"
CLIENT = "hub-console"


class Scene(Struct, frozen=True):
    """A hub whose console signs in at a provider."""

    provider: OidcProvider
    console: str
    policies: list[str]
    """What the Content-Security-Policy of a page refused."""


@pytest.fixture(scope="module")
async def scene(built_front_end: Path, servers: tuple[Mongod, Redis]) -> AsyncIterator[Scene]:  # noqa: ARG001 - the hub serves it
    async with OidcProvider(CLIENT, AUDIENCE) as provider:
        settings = {
            "mongo_database": "console_issuer",
            "redis_prefix": "console_issuer:",
            "jwks_url": provider.jwks_url,
            "jwt_issuer": provider.issuer,
            "jwt_audience": AUDIENCE,
            "console_oidc_client_id": CLIENT,
            "console_oidc_scopes": "openid offline_access",
        }
        async with Deployment(servers[0].url, servers[1].url, apis=1, workers=0, **settings) as running:
            console = running.urls[0].replace("/graphql", "/console/")
            provider.redirect_uris = {console}
            yield Scene(provider, console, [])


@pytest.fixture
async def page(browser: Browser, scene: Scene) -> AsyncIterator[Page]:
    context = await browser.new_context(locale="en-GB")
    context.set_default_timeout(WITHIN_MS)
    page = await context.new_page()
    page.on("console", lambda output: scene.policies.append(output.text) if "Content Security" in output.text else None)
    yield page
    await context.close()
    assert scene.policies == []


async def sign_in(page: Page, scene: Scene, answer: str = "Continue as Ann") -> None:
    await page.get_by_role("button", name="Sign in with").click()
    await expect(page).to_have_url(re.compile(f"^{re.escape(scene.provider.issuer)}/authorize"))
    await page.get_by_role("link", name=answer).click()


async def test_person_signs_in_at_the_issuer_and_returns_to_the_page(page: Page, scene: Scene) -> None:
    response = await page.goto(f"{scene.console}deliveries?status=FAILED")
    assert response
    policy = response.headers["content-security-policy"]
    assert f"connect-src 'self' {scene.provider.origin};" in policy
    assert policy.count(scene.provider.origin) == 1
    await page.evaluate(AXE.read_text())
    found: dict[str, Any] = await page.evaluate(AXE_RUN, AXE_TAGS)
    assert found["violations"] == []
    await sign_in(page, scene)
    await expect(page.locator(".account")).to_contain_text("ann, support")
    assert page.url == f"{scene.console}deliveries?status=FAILED"
    await expect(page.get_by_text("No delivery matches the filter.")).to_be_visible()
    [exchange] = scene.provider.requests
    assert exchange["grant_type"] == "authorization_code"
    assert "client_secret" not in exchange
    await page.reload()
    await expect(page.locator(".account")).to_contain_text("ann, support")
    assert len(scene.provider.requests) == 1


async def test_expired_token_is_renewed_while_the_page_is_open(page: Page, scene: Scene) -> None:
    scene.provider.expires_in_s = 2
    await page.goto(scene.console)
    await sign_in(page, scene)
    await expect(page.locator(".account")).to_contain_text("ann, support")
    scene.provider.expires_in_s = 300
    await asyncio.sleep(3)
    await page.get_by_role("link", name="Sends").first.click()
    await expect(page.get_by_text("No send matches.")).to_be_visible()
    assert scene.provider.requests[-1]["grant_type"] == "refresh_token"


async def test_refused_and_forged_answers_do_not_sign_in(page: Page, scene: Scene) -> None:
    await page.goto(scene.console)
    await sign_in(page, scene, "Cancel")
    await expect(page.get_by_role("alert")).to_have_text("The issuer refused the sign-in: Ann cancelled.")
    assert page.url == scene.console
    before = len(scene.provider.requests)
    await page.goto(f"{scene.console}?code=stolen&state=forged")
    await expect(page.get_by_role("alert")).to_contain_text("This sign-in was not started in this tab.")
    await page.get_by_role("button", name="Sign in with").click()
    await page.get_by_role("link", name="Continue as Ann").wait_for()
    await page.goto(f"{scene.console}?code=stolen&state=forged&iss={scene.provider.issuer}")
    await expect(page.get_by_role("alert")).to_contain_text("The sign-in failed:")
    assert len(scene.provider.requests) == before


async def test_role_that_may_not_use_the_console_is_told(page: Page, scene: Scene) -> None:
    scene.provider.claims = {"sub": "ann"}
    await page.goto(scene.console)
    await sign_in(page, scene)
    await expect(page.get_by_role("alert").first).to_contain_text("Your role or scope does not allow this.")
    scene.provider.claims = {"sub": "ann", "role": "support"}
