"""Structured logs: a constant sentence plus fields, on the console or as JSON lines on stderr.

No field ever holds the text of a turn, a query or a key.
"""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog


def configure(style: Literal["console", "json"], level: str) -> None:
    """Send the logs of this process and of its libraries to stderr, in one shape."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if style == "json"
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(),
            # The default one shows local variables, and so the turns that were being stored.
            exception_formatter=structlog.dev.plain_traceback,
        )
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        # A cached logger keeps the configuration it met first, even one whose stream is closed:
        # a second command in one process, or a captured log in a test, would see nothing.
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info if style == "json" else _as_it_is,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # At debug, openai's client writes whole requests: the text of turns.
    for noisy in ("httpx", "httpx2", "openai", "chromadb", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _as_it_is(
    _logger: object, _name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return event
