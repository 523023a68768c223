"""Measure `<hub-inbox>` in Chromium: a long list, single arrivals, and a burst of arrivals.

.venv/bin/python -m tests.browser.inbox_benchmark [--items 2000]    needs `make front` and an idle machine
"""

import argparse
import asyncio
import statistics
from typing import Any

import aiohttp
from playwright.async_api import CDPSession, Page, Route, async_playwright

from hub.api.token_signing import sign_token
from hub.bench.api_client import ApiClient
from hub.bench.benchmark_servers import SECRET, BenchEnvironment
from hub.bench.payloads import TENANT, TOKEN_LIFETIME_S
from hub.model import Role
from tests.browser.conftest import CHROMIUM, CHROMIUM_FLAGS

USER = "ada"
BATCH_SIZE = 1_000
ARRIVALS = 30
BURST = 200
BURST_S = 5
LONG_FRAME_MS = 50
HTML = """<!doctype html><html lang="en"><meta charset="utf-8"><title>An app</title>
<script type="module" src="/inbox.js"></script><body style="color-scheme: light dark; margin: 8px">
<hub-inbox token="{token}"></hub-inbox></html>"""
SEND = "mutation ($inputs: [SendInput!]!) { sendMany(inputs: $inputs) { duplicate } }"
LOAD_ALL = """async (bell) => {
  while (bell._inbox?.list("ACTIVE").more ?? true) {
    await bell._inbox?.more("ACTIVE");
    await new Promise(requestAnimationFrame);
  }
}"""
COUNT_NODES = """(bell) => {
  const count = (node) => 1 + (node.shadowRoot ? count(node.shadowRoot) : 0)
    + [...node.childNodes].reduce((sum, child) => sum + count(child), 0);
  const root = bell.shadowRoot.querySelector("hub-inbox-panel").shadowRoot;
  return [root.querySelectorAll("li[data-id]").length, count(bell)];
}"""
WATCH_FRAMES = """() => {
  window.frames_ms = [];
  window.longFrames = [];
  let last = performance.now();
  const next = (at) => { frames_ms.push(at - last); last = at; window.watching && requestAnimationFrame(next); };
  window.watching = true;
  requestAnimationFrame(next);
  new PerformanceObserver((list) => longFrames.push(...list.getEntries().map(({ duration }) => duration)))
    .observe({ type: "long-animation-frame" });
}"""
REPORT_ARRIVALS = """(bell) => bell._inbox.addEventListener("arrived", () =>
  requestAnimationFrame(() => setTimeout(() => window.reportArrival())))"""
DRAWN = "() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)))"


def content(number: int) -> dict[str, Any]:
    return {
        "to": {"users": [USER]},
        "category": "news",
        "content": {
            "title": f"Ada commented on document {number}",
            "body": "The numbers of October look right. Could you check the second page before we send it?",
            "actions": [{"key": "reply", "label": "Reply", "primary": True}, {"key": "later", "label": "Later"}],
        },
    }


async def open_page(page: Page, url: str) -> None:
    token = sign_token(SECRET, user=USER, tenant=TENANT, role=Role.USER, expires_in_s=TOKEN_LIFETIME_S)

    async def serve(route: Route) -> None:
        await route.fulfill(body=HTML.format(token=token), content_type="text/html")

    await page.route(f"{url}/page", serve)
    await page.goto(f"{url}/page")


async def main_thread_ms(devtools: CDPSession) -> float:
    """Return the time that the tasks of the page's main thread have taken so far."""
    metrics = (await devtools.send("Performance.getMetrics"))["metrics"]
    return float(next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration") * 1_000)


async def measure_arrivals(page: Page, api: ApiClient, first: int) -> list[float]:
    """Return the main-thread time of each arrival, until it is drawn."""
    devtools = await page.context.new_cdp_session(page)
    await devtools.send("Performance.enable", {"timeDomain": "threadTicks"})  # CPU time
    arrived = asyncio.Event()
    await page.expose_function("reportArrival", arrived.set)
    await page.locator("hub-inbox").evaluate(REPORT_ARRIVALS)
    times: list[float] = []
    for number in range(first, first + ARRIVALS):
        arrived.clear()
        before = await main_thread_ms(devtools)
        await api.execute(SEND, inputs=[content(number)])
        await arrived.wait()
        times.append(await main_thread_ms(devtools) - before)
    return times


async def measure_burst(page: Page, api: ApiClient, first: int) -> tuple[list[float], list[float]]:
    """Return the intervals between frames, and the durations of the long animation frames."""
    await page.evaluate(WATCH_FRAMES)
    loop = asyncio.get_running_loop()
    start = loop.time()
    sends: list[asyncio.Task[Any]] = []
    for index in range(BURST):
        await asyncio.sleep(max(0.0, start + index * BURST_S / BURST - loop.time()))
        sends.append(asyncio.create_task(api.execute(SEND, inputs=[content(first + index)])))
    await asyncio.gather(*sends)
    await page.wait_for_timeout(500)
    return await page.evaluate("() => ((window.watching = false), [frames_ms, longFrames])")


async def measure(items: int) -> list[str]:
    """Return the results as lines of text."""
    async with (
        BenchEnvironment() as environment,
        environment.hub("inbox_page") as hub,
        aiohttp.ClientSession() as http,
        async_playwright() as playwright,
    ):
        api = ApiClient(http, hub)
        for start in range(0, items, BATCH_SIZE):
            batch = range(start, min(items, start + BATCH_SIZE))
            await api.execute(SEND, inputs=[content(number) for number in batch])
        await api.execute("mutation { markAllSeen { changed } }", user=USER)
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        page = await browser.new_page(viewport={"width": 1280, "height": 800})
        await open_page(page, f"http://127.0.0.1:{hub.port}")
        bell = page.locator("hub-inbox")
        _, closed = await bell.evaluate(COUNT_NODES)
        await bell.evaluate(LOAD_ALL)
        await page.locator("hub-inbox button.bell").click()
        await page.locator("hub-inbox-item").first.wait_for()
        await page.evaluate(DRAWN)
        rows, nodes = await bell.evaluate(COUNT_NODES)
        arrivals = sorted(await measure_arrivals(page, api, items))
        frames, long_frames = await measure_burst(page, api, items + ARRIVALS)
        await browser.close()
    return [
        f"closed: {closed} nodes",
        f"open, with {items:,} items: {rows} rows, {nodes:,} nodes",
        f"one arrival, of the main thread: {statistics.median(arrivals):.1f} ms (median), {arrivals[-1]:.1f} ms (most)",
        f"{BURST} arrivals in {BURST_S} s: {len(frames)} frames, the longest after {max(frames):.0f} ms",
        f"frames over {LONG_FRAME_MS} ms: {len(long_frames)}",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure <hub-inbox> in Chromium.")
    parser.add_argument("--items", type=int, default=2_000, help="the number of notifications in the inbox")
    print("\n".join(asyncio.run(measure(parser.parse_args().items))))  # noqa: T201 - the results


if __name__ == "__main__":
    main()
