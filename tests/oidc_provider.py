"""A small OpenID Connect provider: discovery, authorization code flow with PKCE, refresh tokens, and published keys."""

import base64
import hashlib
import secrets
import time
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet

CODE_S = 60
PAGE = """<!doctype html><html lang="en"><title>Sign in</title>
<a href="{allow}">Continue as Ann</a> <a href="{deny}">Cancel</a></html>"""


class OidcProvider:
    """One public client with exact redirect URIs. `claims` are those of the access tokens, besides the standard ones.
    `requests`: the parameters of the calls of the token endpoint. `expires_in_s`: the lifetime of access tokens."""

    def __init__(self, client_id: str, audience: str) -> None:
        self.client_id = client_id
        self.audience = audience
        self.claims: dict[str, Any] = {"sub": "ann", "role": "support"}
        self.redirect_uris: set[str] = set()
        self.expires_in_s = 300.0
        self.requests: list[dict[str, str]] = []
        self._key = ECKey.generate_key("P-256", auto_kid=True)
        self._codes: dict[str, dict[str, str]] = {}
        self._refresh_tokens: set[str] = set()

    async def __aenter__(self) -> "OidcProvider":
        app = web.Application()
        app.router.add_get("/realm/.well-known/openid-configuration", self._discovery)
        app.router.add_get("/realm/authorize", self._authorize)
        app.router.add_get("/realm/decide", self._decide)
        app.router.add_post("/realm/token", self._token)
        app.router.add_get("/realm/jwks", self._jwks)
        app.on_response_prepare.append(self._allow_origins)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        port = self._runner.addresses[0][1]
        self.origin = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    @property
    def issuer(self) -> str:
        return f"{self.origin}/realm"

    @property
    def jwks_url(self) -> str:
        return f"{self.issuer}/jwks"

    async def _allow_origins(self, _: web.Request, response: web.StreamResponse) -> None:
        response.headers["access-control-allow-origin"] = "*"

    async def _discovery(self, _: web.Request) -> web.Response:
        endpoints = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "jwks"}
        return web.json_response(
            {
                "issuer": self.issuer,
                **{name: f"{self.issuer}/{path}" for name, path in endpoints.items()},
                "response_types_supported": ["code"],
                "code_challenge_methods_supported": ["S256"],
                "id_token_signing_alg_values_supported": ["ES256"],
                "authorization_response_iss_parameter_supported": True,
            }
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        valid = (
            asked["client_id"] == self.client_id
            and asked["redirect_uri"] in self.redirect_uris
            and asked["response_type"] == "code"
            and asked["code_challenge_method"] == "S256"
            and "openid" in asked["scope"].split()
        )
        if not valid:
            return web.Response(status=400, text=f"invalid: {asked}")
        links = {name: f"decide?{urlencode({**asked, 'answer': name})}" for name in ("allow", "deny")}
        return web.Response(
            text=PAGE.format(**{name: link.replace("&", "&amp;") for name, link in links.items()}),
            content_type="text/html",
        )

    async def _decide(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        answer = {"state": asked["state"], "iss": self.issuer}
        if asked["answer"] == "deny":
            answer |= {"error": "access_denied", "error_description": "Ann cancelled."}
        else:
            answer["code"] = secrets.token_urlsafe(16)
            self._codes[answer["code"]] = asked
        raise web.HTTPFound(f"{asked['redirect_uri']}?{urlencode(answer)}")

    async def _token(self, request: web.Request) -> web.Response:
        given = {name: str(value) for name, value in (await request.post()).items()}
        self.requests.append(given)
        if given["grant_type"] == "refresh_token":
            valid = given["refresh_token"] in self._refresh_tokens
            self._refresh_tokens.discard(given["refresh_token"])
        else:
            asked = self._codes.pop(given["code"], None)
            digest = hashlib.sha256(given["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
            valid = bool(asked) and (asked or {})["code_challenge"] == challenge
            valid = valid and (asked or {})["redirect_uri"] == given["redirect_uri"]
        if not valid or given["client_id"] != self.client_id:
            return web.json_response({"error": "invalid_grant"}, status=400)
        refresh = secrets.token_urlsafe(16)
        self._refresh_tokens.add(refresh)
        return web.json_response(
            {
                "access_token": self.sign(self.audience, **self.claims),
                "id_token": self.sign(self.client_id, sub=self.claims["sub"]),
                "refresh_token": refresh,
                "token_type": "Bearer",
                "expires_in": int(self.expires_in_s),
            }
        )

    def sign(self, audience: str, **claims: Any) -> str:
        times = {"iat": int(time.time()), "exp": time.time() + self.expires_in_s}
        header = {"alg": "ES256", "kid": self._key.kid}
        values = {"iss": self.issuer, "aud": audience, "jti": secrets.token_hex(8), **times, **claims}
        return jwt.encode(header, values, self._key, algorithms=["ES256"])

    async def _jwks(self, _: web.Request) -> web.Response:
        return web.json_response(KeySet([self._key]).as_dict(private=False))
