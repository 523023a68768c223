"""`hub healthcheck`: check that the process on this machine responds.

It imports little, because supervisors run it often."""

import http.client
import os
import socket
import ssl
import sys

TIMEOUT_S = 3.0
DEFAULT_PORT = "8000"
EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - what a process listens on, by what to call


def healthcheck() -> None:
    """Exit with status 0 if the hub process on this machine responds, and with status 1 otherwise.

    Requests `/healthz` at HUB_PORT, and if nothing listens there, at HUB_WORK_PORT. Intended for the health check of a
    container. The result does not depend on MongoDB and Redis: use `/readyz` to decide whether a process gets requests.

    Example: HUB_PORT=8000 hub healthcheck
    """
    host = os.environ.get("HUB_HOST") or "127.0.0.1"
    host = EVERY_ADDRESS.get(host, host)
    work_port = os.environ.get("HUB_WORK_PORT")
    problem = _check(host, os.environ.get("HUB_PORT") or DEFAULT_PORT, bool(os.environ.get("HUB_SSL_CERTFILE")))
    if problem and work_port:
        problem = _check(host, work_port, secure=False) and problem
    if problem:
        hint = "" if work_port else " For `hub work` and `hub intake`, set HUB_WORK_PORT."
        print(f"{problem}{hint}", file=sys.stderr)
        sys.exit(1)


def _check(host: str, port: str, secure: bool) -> str:
    """Return what is wrong, or an empty string."""
    context = ssl.create_default_context()
    context.check_hostname = False  # the certificate has the public name
    context.verify_mode = ssl.CERT_NONE
    try:
        if secure and os.environ.get("HUB_SSL_CA_CERTS"):  # only clients with a certificate may send requests
            with socket.create_connection((host, int(port)), TIMEOUT_S) as plain, context.wrap_socket(plain):
                return ""
        connection = (
            http.client.HTTPSConnection(host, int(port), timeout=TIMEOUT_S, context=context)
            if secure
            else http.client.HTTPConnection(host, int(port), timeout=TIMEOUT_S)
        )
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
        connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        return f"No hub responds at {host}:{port}: {error}."
    return "" if status == http.client.OK else f"The hub at {host}:{port} responds with the status {status}."
