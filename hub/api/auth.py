"""Authentication by JSON Web Tokens: HS256 with the secrets of the hub, or signed by an issuer with a JWKS.

It fails closed: any token that is not valid is UNAUTHENTICATED. Algorithms are pinned, so that a token cannot choose
how it is verified.
"""

import asyncio
import re
import time
from typing import Any

import structlog
from cachetools import LRUCache
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError
from joserfc.jwk import JWKRegistry, KeySet, OctKey

from hub.errors import Unauthenticated, Unavailable
from hub.model import Principal, Role
from hub.platform.outbound_http import OutboundHTTP, OutboundHTTPError
from hub.settings import Settings
from hub.text import IDENTIFIER_RULE, is_identifier

JWKS_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
JWKS_MAX_AGE_S = 300.0
JWKS_MIN_AGE_S = 5.0  # an unknown key is looked up at most this often
CACHE_SIZE = 10_000  # verified tokens
TOKEN_MAX_CHARS = 8192
KID_MAX_CHARS = 128  # of a key, in the log
NUMERIC_DATE_MAX = 2**53  # seconds; a larger number is no time
DEFAULT_TENANT = "default"
TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")

log = structlog.get_logger(__name__)


def sign_token(
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


def sign_token_for(settings: Settings, user: str | None, role: Role, expires_in_s: float) -> str:
    """A token for a caller of the hub with these settings, in the tenant that needs no name."""
    return sign_token(
        settings.jwt_secret[0].get_secret_value(),
        user=user,
        tenant=DEFAULT_TENANT,
        role=role,
        expires_in_s=expires_in_s,
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


class Authenticator:
    def __init__(self, settings: Settings, egress: OutboundHTTP) -> None:
        self._keys = [OctKey.import_key(secret.get_secret_value()) for secret in settings.jwt_secret]
        self._jwks_url = settings.jwks_url
        self._egress = egress
        self._jwks: KeySet | None = None
        self._fetched_at = -JWKS_MAX_AGE_S
        self._fetching = asyncio.Lock()
        self._cached: LRUCache[str, tuple[Principal, float]] = LRUCache(CACHE_SIZE)
        wanted: dict[str, Any] = {"exp": {"essential": True}}
        if settings.jwt_issuer:
            wanted["iss"] = {"essential": True, "value": settings.jwt_issuer}
        if settings.jwt_audience:
            wanted["aud"] = {"essential": True, "value": settings.jwt_audience}
        self._registry = _ClaimsRegistry(now=time.time, leeway=settings.jwt_leeway_s, **wanted)  # type: ignore[arg-type]
        self._skipped: frozenset[str] = frozenset()

    async def authenticate(self, authorization: str | None) -> Principal:
        """The caller that an `Authorization` value names. Unauthenticated if it names nobody for certain."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("Send a token: `Authorization: Bearer ...`.")
        if len(token) > TOKEN_MAX_CHARS:
            raise Unauthenticated("The token is too long.")
        known = self._cached.get(token)
        if known and known[1] > time.time():
            return known[0]
        caller = _caller(await self._claims(token))
        self._cached[token] = caller, min(caller.expires_at, time.time() + JWKS_MAX_AGE_S)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            if claims := self._verify(token, key, ["HS256"]):
                return claims
        if self._jwks_url:
            for most_s in (JWKS_MAX_AGE_S, JWKS_MIN_AGE_S):
                keys = await self._key_set(most_s)
                if claims := self._verify(token, keys, JWKS_ALGORITHMS):
                    return claims
        raise Unauthenticated("The token is not valid here.")

    def _verify(self, token: str, key: Any, algorithms: list[str]) -> dict[str, Any] | None:
        try:
            decoded = jwt.decode(token, key, algorithms=algorithms)
        except (JoseError, ValueError, TypeError, KeyError, RecursionError):
            return None
        try:
            self._registry.validate(decoded.claims)
        except JoseError as error:
            claim = getattr(error, "claim", "")
            raise Unauthenticated(
                f"The token is refused: {error.error.replace('_', ' ')}{f' ({claim})' if claim else ''}."
            ) from None
        except (ValueError, TypeError, RecursionError):
            return None
        return decoded.claims

    async def _key_set(self, most_s: float) -> KeySet:
        """The issuer's keys, at most `most_s` seconds old. Old ones serve while the issuer is away."""
        async with self._fetching:
            if self._jwks is None or time.monotonic() - self._fetched_at > most_s:
                try:
                    self._jwks = self._readable(await self._egress.fetch_json(self._jwks_url))
                except (OutboundHTTPError, ValueError, TypeError, KeyError) as error:
                    log.warning("jwks_not_fetched", url=self._jwks_url, error=error)
                self._fetched_at = time.monotonic()
        if self._jwks is None:
            raise Unavailable("The issuer of tokens does not answer: try again shortly.")
        return self._jwks

    def _readable(self, published: Any) -> KeySet:
        """The keys that can be read. Others are skipped, with one warning each; ValueError if none is left."""
        keys, skipped = [], {}
        for index, given in enumerate(published["keys"]):
            try:
                key = JWKRegistry.import_key(given)
                _ = key.public_key if key.key_type != "oct" else None  # some faults show only when it is used
                keys.append(key)
            except Exception as error:  # noqa: BLE001 - whatever is wrong with one key, the others serve
                kid = given.get("kid") if isinstance(given, dict) else None
                skipped[str(index if kid is None else kid)[:KID_MAX_CHARS]] = error
        for kid, fault in skipped.items():
            if kid not in self._skipped:
                log.warning("jwks_key_skipped", url=self._jwks_url, kid=kid, error=fault)
        self._skipped = frozenset(skipped)
        if not keys:
            raise ValueError("no key of the set can be read")
        return KeySet(keys)


class _ClaimsRegistry(jwt.JWTClaimsRegistry):
    """The leeway is for clocks that are ahead. A token ends when it says so."""

    def validate_exp(self, value: object) -> None:
        super().validate_exp(value)
        if isinstance(value, int | float) and value <= self.now:
            raise ExpiredTokenError("exp")
        if isinstance(value, int | float) and value > NUMERIC_DATE_MAX:
            raise InvalidClaimError("exp", "Claim 'exp' is out of range")

    def validate_sub(self, value: object) -> None:
        """Checked against the rule for identifiers, which has an error of its own."""


def _caller(claims: dict[str, Any]) -> Principal:
    user = claims.get("sub", "")
    tenant = claims.get("tenant", DEFAULT_TENANT)
    role = claims.get("role", Role.USER.value)
    if not isinstance(user, str):
        raise Unauthenticated(f'`sub` must be a JSON string, such as "42": {IDENTIFIER_RULE}.')
    if user and not is_identifier(user):
        raise Unauthenticated(f"`sub` must be an id: {IDENTIFIER_RULE}.")
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        raise Unauthenticated("`tenant` has 1 to 64 letters, digits, dots, dashes or underscores.")
    if not isinstance(role, str) or role not in set(Role):
        raise Unauthenticated("`role` is user, service or admin.")
    if role == Role.USER and not user:
        raise Unauthenticated("A token of role user needs `sub`.")
    return Principal(tenant=tenant, user=user, role=Role(role), expires_at=float(claims["exp"]))
