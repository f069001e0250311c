"""Prometheus and Alertmanager as Debian brings them, on loopback, with the shortest clocks they take.

``--rules.alert.resend-delay``: Prometheus tells what fires, and for a quarter of an hour what is over, again
after so long; a minute unless set.
"""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from peers.postroom_process import free_port

START_S = 30.0

_PROMETHEUS = """
global: {{scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}}
rule_files: [rules.yml]
scrape_configs:
  - job_name: shop
    static_configs: [{{targets: ["127.0.0.1:{target}"]}}]
alerting:
  alertmanagers:
    - authorization: {{credentials: "{key}"}}
      static_configs: [{{targets: ["127.0.0.1:{port}"]}}]
"""
_RULES = """
groups:
  - name: shop
    rules:
      - alert: ShopDown
        expr: up{job="shop"} == 0
        labels: {severity: critical, team: shop}
        annotations: {summary: "the shop does not answer", description: "{{ $labels.instance }} is down"}
"""
_ALERTMANAGER = """
route:
  {{receiver: postroom, group_by: [alertname], group_wait: 100ms, group_interval: 200ms, repeat_interval: 1h}}
receivers:
  - name: postroom
    webhook_configs:
      - url: {url}
        send_resolved: true
        http_config: {{authorization: {{credentials: "{key}"}}}}
"""


@contextmanager
def prometheus(home: Path, *, port: int, key: str, target: int) -> Iterator[None]:
    """Run Prometheus: it watches 127.0.0.1:``target`` and posts alerts to the server at ``port``."""
    home.mkdir()
    (home / "prometheus.yml").write_text(_PROMETHEUS.format(target=target, key=key, port=port))
    (home / "rules.yml").write_text(_RULES)
    own = free_port()
    arguments = [
        "prometheus",
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        "--rules.alert.resend-delay=500ms",
    ]
    with _running(arguments, home, f"http://127.0.0.1:{own}/-/ready"):
        yield


@contextmanager
def alertmanager(home: Path, *, url: str, key: str) -> Iterator[str]:
    """Run Alertmanager: it posts to the webhook ``url``; yield where it takes alerts."""
    home.mkdir()
    (home / "alertmanager.yml").write_text(_ALERTMANAGER.format(url=url, key=key))
    own = free_port()
    arguments = [
        "prometheus-alertmanager",
        f"--config.file={home / 'alertmanager.yml'}",
        f"--storage.path={home / 'data'}",
        f"--web.listen-address=127.0.0.1:{own}",
        "--cluster.listen-address=",
    ]
    base = f"http://127.0.0.1:{own}"
    with _running(arguments, home, f"{base}/-/ready"):
        yield f"{base}/api/v2/alerts"


def post_json(url: str, value: object) -> int:
    """Post to one of them and return the status."""
    return httpx2.post(url, json=value, timeout=10).status_code


@contextmanager
def _running(arguments: list[str], home: Path, ready: str) -> Iterator[None]:
    log_path = home / "log"
    with log_path.open("wb") as log, subprocess.Popen(arguments, cwd=home, stdout=log, stderr=log) as process:
        try:
            _wait_until_ready(process, ready, log_path)
            yield
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_ready(process: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    ends_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < ends_at:
        try:
            if httpx2.get(url, timeout=2).status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"it did not start:\n{log.read_text()[-3000:]}")
