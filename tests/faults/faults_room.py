"""Servers for fault tests: settings that let failures heal in seconds, and a body of work to do."""

from pathlib import Path
from typing import Any

from peers.fork_server import ForkServer
from peers.postroom_process import UNBENT, PostroomProcess

SETTINGS = """
[[transports]]
name = "main"
url = "{url}"
{transport}

[classes.alert]
first_retry = "200 ms"
max_retry = "1 s"

{more}
"""


def a_server(
    data: Path,
    port: int,
    *,
    forks: ForkServer = UNBENT,
    home: Path | None = None,
    login: str = "",
    transport: str = "",
    more: str = "",
    **options: Any,
) -> PostroomProcess:
    """Return a server, not started, that sends to ``port`` on loopback.

    Args:
        data: its data directory.
        port: of the sink.
        home: where settings and log go; beside the data by default.
        forks: what starts it.
        login: ``user:password@`` of the transport's URL.
        transport: more settings of the transport.
        more: more settings, at the end.
        options: of ``PostroomProcess``.
    """
    url = f"smtp://{login}127.0.0.1:{port}?starttls=never"
    home = home or data.parent
    config = home / f"{data.name}.toml"
    config.write_text(SETTINGS.format(url=url, transport=transport, more=more))
    return PostroomProcess(data, home=home, args=("--config", str(config)), forks=forks, **options)
