"""What is seen of a real server: its figures are what happened, its log is whole, its secrets are nowhere."""

import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from peers.ledger_sink import Command, LedgerSink, Say
from peers.postroom_process import KEY, PostroomProcess

pytestmark = pytest.mark.slow

PASSWORD = "planted-Passw0rd/#1"
QUOTED = "planted-Passw0rd%2F%231"


def figures(server: PostroomProcess) -> dict[tuple[str, frozenset[str]], float]:
    """Return every sample by its name and the values of its labels."""
    status, text = server.call("GET", "/metrics")
    assert 200 == status
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def figure(server: PostroomProcess, name: str, *labels: str) -> float:
    return figures(server).get((name, frozenset(labels)), 0)


def send(server: PostroomProcess, to: list[str], **more: Any) -> tuple[int, Any]:
    headers = {"Prefer": "wait=20", **more.pop("headers", {})}
    return server.call(
        "POST", "/v1/messages", {"to": to, "subject": "s", "text": "t", **more}, headers=headers
    )


def test_the_figures_are_what_was_sent(tmp_path: Path) -> None:
    """Messages, recipients by outcome and state, refusals, commits and answers equal the traffic."""

    def refuse(address: str) -> bytes | None:
        return {"no": b"550 5.1.1 no such user\r\n", "later": b"450 4.2.1 busy\r\n"}.get(
            address.partition("@")[0]
        )

    with LedgerSink(refuse) as sink:
        environ = {"POSTROOM_FROM": "app@example.com", "POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        with PostroomProcess(tmp_path / "data", environ=environ) as server:
            for number in range(5):
                send(server, [f"a{number}@example.net", f"b{number}@example.net"])
            send(server, ["no@example.net", "later@example.net", "yes@example.net"], **{"class": "code"})
            key = {"Idempotency-Key": "one"}
            send(server, ["once@example.net"], headers=key)
            send(server, ["once@example.net"], headers=key)
            assert 422 == send(server, ["not an address"])[0]
            assert 404 == server.call("GET", "/nothing")[0]
            found = figures(server)

    def of(name: str, *labels: str) -> float:
        return found.get((name, frozenset(labels)), 0)

    assert 6 == of("postroom_messages_accepted_total", "http", "transactional")
    assert 1 == of("postroom_messages_accepted_total", "http", "code")
    assert 1 == of("postroom_messages_replayed_total", "http")
    assert sink.copies.total() == 12 == of("postroom_attempt_results_total", "default", "accepted")
    assert 1 == of("postroom_attempt_results_total", "default", "refused")
    assert 1 == of("postroom_attempt_results_total", "default", "deferred")
    assert (12, 1, 1) == tuple(
        of("postroom_recipients", state) for state in ("accepted", "refused", "deferred")
    )
    assert 7 == of("postroom_accept_seconds_count") == of("postroom_attempt_seconds_count", "default")
    assert 6 == of("postroom_queue_wait_seconds_count", "transactional")
    assert 1 == of("postroom_requests_refused_total", "address-invalid")
    assert 1 == of("postroom_requests_refused_total", "no-such-path")
    assert 1 == of("postroom_http_answers_total", "422")
    assert of("postroom_commit_seconds_count") == of("postroom_commit_operations_count") > 7
    assert 0 == of("postroom_transport_breaker_open", "default")
    assert 1 == of("postroom_http_connections", "http")
    assert 0 == of("postroom_unknown_outcomes_total") == of("postroom_http_stressed")
    assert of("postroom_disk_free_bytes") > of("postroom_disk_reserve_bytes") > 0
    assert of("process_resident_memory_bytes") > 10_000_000
    assert of("process_open_fds") > 5
    assert of("postroom_event_loop_lag_seconds_count") > 0


def test_metrics_need_a_key_unless_they_are_public(tmp_path: Path) -> None:
    """Without a key 401, with the setting everybody may look; nothing of a message is in them."""
    for is_public in (False, True):
        config = tmp_path / "postroom.toml"
        config.write_text(f"[metrics]\npublic = {str(is_public).lower()}\n")
        with PostroomProcess(tmp_path / f"data-{is_public}", args=("--config", str(config))) as server:
            send(server, ["canary-recipient@example.net"], subject="canary subject")
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
            connection.request("GET", "/metrics")
            answer = connection.getresponse()
            text = answer.read().decode()
            connection.close()
        assert (200 if is_public else 401) == answer.status
        assert "canary" not in text
        assert "127.0.0.1" not in text


def test_status_says_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    """A refused login shows as degraded with its cause: ready, status, metrics and the terminal agree."""

    def script(command: Command) -> Say | bytes | None:
        return b"535 5.7.8 wrong password\r\n" if command.verb == "AUTH" else None

    with LedgerSink(script=script, extensions=("PIPELINING", "AUTH PLAIN")) as sink:
        url = f"smtp://app%40example.com:{QUOTED}@127.0.0.1:{sink.port}?starttls=never"
        config = tmp_path / "postroom.toml"
        config.write_text(f'[[transports]]\nname = "main"\nurl = "{url}"\nallow_plaintext_login = true\n')
        with PostroomProcess(tmp_path / "data", args=("--config", str(config))) as server:
            assert "ready" == server.call("GET", "/readyz")[1]["status"]
            assert 202 == send(server, ["a@example.net"])[0]
            status, ready = server.call("GET", "/readyz")
            _, shown = server.call("GET", "/v1/status")
            found = figures(server)
            told = subprocess.run(
                [str(Path(sys.executable).parent / "postroom"), "status"],
                env={"POSTROOM_URL": server.url, "POSTROOM_API_KEY": KEY, "PATH": ""},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )

    assert (200, True, "degraded") == (status, ready["ready"], ready["status"])
    assert "535" in ready["problems"][0]
    (transport,) = shown["transports"]
    (pause,) = transport["pauses"]
    assert ("login", True) == (pause["kind"], pause["open"])
    assert pause["remedy"]
    assert "535" in pause["evidence"]
    assert "postroom transports resume main" == shown["next"][0]["command"]
    assert {"code", "alert", "transactional", "bulk"} >= shown["oldest_due_at"].keys()
    assert 1 == shown["counts"]["queued"]
    assert 1 == found["postroom_transport_breaker_open", frozenset({"main"})]
    assert 1 == found["postroom_transport_paused", frozenset({"main", "login"})]
    assert 0 == told.returncode
    assert told.stdout.startswith("degraded\n")
    assert "postroom transports resume main" in told.stdout


def test_planted_secrets_appear_nowhere(tmp_path: Path) -> None:
    """The account's password and the callers' keys are in no log record, error, figure, answer or page."""

    def script(command: Command) -> Say | bytes | None:
        return f"535 5.7.8 {PASSWORD} is wrong\r\n".encode() if command.verb == "AUTH" else None

    wrong_key = "pr_planted-wrong-key-0123456789"
    told: list[str] = []
    with LedgerSink(script=script, extensions=("PIPELINING", "AUTH PLAIN LOGIN")) as sink:
        url = f"smtp://app%40example.com:{QUOTED}@127.0.0.1:{sink.port}?starttls=never"
        config = tmp_path / "postroom.toml"
        config.write_text(f'[[transports]]\nname = "main"\nurl = "{url}"\nallow_plaintext_login = true\n')
        with PostroomProcess(
            tmp_path / "data",
            environ={"POSTROOM_LOG_JSON": "true"},
            args=("--config", str(config)),
        ) as server:
            _, sent = send(server, ["a@example.net"])
            told.append(json.dumps(sent))
            paths = ("/readyz", "/v1/status", "/v1/transports", "/v1/events", "/", "/docs", "/metrics")
            told += [str(server.call("GET", path)[1]) for path in (*paths, f"/v1/messages/{sent['id']}")]
            told.append(
                str(server.call("GET", "/v1/status", headers={"Authorization": f"Bearer {wrong_key}"})[1])
            )
            told.append(
                str(server.call("GET", f"/v1/{wrong_key}/../x", headers={"Authorization": "Bearer"})[1])
            )
        told.append(server.log.read_text())

    assert "auth-wrong" in told[0]
    for text in told:
        for secret in (PASSWORD, QUOTED, KEY):
            assert secret not in text
    assert wrong_key not in told[-1]


def test_every_line_of_the_log_is_one_record(tmp_path: Path) -> None:
    """In JSON mode each line is one valid object, whatever is asked; a request names its message."""
    with PostroomProcess(tmp_path / "data", environ={"POSTROOM_LOG_JSON": "true"}) as server:
        _, sent = send(server, ["a@example.net"], subject="canary")
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as wire:
            wire.sendall(b"GET /%0aforged%1b[2J%00%e2%80%ae HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            while wire.recv(65536):
                pass
        assert 0 == server.stop()
        lines = server.log.read_text().splitlines()

    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert all(line.isprintable() for line in lines if line.startswith("{"))
    requests = [record for record in records if record["event"] == "request"]
    (posted,) = [record for record in requests if record["method"] == "POST"]
    assert sent["id"] == posted["message_id"]
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", posted["request"])
    assert len(requests) == len({record["request"] for record in requests})
    (forged,) = [record for record in requests if "forged" in record["path"]]
    assert 404 == forged["status"]


@pytest.mark.parametrize("is_past_dot", [True, False])
def test_a_second_signal_ends_within_five_seconds(tmp_path: Path, is_past_dot: bool) -> None:
    """One signal waits for a reply, two do not: past its dot a mail is uncertain, before it due again."""
    silent = threading.Event()

    def script(command: Command) -> Say | bytes | None:
        if command.verb == ("." if is_past_dot else "RCPT"):
            silent.set()
            return Say()
        return None

    with LedgerSink(script=script) as sink:
        environ = {"POSTROOM_FROM": "app@example.com", "POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        server = PostroomProcess(tmp_path / "data", environ=environ, is_from_shell=True)
        server.start()
        _, sent = send(server, ["a@example.net"], headers={"Prefer": "wait=0"})
        assert silent.wait(10)
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        if is_past_dot:
            with pytest.raises(subprocess.TimeoutExpired):
                server.process.wait(1)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert 0 == server.process.wait(10)
        assert time.monotonic() - began < 5
        with PostroomProcess(tmp_path / "data", environ=environ) as again:
            _, view = again.call("GET", f"/v1/messages/{sent['id']}")
    assert view["recipients"][0]["state"] in (
        {"uncertain"} if is_past_dot else {"queued", "sending", "deferred"}
    )


def test_few_descriptors_make_callers_wait_and_stop_nothing(tmp_path: Path) -> None:
    """With 64 descriptors and 120 callers mail is still taken, sent and told; nothing is a fault."""
    with LedgerSink() as sink:
        environ = {"POSTROOM_FROM": "app@example.com", "POSTROOM_TRANSPORT": f"smtp://127.0.0.1:{sink.port}"}
        prlimit = ("prlimit", "--nofile=64:64")
        with PostroomProcess(tmp_path / "data", environ=environ, under=prlimit) as server:
            crowd = []
            for _ in range(120):
                try:
                    crowd.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
                except OSError:
                    break
            time.sleep(0.2)
            for wire in crowd:
                wire.close()
            deadline = time.monotonic() + 20
            while True:
                try:
                    status, sent = send(server, ["a@example.net"])
                    if status != 503:
                        break
                except OSError:
                    pass
                assert time.monotonic() < deadline
            assert (200, "accepted") == (status, sent["state"])
            assert sink.wait_for(1, timeout_s=10)
            assert figure(server, "process_max_fds") == 64
            assert figure(server, "postroom_http_connections_max") < 64
            assert figure(server, "postroom_http_connections_refused_total", "full") > 0
            assert "Traceback" not in server.log.read_text()
            assert "ulimit" in server.log.read_text()


def test_a_log_that_nobody_reads_stops_nothing(tmp_path: Path) -> None:
    """With its log in a full pipe the server goes on answering, and ends when it is told to."""
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    environ = {"PATH": os.environ["PATH"], "POSTROOM_API_KEY": KEY, "POSTROOM_LOG_JSON": "true"}
    server = PostroomProcess(tmp_path / "data")
    server.log.touch()
    command = [str(Path(sys.executable).parent / "postroom"), "serve", "--data", str(server.data)]
    command += ["--http", f"127.0.0.1:{server.port}"]
    with subprocess.Popen(
        command, env=environ, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=writing
    ) as process:
        server.process = process
        server.wait_until_ready()
        os.close(writing)
        for number in range(100):
            began = time.monotonic()
            assert 404 == server.call("GET", f"/{number}/" + "x" * 150)[0]
            assert time.monotonic() - began < 5
        assert 200 == send(server, ["a@example.net"])[0]
        assert 0 == server.stop()
    first = os.read(reading, 4096).split(b"\n")[0]
    os.close(reading)
    assert "event" in json.loads(first)
