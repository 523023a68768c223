"""How people sign in to the console at the issuer of access tokens, and the Content-Security-Policy of the console."""

from html import escape
from urllib.parse import urlsplit

import orjson
from msgspec import Struct

from hub.settings import Settings

HEAD_END = b"</head>"


class ConsoleSignIn(Struct, frozen=True):
    """The issuer, and the id and scopes of the console's client there. Without an issuer, people sign in with a token
    or key only."""

    issuer: str = ""
    client_id: str = ""
    scopes: str = ""

    @property
    def csp(self) -> str:
        """The policy of the console. It shows texts of senders, users, and providers. It calls the hub that serves it,
        and the origin of the issuer."""
        parts = urlsplit(self.issuer)
        issuer = f" {parts.scheme}://{parts.netloc}" if self.issuer else ""
        return (
            f"default-src 'none'; connect-src 'self'{issuer}; script-src 'self'; style-src 'self'; "
            "img-src 'self' data:; frame-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'; "
            "require-trusted-types-for 'script'; trusted-types lit-html"
        )

    def add_to(self, page: bytes) -> bytes:
        """Return the page of the console with these values, which its script reads."""
        if not self.issuer:
            return page
        values = orjson.dumps({"issuer": self.issuer, "clientId": self.client_id, "scopes": self.scopes}).decode()
        return page.replace(HEAD_END, f'<meta name="hub-sign-in" content="{escape(values)}">'.encode() + HEAD_END, 1)


NO_SIGN_IN = ConsoleSignIn()


def console_sign_in(settings: Settings) -> ConsoleSignIn:
    """Return how people sign in to the console of a hub with these settings."""
    if not settings.console_oidc_client_id:
        return NO_SIGN_IN
    return ConsoleSignIn(settings.jwt_issuer, settings.console_oidc_client_id, settings.console_oidc_scopes)
