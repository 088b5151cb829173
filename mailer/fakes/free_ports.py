"""A port for a program that is about to start."""

from __future__ import annotations

import secrets
import socket

_FIRST_PORT, _LAST_PORT = (
    10_000,
    32_000,
)  # below those that systems give to outgoing connections, one of which would take it meanwhile
_MAX_PORT_TRIES = 100


def find_free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens at. Raises OSError if none is found."""
    for _try in range(_MAX_PORT_TRIES):
        port = _FIRST_PORT + secrets.randbelow(_LAST_PORT - _FIRST_PORT)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port
    raise OSError("no port is free")
