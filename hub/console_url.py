"""Addresses of pages of the operator console."""

from urllib.parse import quote

PAGES = {"send": "sends", "delivery": "deliveries", "user": "users"}


def console_url(hub_url: str, record: str, id: str) -> str:
    """Return the address of the page of a `send`, a `delivery`, or a `user`."""
    return f"{hub_url.rstrip('/')}/console/{PAGES[record]}/{quote(id, safe='')}"
