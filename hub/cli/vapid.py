"""`hub vapid`."""

from base64 import urlsafe_b64encode


def vapid() -> None:
    """Make a key for web push.

    Prints settings, fit for a file of them, and as a comment the public key, which `webPushKey` tells browsers. Keep
    the private key: with another one every browser has to subscribe anew.

    Example: hub vapid >> hub.env
    """
    from cryptography.hazmat.primitives.asymmetric import ec

    from hub.api.schema.devices import vapid_public_key

    secret = ec.generate_private_key(ec.SECP256R1()).private_numbers().private_value
    key = urlsafe_b64encode(secret.to_bytes(32)).decode().rstrip("=")
    print(f"# Public key: {vapid_public_key(key)}")
    print(f"HUB_VAPID_PRIVATE_KEY={key}")
    print("# Whom push services write to when something is wrong: put your address here.")
    print("HUB_VAPID_SUBJECT=mailto:ops@example.org")
