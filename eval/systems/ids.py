"""Ids of a data set as ids that the service accepts, and back."""

from __future__ import annotations

import re

from memory_service.items.fields import check_id

_UNUSUAL = re.compile(rb"[^A-Za-z0-9-]")
_ESCAPED = re.compile(rb"_([0-9a-f]{2})")


def service_id(dataset_id: str) -> str:
    """Return an id that the service accepts: unusual bytes as `_` and two hexadecimal digits.

    `dataset_id` undoes it. Raises InvalidRequest for an id that becomes too long.
    """
    # The pattern leaves ASCII only. `_` begins an escape, so it is itself escaped.
    escaped = _UNUSUAL.sub(lambda match: b"_%02x" % ord(match[0]), dataset_id.encode())
    return check_id(escaped.decode("ascii"), dataset_id)


def dataset_id(accepted: str) -> str:
    """Return the data set's id of a `service_id`."""
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[1].decode()), accepted.encode()).decode()
