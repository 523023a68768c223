"""A page of an app that embeds the preferences, on its own origin, with a strict content security policy."""

from html import escape
from pathlib import Path
from typing import Any

from aiohttp import web

from hub.api.public.static_files import FrontendFiles
from tests.fake_providers import FakeHTTPServer

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src http: ws:; img-src 'self'; "
    "trusted-types lit-html hub-push; require-trusted-types-for 'script'"
)
HTML = """<!doctype html><html lang="{lang}" dir="{dir}"><meta charset="utf-8"><title>Settings</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="stylesheet" href="/page.css"><script type="module" src="/preferences.js"></script>{more}
<main><h1>Settings</h1><hub-preferences endpoint="{endpoint}" token="{token}" locale="{lang}" {attributes}></hub-preferences>
</main></html>"""
INBOX = '<script type="module" src="/inbox.js"></script><hub-inbox endpoint="{endpoint}" token="{token}"></hub-inbox>'
APP_WORKER = """importScripts("/sw.js");
addEventListener("push", (event) => {
  const { mine } = event.data.json();
  if (mine) event.waitUntil(registration.showNotification(mine, { tag: "mine" }));
});"""
"""A service worker of the app that imports the worker of the hub."""
CSS = """body { margin: 0; font: 16px system-ui; color-scheme: light dark; background: light-dark(#f7f8fa, #101216);
  color: light-dark(#16181d, #eceef2) } main { max-width: 860px; margin: 0 auto; padding: 24px 16px }
  h1 { font-size: 22px }"""


class SettingsPage(FakeHTTPServer):
    """`shown`: values for the template of the page."""

    def __init__(self, dist: Path) -> None:
        super().__init__()
        self._front = FrontendFiles(False, dist)

    def address(self, endpoint: str, token: str, **displayed: str) -> str:
        """Return the URL of the page for that token. With `inbox`, the page has a bell."""
        query = {"endpoint": endpoint, "token": token, **displayed}
        return f"{self.url}/settings?" + "&".join(f"{name}={value}" for name, value in query.items())

    async def respond(self, request: web.Request, body: bytes) -> web.Response:  # noqa: ARG002 - pages ignore the body
        name = request.path.removeprefix("/")
        if name == "settings":
            fields: dict[str, Any] = {"lang": "en", "attributes": "", **request.query}
            fields = {
                key: escape(value) for key, value in fields.items()
            }  # also `attributes`, which contains only names
            more = INBOX.format(**fields) if "inbox" in fields else ""
            html = HTML.format(**fields, dir="rtl" if fields["lang"] == "ar" else "ltr", more=more)
            return web.Response(text=html, content_type="text/html", headers={"content-security-policy": POLICY})
        if name == "page.css":
            return web.Response(text=CSS, content_type="text/css")
        if name == "own.js":
            headers = {"content-security-policy": "default-src 'self' http: https:"}
            return web.Response(text=APP_WORKER, content_type="text/javascript", headers=headers)
        if file := self._front.files.get(request.path):  # with the headers of the hub
            return web.Response(body=file.body, headers=file.headers)
        return web.Response(text="<title>Elsewhere</title>", content_type="text/html")
