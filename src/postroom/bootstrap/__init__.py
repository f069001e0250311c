"""The wiring: settings in, a running Postroom out. The only place that knows engine and adapters both."""

from postroom.bootstrap.direct import backup_offline, send_direct
from postroom.bootstrap.serve import Started, run_server

__all__ = ["Started", "backup_offline", "run_server", "send_direct"]
