"""Structured logs: one line a record, one id end to end, secrets never in them.

Records go to standard error through the standard logging machinery's handler-free fast path of structlog.
``bound`` names: ``message_id``, ``transport``, ``attempt``, ``cause``.
"""

import logging
import sys
from typing import Any, cast

import structlog


def configure_logging(*, json: bool, level: int = logging.INFO) -> None:
    """Send records of ``level`` and above to standard error, as JSON or for people."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if json
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return the logger of one part of the program."""
    return cast("structlog.typing.FilteringBoundLogger", structlog.get_logger(part=name))
