"""Access tokens that the hub signs with its own secret. Commands import this module, so it imports no server."""

import time
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from hub.model import Role

DEFAULT_TENANT = "default"


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
    """Return a token that is signed with a secret of the hub.

    `issuer` and `audience` are required if the settings pin them. `user`: the subject, or None.
    """
    claims: dict[str, Any] = {"tenant": tenant, "role": role.value, "exp": int(time.time() + expires_in_s)}
    if user is not None:
        claims["sub"] = user
    if issuer:
        claims["iss"] = issuer
    if audience:
        claims["aud"] = audience
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(secret))
