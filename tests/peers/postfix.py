"""An own Postfix on loopback: own configuration, queue, data directory and port; the system's is not touched.

Needs Debian's ``postfix`` and root (its master starts daemons under other users). Everything lives below
one directory that Postfix's users must be able to enter, so it is made outside of pytest's private one.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = os.environ.get("PATH", "") + ":/usr/sbin:/usr/lib/postfix/sbin"
DAEMONS = Path("/usr/lib/postfix/sbin")

STOCK: Mapping[str, str] = {}
"""Nothing but what makes it a relay on loopback; every other value is Postfix's own default."""

TUNED: Mapping[str, str] = {
    "in_flow_delay": "0",
    "smtpd_peername_lookup": "no",
    "smtpd_client_connection_count_limit": "0",
    "smtpd_client_connection_rate_limit": "0",
    "smtpd_delay_reject": "no",
    "smtpd_relay_restrictions": "permit_mynetworks, reject",
    "smtpd_recipient_restrictions": "",
    "receive_override_options": "no_address_mappings",
    "local_header_rewrite_clients": "",
    "initial_destination_concurrency": "20",
    "default_destination_concurrency_positive_feedback": "1",
    "smtp_dns_support_level": "disabled",
    "smtp_connection_cache_destinations": "static:all",
    "smtp_connection_reuse_time_limit": "3600s",
    "smtp_tls_security_level": "none",
    "smtpd_tls_security_level": "none",
    "max_use": "100000",
}
"""What a person tuning it for this work would set: no checks, rewriting or lookups, connections kept open."""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup     unix  n  -  n  60     1  pickup
cleanup    unix  n  -  n  -      0  cleanup
qmgr       unix  n  -  n  300    1  qmgr
tlsmgr     unix  -  -  n  1000?  1  tlsmgr
rewrite    unix  -  -  n  -      -  trivial-rewrite
bounce     unix  -  -  n  -      0  bounce
defer      unix  -  -  n  -      0  bounce
trace      unix  -  -  n  -      0  bounce
verify     unix  -  -  n  -      1  verify
flush      unix  n  -  n  1000?  0  flush
proxymap   unix  -  -  n  -      -  proxymap
proxywrite unix  -  -  n  -      1  proxymap
smtp       unix  -  -  n  -      -  smtp
relay      unix  -  -  n  -      -  smtp
showq      unix  n  -  n  -      -  showq
error      unix  -  -  n  -      -  error
retry      unix  -  -  n  -      -  error
discard    unix  -  -  n  -      -  discard
local      unix  -  n  n  -      -  local
virtual    unix  -  n  n  -      -  virtual
lmtp       unix  -  -  n  -      -  lmtp
anvil      unix  -  -  n  -      1  anvil
scache     unix  -  -  n  -      1  scache
postlog    unix-dgram n  -  n  -  1  postlogd
"""


def is_available() -> bool:
    """Say whether an own Postfix can be started here."""
    return os.geteuid() == 0 and shutil.which("postfix", path=PROGRAMS) is not None


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for_port(port: int, *, seconds: float = 20.0) -> None:
    """Return when something accepts connections on a loopback port; raise ``TimeoutError`` else."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"nothing listens on 127.0.0.1:{port} after {seconds} s")
        time.sleep(0.02)


@dataclass(frozen=True, slots=True, kw_only=True)
class Postfix:
    """A running instance."""

    directory: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def log(self) -> str:
        """Everything it logged."""
        path = self.directory / "mail.log"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    @property
    def master_pid(self) -> int:
        """Process id of its master."""
        return int((self.directory / "queue/pid/master.pid").read_text(encoding="ascii"))

    def queued(self) -> int:
        """Count the messages in its queue, by their files."""
        queue = self.directory / "queue"
        return sum(
            1
            for name in ("incoming", "active", "deferred", "maildrop", "hold")
            for path in (queue / name).rglob("*")
            if path.is_file()
        )


@contextlib.contextmanager
def running(
    *, relay_to: int | None, settings: Mapping[str, str] = STOCK, parent: Path | None = None
) -> Iterator[Postfix]:
    """Start a Postfix that relays all mail to a loopback port, or discards it; stop it at the end.

    Args:
        relay_to: The port of the next server; ``None`` discards mail after it was queued.
        settings: Lines of ``main.cf`` on top of what makes it a relay.
        parent: Where its directory is made; ``None`` is the system's temporary directory.
    """
    directory = Path(tempfile.mkdtemp(prefix="postfix-", dir=parent))
    directory.chmod(0o755)
    port = free_port()
    lines = _main_cf(directory, relay_to) | dict(settings)
    (directory / "etc").mkdir()
    (directory / "queue").mkdir()
    (directory / "data").mkdir()
    shutil.chown(directory / "data", "postfix")
    text = "".join(f"{name} = {value}\n" for name, value in lines.items())
    (directory / "etc/main.cf").write_text(text, encoding="ascii")
    (directory / "etc/master.cf").write_text(MASTER_CF.format(port=port), encoding="ascii")
    try:
        _command(directory, "start")
        wait_for_port(port)
        instance = Postfix(directory=directory, port=port, settings=dict(settings))
        try:
            yield instance
        finally:
            _stop(instance)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _main_cf(directory: Path, relay_to: int | None) -> dict[str, str]:
    way_out = (
        {"default_transport": "discard:"}
        if relay_to is None
        else {"default_transport": "smtp", "relayhost": f"[127.0.0.1]:{relay_to}"}
    )
    return {
        "compatibility_level": "3.6",
        "queue_directory": str(directory / "queue"),
        "data_directory": str(directory / "data"),
        "command_directory": "/usr/sbin",
        "daemon_directory": str(DAEMONS),
        "maillog_file": str(directory / "mail.log"),
        "maillog_file_prefixes": str(directory),
        "inet_interfaces": "127.0.0.1",
        "inet_protocols": "ipv4",
        "mynetworks": "127.0.0.0/8",
        "myhostname": "postfix.example.com",
        "mydestination": "",
        "local_recipient_maps": "",
        "alias_maps": "",
        "alias_database": "",
        "multi_instance_enable": "no",
        "syslog_name": "postfix-test",
        **way_out,
    }


def _command(directory: Path, verb: str) -> None:
    program = shutil.which("postfix", path=PROGRAMS)
    if program is None:
        raise FileNotFoundError("postfix is not installed")
    done = subprocess.run(
        [program, "-c", str(directory / "etc"), verb], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode != 0:
        log = directory / "mail.log"
        raise RuntimeError(f"postfix {verb}: {done.stderr}{log.read_text() if log.exists() else ''}")


def _stop(instance: Postfix) -> None:
    """End the master by its pid and wait until its daemons are gone; they hold their files open till then."""
    pid = instance.master_pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)
