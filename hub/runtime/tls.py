"""TLS for deployments without a proxy."""

import ssl
from pathlib import Path

from hub.settings import Settings


class CertificateError(Exception):
    """The certificate cannot be used. The text contains the reason and the name of the setting."""


def server_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the SSL context that the settings configure, or None for plain HTTP. Raise CertificateError."""
    certificate, key, authorities = settings.ssl_certfile, settings.ssl_keyfile, settings.ssl_ca_certs
    if certificate is None:
        if key or authorities:
            raise CertificateError("HUB_SSL_CERTFILE (--ssl-certfile) is missing: TLS requires it.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    password = settings.ssl_keyfile_password.get_secret_value() if settings.ssl_keyfile_password else ""
    files = _read("CERTFILE", certificate), _read("KEYFILE", key or certificate)
    try:
        context.load_cert_chain(
            certificate, key, lambda: password
        )  # without a function, OpenSSL would prompt on the terminal
    except (ssl.SSLError, ValueError) as error:  # ValueError: the password is too long
        raise CertificateError(_load_error(settings, *files, error)) from None
    if authorities:
        _read("CA_CERTS", authorities)
        try:
            context.load_verify_locations(authorities)
        except ssl.SSLError:
            raise CertificateError(
                _setting_error("CA_CERTS", authorities, "does not contain a certificate in PEM format")
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def _read(name: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(_setting_error(name, path, f"cannot be read ({error.strerror})")) from None


def _load_error(settings: Settings, certificate: bytes, key: bytes, error: Exception) -> str:
    if b"BEGIN CERTIFICATE" not in certificate:
        return _setting_error("CERTFILE", settings.ssl_certfile, "does not contain a certificate in PEM format")
    if b"PRIVATE KEY" not in key:
        return _setting_error(
            "KEYFILE", settings.ssl_keyfile or settings.ssl_certfile, "does not contain a private key in PEM format"
        )
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return _setting_error("KEYFILE", settings.ssl_keyfile, f"is not the key of {settings.ssl_certfile}")
    if b"ENCRYPTED" in key:
        return _setting_error(
            "KEYFILE_PASSWORD", None, f"is not the password of {settings.ssl_keyfile or settings.ssl_certfile}"
        )
    return _setting_error(
        "CERTFILE", settings.ssl_certfile, f"cannot be used ({getattr(error, 'reason', None) or error})"
    )


def _setting_error(name: str, path: Path | None, fault: str) -> str:
    option = name.lower().replace("_", "-")
    return f"HUB_SSL_{name} (--ssl-{option}){f': {path}' if path else ''} {fault}."
