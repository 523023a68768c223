"""Client addresses, as limits count them."""

from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

IPV6_PREFIX_BITS = 64  # all IPv6 addresses with the same prefix usually belong to one client


def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Parse an address from a proxy header, with or without a port. Return None if it is not an IP address."""
    host = text.strip()
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    with suppress(ValueError):
        address = ip_address(host.partition("%")[0])
        return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
    return None


def address_limit_key(address: str) -> str:
    """Return the key under which the requests of an address are counted."""
    parsed = parse_address(address)
    return str(ip_network((parsed, IPV6_PREFIX_BITS), strict=False)) if isinstance(parsed, IPv6Address) else str(parsed)
