"""Authentication by service keys and JSON Web Tokens, which are signed with the secrets of the hub (HS256) or by an
issuer with a JWKS.

Every invalid token is rejected as UNAUTHENTICATED. Algorithms are pinned, so a token cannot choose the algorithm that
verifies it.
"""

import asyncio
import time
from typing import Any

import structlog
from cachetools import LRUCache
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError
from joserfc.jwk import JWKRegistry, KeySet, OctKey

from hub.api.client_address import address_limit_key
from hub.api.service_key_authenticator import ServiceKeyAuthenticator, is_service_key
from hub.api.token_signing import DEFAULT_TENANT, sign_token
from hub.errors import Unauthenticated, Unavailable
from hub.model import ANONYMOUS, TENANT, Principal, Role
from hub.platform.outbound_http import OutboundHTTP, OutboundHTTPError
from hub.settings import Settings
from hub.unicode_text import IDENTIFIER_RULE, is_identifier

JWKS_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"]
JWKS_MAX_AGE_S = 300.0
JWKS_MIN_AGE_S = 5.0  # minimum time between two lookups of unknown keys
CACHE_SIZE = 10_000  # number of verified tokens
TOKEN_MAX_CHARS = 8192
KID_MAX_CHARS = 128  # maximum length of a key id in the log
NUMERIC_DATE_MAX = 2**53  # seconds; larger numbers are not accepted as times

log = structlog.get_logger(__name__)


def sign_token_for(settings: Settings, user: str | None, role: Role, expires_in_s: float) -> str:
    """Return a token for a hub with these settings, in the default tenant."""
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
    """Authenticates the callers of all transports."""

    def __init__(self, settings: Settings, outbound_http: OutboundHTTP, service_keys: ServiceKeyAuthenticator) -> None:
        self.service_keys = service_keys
        self._keys = [OctKey.import_key(secret.get_secret_value()) for secret in settings.jwt_secret]
        self._jwks_url = settings.jwks_url
        self._outbound_http = outbound_http
        self._jwks: KeySet | None = None
        self._fetched_at = -JWKS_MAX_AGE_S
        self._fetching = asyncio.Lock()
        self._cached: LRUCache[str, tuple[Principal, float]] = LRUCache(CACHE_SIZE)
        required: dict[str, Any] = {"exp": {"essential": True}}
        if settings.jwt_issuer:
            required["iss"] = {"essential": True, "value": settings.jwt_issuer}
        if settings.jwt_audience:
            required["aud"] = {"essential": True, "value": settings.jwt_audience}
        self._registry = _ClaimsRegistry(now=time.time, leeway=settings.jwt_leeway_s, **required)  # type: ignore[arg-type]
        self._skipped: frozenset[str] = frozenset()

    async def authenticate(self, authorization: str | None, client: tuple[str, int] | None) -> Principal:
        """Return the caller that an `Authorization` header identifies. `client` is that of the ASGI scope.

        Raise Unauthenticated for an invalid token or service key. Raise RateLimited if there were too many unknown
        service keys from this client. Raise Unavailable if the token or key cannot be verified now."""
        scheme, _, token = (authorization or "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated("The access token is missing. Send `Authorization: Bearer <token>`.")
        if len(token) > TOKEN_MAX_CHARS:
            raise Unauthenticated(f"The access token has more than {TOKEN_MAX_CHARS} characters.")
        if is_service_key(token):
            return await self.service_keys.authenticate(token, address_limit_key(client[0] if client else ""))
        cached = self._cached.get(token)
        if cached and cached[1] > time.time():
            return cached[0]
        caller = _to_principal(await self._claims(token))
        self._cached[token] = caller, min(caller.expires_at, time.time() + JWKS_MAX_AGE_S)
        return caller

    async def _claims(self, token: str) -> dict[str, Any]:
        for key in self._keys:
            if claims := self._verify(token, key, ["HS256"]):
                return claims
        if self._jwks_url:
            for max_age_s in (JWKS_MAX_AGE_S, JWKS_MIN_AGE_S):
                keys = await self._key_set(max_age_s)
                if claims := self._verify(token, keys, JWKS_ALGORITHMS):
                    return claims
        raise Unauthenticated("The access token is not valid for this hub.")

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
                f"The access token is rejected: {error.error.replace('_', ' ')}{f' ({claim})' if claim else ''}."
            ) from None
        except (ValueError, TypeError, RecursionError):
            return None
        return decoded.claims

    async def _key_set(self, max_age_s: float) -> KeySet:
        """Return the issuer's keys, at most `max_age_s` old. Older keys are used while the issuer does not respond."""
        async with self._fetching:
            if self._jwks is None or time.monotonic() - self._fetched_at > max_age_s:
                try:
                    self._jwks = self._parse_keys(await self._outbound_http.fetch_json(self._jwks_url))
                except (OutboundHTTPError, ValueError, TypeError, KeyError) as error:
                    log.warning("jwks_not_fetched", url=self._jwks_url, error=error)
                self._fetched_at = time.monotonic()
        if self._jwks is None:
            raise Unavailable("The token issuer did not respond. Try again shortly.")
        return self._jwks

    def _parse_keys(self, document: Any) -> KeySet:
        """Return the valid keys. Log a warning for each invalid key. Raise ValueError if no key is valid."""
        keys, skipped = [], {}
        for index, jwk in enumerate(document["keys"]):
            try:
                key = JWKRegistry.import_key(jwk)
                _ = key.public_key if key.key_type != "oct" else None  # some errors occur only when the key is used
                keys.append(key)
            except Exception as error:  # noqa: BLE001 - an invalid key must not affect the others
                kid = jwk.get("kid") if isinstance(jwk, dict) else None
                skipped[str(index if kid is None else kid)[:KID_MAX_CHARS]] = error
        for kid, reason in skipped.items():
            if kid not in self._skipped:
                log.warning("jwks_key_skipped", url=self._jwks_url, kid=kid, error=reason)
        self._skipped = frozenset(skipped)
        if not keys:
            raise ValueError("the key set has no valid key")
        return KeySet(keys)


