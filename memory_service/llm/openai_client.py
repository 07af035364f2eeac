"""OpenAI's official client: how it is opened, and what its errors mean.

Messages of a server are not passed on: some repeat the texts they were sent, and errors are logged.
"""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from openai import APIStatusError, OpenAI

from memory_service.core.errors import StartupError

_PASSING = frozenset({408, 409, 425, 429})
_NEARBY = (".localhost", ".local", ".internal", ".lan", ".home.arpa")
_CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")


def plain_client(url: str, api_key: str | None) -> OpenAI:
    """Return a client that tries once and sends only what it is given."""
    # A server without keys accepts any key.
    client = OpenAI(base_url=url, api_key=api_key or "none", max_retries=0)
    # Else the client takes these from environment variables that are meant for other programs.
    client.organization = client.project = client.admin_api_key = None
    return client


def address_of(url: str, setting: str) -> str:
    """Return a server's address without path and password, for messages.

    Raises StartupError, which names the setting, if it is not a URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_url(setting) from error
    if parts.scheme not in {"http", "https"} or not host:
        raise _bad_url(setting)
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")


def is_nearby(url: str) -> bool:
    """Return whether a server is on this machine or a private network, by its name or address.

    Such servers need no key. A name without a dot is another container's, and no public name has
    one of the endings.
    """
    host = (urlsplit(url).hostname or "").lower()
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_NEARBY)


def may_pass(error: APIStatusError) -> bool:
    """Return whether the same request may succeed later."""
    return error.status_code in _PASSING or error.status_code >= 500


def codes(error: APIStatusError) -> str:
    """Return an error's code and parameter, if they are plain words."""
    plain = [part for part in (error.code, error.param) if part and _CODE.fullmatch(str(part))]
    return f" ({', '.join(plain)})" if plain else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the wait that a server asks for, in seconds; None if it asks for none."""
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1_000
    value = headers.get("retry-after")
    seconds = _number(value)
    return _until(value) if seconds is None else seconds


def _bad_url(setting: str) -> StartupError:
    return StartupError(f"{setting} is not a URL such as http://127.0.0.1:11434/v1.")


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _until(date: str | None) -> float | None:
    try:
        then = parsedate_to_datetime(date or "")
    except ValueError:
        return None
    # HTTP dates are in UTC.
    then = then if then.tzinfo else then.replace(tzinfo=UTC)
    return max(0.0, (then - datetime.now(UTC)).total_seconds())
