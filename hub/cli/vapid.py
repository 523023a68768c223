"""`hub vapid`: create a key for web push."""

from hub import base64url


def vapid() -> None:
    """Create a key for web push.

    Prints the settings in the format of an environment file, and the public key as a comment. Browsers get the public
    key from `webPushKey`. Keep the private key. After a change, every browser must subscribe again.

    Example: hub vapid >> hub.env
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    from hub.api.schema.devices import vapid_public_key

    secret = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    key = base64url.encode(secret.to_bytes(32))
    print(f"# Public key: {vapid_public_key(key)}")
    print(f"HUB_VAPID_PRIVATE_KEY={key}")
    print("# Contact for push services: replace with your address.")
    print("HUB_VAPID_SUBJECT=mailto:ops@example.org")
