"""WebSocket frames and handshakes as bytes (RFC 6455)."""

import base64
import os
import struct

TEXT, BINARY, CLOSE, PING, FIN = 0x1, 0x2, 0x8, 0x9, 0x80


def frame(first: int, payload: bytes = b"", *, masked: bool = True) -> bytes:
    """Return a frame (RFC 6455, 5.2) with `first` as its first byte. The mask is zeros."""
    mask = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((first, mask | size))
    elif size < 1 << 16:
        head = bytes((first, mask | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, mask | 127)) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload


def truncated_frame(size: int) -> bytes:
    """Return the beginning of a text message that claims that size."""
    return bytes((FIN | TEXT, 0x80 | 127)) + struct.pack("!Q", size) + b"\0\0\0\0" + b"x" * 100


def handshake(**headers: str | None) -> bytes:
    """Return a handshake. A header with the value None is left out. Underscores stand for dashes."""
    key = base64.b64encode(os.urandom(16)).decode()
    sent: dict[str, str | None] = {
        "host": "x",
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec_websocket_version": "13",
        "sec_websocket_key": key,
        "sec_websocket_protocol": "graphql-transport-ws",
        **headers,
    }
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in sent.items() if value is not None]
    return "\r\n".join(["GET /graphql HTTP/1.1", *lines, "", ""]).encode("latin-1")
