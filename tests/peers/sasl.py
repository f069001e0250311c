"""A Postfix on loopback whose logins are judged by Dovecot, with two users.

Needs Debian's ``postfix`` and ``dovecot-core``, and root. Nothing of the system's own servers is touched:
configuration, sockets and users live in a directory of their own.
"""

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from base64 import b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import trustme

from peers import postfix

USER = "user@example.com"
HASHED_USER = "hashed@example.com"
"""Has the same password, kept as a hash that is of no use to SCRAM."""
PASSWORD = "p\u00e4ss, =w\u00f6rd"
"""With everything that SCRAM quotes or normalises."""
HOST = "mail.example.com"

DOVECOT_CONF = """\
protocols =
base_dir = {directory}/run
state_dir = {directory}/run
log_path = {directory}/dovecot.log
ssl = no
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256 xoauth2 oauthbearer
auth_failure_delay = 0
default_internal_user = dovecot
default_login_user = dovenull
passdb {{
  driver = passwd-file
  mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
  args = scheme=PLAIN username_format=%u {directory}/users
}}
passdb {{
  driver = oauth2
  mechanisms = xoauth2 oauthbearer
  args = {directory}/oauth2
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  unix_listener {directory}/auth {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""
OAUTH2 = """\
introspection_mode = post
introspection_url = http://127.0.0.1:{port}/
username_attribute = email
"""


@contextlib.contextmanager
def dovecot(*, tokens_at: int) -> Iterator[dict[str, str]]:
    """Run Dovecot's judge of logins; yield the lines of Postfix's ``main.cf`` that ask it.

    ``tokens_at`` is the loopback port of an HTTP server that it asks for the user of a token.
    """
    with _directory() as directory:
        digest = b64encode(sha256(PASSWORD.encode() + b"salt").digest() + b"salt").decode()
        users = f"{USER}:{{PLAIN}}{PASSWORD}::::::\n{HASHED_USER}:{{SSHA256}}{digest}::::::\n"
        (directory / "users").write_text(users, encoding="utf-8")
        (directory / "oauth2").write_text(OAUTH2.format(port=tokens_at), encoding="ascii")
        config = directory / "dovecot.conf"
        config.write_text(DOVECOT_CONF.format(directory=directory), encoding="ascii")
        program = shutil.which("dovecot", path=postfix.PROGRAMS)
        assert program is not None
        process = subprocess.Popen([program, "-F", "-c", config])
        try:
            _wait_for(directory / "auth", process)
            yield {"smtpd_sasl_type": "dovecot", "smtpd_sasl_path": str(directory / "auth")}
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@contextlib.contextmanager
def submission(judge: dict[str, str], authority: trustme.CA) -> Iterator[postfix.Postfix]:
    """Run a Postfix that takes mail over TLS from whoever has logged in."""
    with _directory() as directory:
        certificate = authority.issue_cert(HOST, "127.0.0.1")
        pem = directory / "server.pem"
        certificate.private_key_and_cert_chain_pem.write_to_path(str(pem))
        rules = {
            "smtpd_sasl_auth_enable": "yes",
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_tls_security_level": "may",
            "smtpd_tls_cert_file": str(pem),
            "smtpd_tls_key_file": str(pem),
            "smtpd_tls_auth_only": "yes",
            "smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
            **judge,
        }
        with postfix.running(relay_to=None, settings=rules) as running:
            yield running


@contextlib.contextmanager
def _directory() -> Iterator[Path]:
    """Make a directory that the servers' users may enter."""
    directory = Path(tempfile.mkdtemp(prefix="sasl-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _wait_for(path: Path, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        if process.poll() is not None or time.monotonic() > deadline:
            log = path.parent / "dovecot.log"
            raise RuntimeError(f"dovecot did not start: {log.read_text() if log.exists() else ''}")
        time.sleep(0.02)
