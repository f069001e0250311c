"""SpamAssassin and rspamd as Debian brings them, without any network: what they hold against a mail."""

import json
import os
import re
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Hits = Mapping[str, float]
"""The rules of positive score that matched, with the score."""

_STATUS = re.compile(rb"^X-Spam-Status: .* tests=(.*)\n(?:.*\n)*?X-Key: (.*)$", re.MULTILINE)
_PREFERENCES = """\
use_bayes 0
report_safe 0
fold_headers 0
add_header all Status "_YESNO_, tests=_TESTSSCORES(,)_"
"""

RSPAMD = """
.include "$CONFDIR/common.conf"
options {{
    pidfile = "{home}/rspamd.pid";
    control_socket = "{home}/rspamd.sock mode=0600";
    cache_file = "{home}/symbols.cache";
    hs_cache_dir = "{home}";
    disable_hyperscan = true;
    url_tld = "{home}/suffixes";
    filters = "chartable,regexp";
    dns {{ timeout = 0.01s; retransmits = 1; nameserver = "127.0.0.1:1"; }}
}}
logging {{ type = "console"; level = "error"; }}
worker "normal" {{ bind_socket = "127.0.0.1:{port}"; count = 1; }}
"""
_ASK_OTHERS = (
    *(
        "antivirus",
        "arc",
        "asn",
        "bimi",
        "dkim",
        "dkim_signing",
        "dmarc",
        "fuzzy_check",
        "greylist",
        "hfilter",
    ),
    *("history_redis", "mx_check", "neural", "phishing", "ratelimit", "rbl", "replies", "reputation"),
    *("rspamd_update", "spf", "surbl", "url_redirector"),
)
"""Modules that need DNS, Redis or the internet."""


def spamassassin(mails: Mapping[str, bytes], home: Path) -> dict[str, Hits]:
    """Let SpamAssassin judge mails by its local rules, in one process; the keys are the caller's."""
    mailbox = home / "mails"
    separator = b"From mail@example.com Sun Nov 22 12:00:00 2026\n"
    mailbox.write_bytes(
        b"".join(
            separator + f"X-Key: {key}\n".encode("ascii") + mail.replace(b"\r\n", b"\n") + b"\n"
            for key, mail in mails.items()
        )
    )
    preferences = home / "user_prefs"
    preferences.write_text(_PREFERENCES, encoding="ascii")
    seen = subprocess.run(
        ["spamassassin", "--local", "--prefspath", preferences, "--mbox", mailbox],
        capture_output=True,
        check=True,
        timeout=100,
        env={**os.environ, "HOME": str(home)},
    )
    found = {
        match[2].decode("ascii"): _positive(match[1].decode("ascii"))
        for match in _STATUS.finditer(seen.stdout)
    }
    assert mails.keys() == found.keys()  # it answers in an order of its own
    return found


def _positive(rules: str) -> Hits:
    pairs = (rule.split("=") for rule in rules.split(",") if "=" in rule)
    return {name: float(score) for name, score in pairs if float(score) > 0}


def rspamd(mails: Mapping[str, bytes], home: Path) -> dict[str, Hits]:
    """Let rspamd judge mails by what it can do without asking anybody."""
    with _rspamd(home) as url:
        return {key: _judged(url, mail) for key, mail in mails.items()}


def _judged(url: str, mail: bytes) -> Hits:
    envelope = {"From": "mail@example.com", "Rcpt": "bob@example.net", "Helo": "mail.example.com"}
    request = urllib.request.Request(f"{url}/checkv2", mail, envelope)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - as above
        symbols = json.load(answer)["symbols"]
    return {name: symbol["score"] for name, symbol in symbols.items() if symbol["score"] > 0}


@contextmanager
def _rspamd(home: Path) -> Iterator[str]:
    """Run rspamd with its own rules and a short list of suffixes (the long one takes 15 s to read)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (home / "suffixes").write_text("com\nnet\norg\n", encoding="ascii")
    (home / "local.d").mkdir()
    for module in _ASK_OTHERS:
        (home / "local.d" / f"{module}.conf").write_text("enabled = false;\n", encoding="ascii")
    settings = home / "rspamd.conf"
    settings.write_text(RSPAMD.format(home=home, port=port), encoding="ascii")
    places = [f"--var={name}={home}" for name in ("LOCAL_CONFDIR", "RUNDIR", "DBDIR", "LOGDIR")]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            ["rspamd", "--no-fork", "--insecure", "--config", settings, *places], stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while not _answers(url):
            assert server.poll() is None, (home / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield url
    finally:
        server.terminate()
        server.wait(timeout=30)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/ping", timeout=5):  # noqa: S310 - our own server
            return True
    except OSError:
        return False
