"""The sockets that the API listens on, bound before anything else is opened: a taken port costs no wait."""

import errno
import resource
import socket
from contextlib import ExitStack, suppress

ADDRESS_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # such as ::1 of localhost in a container without IPv6


class PortUnavailable(Exception):
    """The port can't be had; the text says which and why, without a full stop."""


class HostUnavailable(PortUnavailable):
    """There is nothing to listen on, whatever the port; the text names the setting."""


def bind(host: str, port: int) -> list[socket.socket]:
    """A bound socket for each address of the host, all on one port; port 0 takes a free one. Raises PortUnavailable."""
    try:
        found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise HostUnavailable(f"HUB_HOST: {host} is no address of this machine ({_reason(error)})") from None
    bound: list[socket.socket] = []
    refused: OSError | None = None
    with ExitStack() as opened:
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                taken = bound[0].getsockname()[1] if bound else port
                listener.bind((address[0], taken, *address[2:]))
            except OSError as error:
                refused = error
                if error.errno not in ADDRESS_MISSING:
                    raise port_error(host, port, error) from None
            else:
                bound.append(listener)
        if not bound and isinstance(refused, OSError) and refused.errno in ADDRESS_MISSING:
            raise HostUnavailable(f"HUB_HOST: {host} is no address of this machine ({_reason(refused)})")
        if not bound:
            raise port_error(host, port, refused)
        opened.pop_all()
    return bound


def port_error(host: str, port: int, error: Exception | None) -> PortUnavailable:
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return PortUnavailable(f"Port {port} on {host} is taken")
    return PortUnavailable(f"Port {port} on {host} can't be had ({_reason(error)})")


def _reason(error: Exception | None) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def raise_open_file_limit() -> int:
    """Lets this process open as many files as the system allows it, for each socket is one; answers how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
