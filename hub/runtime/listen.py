"""The listening sockets of a process. They are bound first at startup, so a port in use is reported immediately."""

import errno
import resource
import socket
from contextlib import ExitStack, suppress

ADDRESS_MISSING = {errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT}  # such as ::1 in a container without IPv6

BACKLOG = 4096  # connections that the kernel queues; after a restart, all clients reconnect at once


class PortUnavailable(Exception):
    """The port cannot be bound. The text contains the port and the reason, without a final period."""


class HostUnavailable(PortUnavailable):
    """The host is not an address of this machine. The text contains the name of the setting."""


def bind(host: str, port: int) -> list[socket.socket]:
    """Return a bound socket for each address of the host, all on the same port. Port 0 selects a free port. Raise
    PortUnavailable."""
    try:
        resolved = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError, OverflowError) as error:
        raise HostUnavailable(f"HUB_HOST: {host} is not an address of this machine ({_reason(error)})") from None
    bound: list[socket.socket] = []
    last_error: OSError | None = None
    with ExitStack() as opened:
        for family, _, _, _, address in dict.fromkeys(resolved):
            try:
                listener = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                bound_port = bound[0].getsockname()[1] if bound else port
                listener.bind((address[0], bound_port, *address[2:]))
            except OSError as error:
                last_error = error
                if error.errno not in ADDRESS_MISSING:
                    raise port_error(host, port, error) from None
            else:
                bound.append(listener)
        if not bound and isinstance(last_error, OSError) and last_error.errno in ADDRESS_MISSING:
            raise HostUnavailable(f"HUB_HOST: {host} is not an address of this machine ({_reason(last_error)})")
        if not bound:
            raise port_error(host, port, last_error)
        opened.pop_all()
    return bound


def bind_optional(host: str, port: int | None) -> list[socket.socket]:
    """Return the sockets of `bind`, or an empty list without a port."""
    return [] if port is None else bind(host, port)


def accept_connections(listener: socket.socket, host: str) -> None:
    """Let the kernel queue connections. Raise PortUnavailable if another process listens on the port."""
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        raise port_error(host, listener.getsockname()[1], error) from None


def port_error(host: str, port: int, error: Exception | None) -> PortUnavailable:
    """Return the error for a port that cannot be bound."""
    if isinstance(error, OSError) and error.errno == errno.EADDRINUSE:
        return PortUnavailable(f"Port {port} on {host} is taken")
    return PortUnavailable(f"Port {port} on {host} cannot be bound ({_reason(error)})")


def _reason(error: Exception | None) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def raise_open_file_limit() -> int:
    """Raise the limit of open files to the maximum, because each socket uses one. Return the new limit."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS refuses "unlimited"
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
