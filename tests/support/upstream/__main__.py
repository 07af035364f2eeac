"""Serve paced answers until the process ends; the first line printed is the address."""

from __future__ import annotations

import socket
import sys

from tests.support.upstream.behaviours import paced
from tests.support.upstream.server import Upstream, http_server


def main() -> None:
    """Serve on the port that is given, or on a free one."""
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    with socket.create_server(("127.0.0.1", port)) as listener:
        upstream = Upstream()
        upstream.strict = False
        upstream.answer = paced
        print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)  # noqa: T201
        http_server(upstream.app()).run([listener])


if __name__ == "__main__":
    main()
