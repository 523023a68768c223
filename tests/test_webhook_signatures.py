"""Signatures of webhooks, as Standard Webhooks defines them."""

from base64 import b64encode
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from hub.ids import new_secret
from hub.platform.webhook_signature import sign_headers

# All of one length, because HMAC treats a short key and the same key with trailing zeros alike.
keys = st.binary(min_size=32, max_size=32).map(lambda key: f"whsec_{b64encode(key).decode()}")


@settings(max_examples=100)
@given(st.lists(keys, min_size=1, max_size=3, unique=True), keys, st.text(max_size=200), st.uuids())
def test_signatures_verify_with_each_secret_and_no_other(known: list[str], other: str, text: str, id: Any) -> None:
    body = orjson.dumps({"text": text})
    headers = sign_headers(str(id), body, known, datetime.now(UTC))
    assert len(headers["webhook-signature"].split(" ")) == len(known)
    for secret in known:
        assert Verifier(secret).verify(body, headers) == {"text": text}
    invalid = [(other, body, headers)] if other not in known else []
    invalid += [
        (known[0], body + b" ", headers),
        (known[0], body, headers | {"webhook-id": "another"}),
        (known[0], body, headers | {"webhook-timestamp": str(int(headers["webhook-timestamp"]) + 1)}),
    ]
    for secret, output, under in invalid:
        with pytest.raises(WebhookVerificationError):
            Verifier(secret).verify(output, under)


def test_signature_equals_the_example_of_the_standard() -> None:
    """https://github.com/standard-webhooks/standard-webhooks, the reference vectors of its libraries."""
    headers = sign_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
        datetime.fromtimestamp(1614265330, UTC),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_new_secret_is_valid_in_the_standard() -> None:
    existing = {new_secret() for _ in range(100)}
    assert len(existing) == 100
    assert all(secret.startswith("whsec_") for secret in existing)