class _ClaimsRegistry(jwt.JWTClaimsRegistry):
    """A claims registry without leeway for `exp`. `iat` and `nbf` have leeway for issuers whose clock is ahead."""

    def validate_exp(self, value: object) -> None:
        super().validate_exp(value)
        if isinstance(value, int | float) and value <= self.now:
            raise ExpiredTokenError("exp")
        if isinstance(value, int | float) and value > NUMERIC_DATE_MAX:
            raise InvalidClaimError("exp", "Claim 'exp' is out of range")

    def validate_sub(self, value: object) -> None:
        """Do nothing: `_to_principal` checks the claim and raises an error that explains the rule."""


def _to_principal(claims: dict[str, Any]) -> Principal:
    user = claims.get("sub", "")
    tenant = claims.get("tenant", DEFAULT_TENANT)
    role = claims.get("role", Role.USER.value)
    if not isinstance(user, str):
        raise Unauthenticated(f'`sub` must be a JSON string such as "42", with {IDENTIFIER_RULE}.')
    if user and not is_identifier(user):
        raise Unauthenticated(f"`sub` must have {IDENTIFIER_RULE}.")
    if not isinstance(tenant, str) or not TENANT.fullmatch(tenant):
        raise Unauthenticated(
            "`tenant` must have 1 to 64 letters, digits, dots, dashes or underscores, and start with a letter or digit."
        )
    if not isinstance(role, str) or role not in set(Role):
        raise Unauthenticated(f"`role` must be one of {', '.join(Role)}.")
    if role not in ANONYMOUS and not user:
        raise Unauthenticated(f"A token with role {role} requires `sub`.")
    return Principal(tenant=tenant, user=user, role=Role(role), expires_at=float(claims["exp"]))
