"""Who are you: JSON Web Tokens, HS256 with the hub's own secrets or signed by an issuer with published keys (JWKS).

Fails closed: whatever is not plainly valid is UNAUTHENTICATED. Algorithms are pinned, so that a token can't choose how
it is checked.
"""

import asyncio
import re
import time
from collections import OrderedDict
from typing import Any

import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet, OctKey

from hub.egress import Egress, EgressError
from hub.errors import Unauthenticated, Unavailable
from hub.model import Caller, Role, is_plain
from hub.settings import Settings

JWKS_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
JWKS_MAX_AGE_S = 300.0
JWKS_MIN_AGE_S = 5.0  # an unknown key is looked up at most this often
CACHED = 10_000  # verified tokens
TOKEN_MAX_CHARS = 8192
DEFAULT_TENANT = "default"
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
USER_MAX_CHARS = 256

log = structlog.get_logger(__name__)


def sign(
    secret: str,
    *,
    user: str | None,
    tenant: str,
    role: Role,
    expires_in_s: float,
    issuer: str = "",
    audience: str = "",
) -> str:
    """A token of the hub's own. `issuer` and `audience` are given where the settings pin them."""
    claims: dict[str, Any] = {"tenant": tenant, "role": role.value, "exp": int(time.time() + expires_in_s)}
    if user is not None:
        claims["sub"] = user
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))


def sign_for(settings: Settings, user: str | None, role: Role, expires_in_s: float) -> str:
    """A token for a caller of the hub with these settings, in the tenant that needs no name."""
    return sign(
        settings.jwt_secret[0].get_secret_value(),
        user=user,
        tenant=DEFAULT_TENANT,
        role=role,
        expires_in_s=expires_in_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


class Authenticator:
    def __init__(self, settings: Settings, egress: Egress) -> None:
        self._keys = [OctKey.import_key(secret.get_secret_value()) for secret in settings.jwt_secret]
        self._jwks_url = settings.jwks_url
        self._egress = egress
        self._issued: KeySet | None = None
        self._fetched_at = -JWKS_MAX_AGE_S
        self._fetching = asyncio.Lock()
        self._known: OrderedDict[str, tuple[Caller, float]] = OrderedDict()
        wanted: dict[str, Any] = {"exp": {"essential": True}}
        if settings.jwt_issuer:
            wanted["iss"] = {"essential": True, "value": settings.jwt_issuer}
        if settings.jwt_audience:
            wanted["aud"] = {"essential": True, "value": settings.jwt_audience}
        self._registry = jwt.JWTClaimsRegistry(**wanted)

    async def caller(self, authorization: str | None) -> Caller:
        """The caller that an `Authorization` value names. Unauthenticated if it names nobody for certain."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send a token: `Authorization: Bearer ...`.")
        if len(token) > TOKEN_MAX_CHARS:
            raise Unauthenticated("The token is too long.")
        known = self._known.get(token)
        if known and known[1] > time.time():
            return known[0]
        caller = _caller(await self._claims(token))
        self._known[token] = caller, min(caller.expires_at, time.time() + JWKS_MAX_AGE_S)
        if len(self._known) > CACHED:
            self._known.popitem(last=False)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            if claims := self._verified(token, key, ["HS256"]):
                return claims
        if self._jwks_url:
            for most_s in (JWKS_MAX_AGE_S, JWKS_MIN_AGE_S):
                keys = await self._key_set(most_s)
                if claims := self._verified(token, keys, JWKS_ALGORITHMS):
                    return claims
        raise Unauthenticated("The token is not valid here.")

    def _verified(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any] | None:
        try:
            decoded = jwt.decode(token, key, algorithms=algorithms)
        except (JoseError, ValueError, TypeError, KeyError):
            return None
        try:
            self._registry.validate(decoded.claims)
        except JoseError as error:
            claim = getattr(error, "claim", "")
            raise Unauthenticated(
                f"The token is refused: {error.error.replace('_', ' ')}{f' ({claim})' if claim else ''}."
            ) from None
        except (ValueError, TypeError):
            return None
        return decoded.claims

    async def _key_set(self, most_s: float) -> KeySet:
        """The issuer's keys, at most `most_s` seconds old. Old ones serve while the issuer is away."""
        async with self._fetching:
            if self._issued is None or time.monotonic() - self._fetched_at > most_s:
                try:
                    self._issued = KeySet.import_key_set(await self._egress.fetch_json(self._jwks_url))
                except (EgressError, JoseError, ValueError, TypeError, KeyError) as error:
                    log.warning("jwks_not_fetched", url=self._jwks_url, error=error)
                self._fetched_at = time.monotonic()
        if self._issued is None:
            raise Unavailable("The issuer of tokens does not answer: try again shortly.")
        return self._issued


def _caller(claims: dict[str, Any]) -> Caller:
    user = claims.get("sub", "")
    tenant = claims.get("tenant", DEFAULT_TENANT)
    role = claims.get("role", Role.USER.value)
    if not isinstance(user, str) or len(user) > USER_MAX_CHARS or not is_plain(user):
        raise Unauthenticated(f"`sub` has at most {USER_MAX_CHARS} printable characters.")
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        raise Unauthenticated("`tenant` has 1 to 64 letters, digits, dots, dashes or underscores.")
    if not isinstance(role, str) or role not in set(Role):
        raise Unauthenticated("`role` is user, service or admin.")
    if role == Role.USER and not user:
        raise Unauthenticated("A token of role user needs `sub`.")
    return Caller(tenant=tenant, user=user, role=Role(role), expires_at=float(claims["exp"]))
