"""The server: the application under uvicorn, as a command or in a thread of another program."""

from __future__ import annotations

import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
import uvicorn
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from memory_service.api.app import create_app
from memory_service.api.auth import is_loopback
from memory_service.composition.data_folder import open_log
from memory_service.composition.own_address import check_upstreams
from memory_service.core.errors import StartupError
from memory_service.core.gc_tuning import freeze_loaded_objects
from memory_service.core.settings import Settings
from memory_service.service import Service

logger = structlog.get_logger(__name__)

SHUTDOWN_SECONDS = 30
"""How long requests in progress may continue after a signal to stop."""

_START_SECONDS = 60
_SWITCH_SECONDS = 0.0005
"""How long a computing thread keeps Python's lock while others wait for it; 5 ms by default. A
request releases the lock at each row that it reads and each change of thread, and while a bulk
writer or the indexer computes, it waits this long to get it back each time.
"""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM; requests in progress are finished first."""
    _check_exposure(settings)
    with _listen(settings) as listener:
        check_upstreams(settings, listener)
        address = _address(listener)
        with Service.open(settings, purpose=f"memory-service serve on {address}") as service:
            logger.info("listening", address=address, data_dir=str(settings.data_dir))
            freeze_loaded_objects()
            sys.setswitchinterval(_SWITCH_SECONDS)
            # More threads of OpenBLAS wait for the next product in a busy loop: a search in 100,000
            # turns took as much time of a second core as of the first.
            with threadpool_limits(limits=1, user_api="blas"):
                _server(settings, service).run(sockets=[listener])


@contextmanager
def running(settings: Settings, purpose: str) -> Iterator[str]:
    """Serve in a thread of this process; yields the base URL, without a slash at its end."""
    with _listen(settings) as listener:
        check_upstreams(settings, listener)
        with Service.open(settings, purpose=purpose) as service:
            server = _server(settings, service)
            # In a thread, so that signals go to the surrounding program.
            thread = threading.Thread(target=server.run, args=([listener],), name="server")
            thread.start()
            try:
                _wait_until_started(server, thread)
                yield _address(listener)
            finally:
                server.should_exit = True
                thread.join()


def _server(settings: Settings, service: Service) -> uvicorn.Server:
    return uvicorn.Server(
        uvicorn.Config(
            create_app(settings, opened=service),
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
        )
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise StartupError(
            f"Cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Choose another with --host and --port; port 0 takes a free one."
        ) from error
    return listener


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _check_exposure(settings: Settings) -> None:
    if is_loopback(settings.host) or settings.allowed_clients:
        return
    log = open_log(settings.data_dir)
    try:
        with log.read() as snapshot:
            if snapshot.api_keys.exist():
                return
    finally:
        log.close()
    raise StartupError(
        f"Without API keys the service listens on this machine only, not on {settings.host}. "
        "Make a key first: memory-service keys create --project NAME"
    )


def _wait_until_started(server: uvicorn.Server, thread: threading.Thread) -> None:
    pause = threading.Event()
    for _ in range(_START_SECONDS * 100):
        if server.started:
            return
        if not thread.is_alive():
            raise StartupError("The service could not start: the log lines above have the reason.")
        pause.wait(0.01)
    raise StartupError(f"The service did not start within {_START_SECONDS} seconds.")
