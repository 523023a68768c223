"""`hub vapid`: create a key pair for web push."""

from hub import base64url


def vapid() -> None:
    """Create a key pair for web push.

    Prints the settings in the format of an environment file, with the public key as a comment. Browsers read the public
    key from the `webPushKey` field. Do not change the private key later: every browser would have to subscribe again.

    Example: hub vapid >> hub.env
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    from hub.api.vapid import vapid_public_key

    secret = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    key = base64url.encode(secret.to_bytes(32))
    print(f"# Public key: {vapid_public_key(key)}")
    print(f"HUB_VAPID_PRIVATE_KEY={key}")
    print("# Contact for push services: replace with your address.")
    print("HUB_VAPID_SUBJECT=mailto:ops@example.org")
