"""What is seen of a running program: its log and its metrics. ``catalogue`` lists every metric."""

from postroom.telemetry.logs import configure_logging, logger

__all__ = ["configure_logging", "logger"]
