"""Whether an upstream is the service itself: its URL leads to the address that is listened on."""

from __future__ import annotations

import ipaddress
import socket
from urllib.parse import urlsplit

from memory_service.composition.upstreams import all_configured
from memory_service.core.errors import StartupError
from memory_service.core.settings import Settings

_PORTS = {"http": 80, "https": 443}


def check_upstreams(settings: Settings, listener: socket.socket) -> None:
    """Raise StartupError if an upstream is the service that listens with this socket.

    A loop through other servers is found when the first request comes back.
    """
    host, port = listener.getsockname()[:2]
    for configured in all_configured(settings):
        if _leads_to(configured.entry.base_url, host, port):
            raise StartupError(
                f"{configured.endpoint.setting} is the address of this service itself. Set it to"
                " the model server's, or choose another --port."
            )


def _leads_to(url: str, host: str, port: int) -> bool:
    parts = urlsplit(url)
    if (parts.port or _PORTS[parts.scheme]) != port:
        return False
    try:
        resolved = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError:
        return False
    own = ipaddress.ip_address(host)
    addresses = {ipaddress.ip_address(str(entry[4][0]).partition("%")[0]) for entry in resolved}
    if own.is_unspecified:
        return any(_is_of_this_machine(str(address)) for address in addresses)
    return own in addresses or any(address.is_unspecified for address in addresses)


def _is_of_this_machine(address: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True
