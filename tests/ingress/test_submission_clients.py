"""The SMTP door as programs that others wrote use it, each as its users would set it up."""

import smtplib
import ssl
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest

from peers import postfix
from peers.postroom_process import KEY, PostroomProcess, free_port

pytestmark = pytest.mark.slow

FROM, TO = "app@example.com", "someone@example.org"


@dataclass(frozen=True)
class Room:
    """A server with both kinds of listener, and the file its clients are told to trust."""

    server: PostroomProcess
    plain: int
    implicit: int
    authority: str

    def trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority)

    def captured(self, subject: str) -> tuple[dict[str, Any], bytes]:
        """Return the one captured mail with this subject, and its bytes."""
        deadline = time.monotonic() + 20
        while True:
            _, page = self.server.call("GET", "/v1/captured?limit=200")
            found = [one for one in page["captured"] if one["subject"] == subject]
            if found:
                (mail,) = found
                return mail, self.server.call("GET", mail["source"])[1]
            assert time.monotonic() < deadline, f"{subject!r} did not come out"
            time.sleep(0.01)


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    data = tmp_path_factory.mktemp("door") / "data"
    plain, implicit = free_port(), free_port()
    listen = ("--smtp", f"127.0.0.1:{plain}", "--smtp", f"smtps://127.0.0.1:{implicit}")
    with PostroomProcess(data, args=listen) as server:
        yield Room(server, plain, implicit, str(data / "authority.pem"))


def mail(subject: str) -> EmailMessage:
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = FROM, TO, subject
    message["Bcc"] = "hidden@example.org"
    message.set_content("Dear reader,\n.a dot\n..two\n\n.\nend\n")
    return message


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, **options)


@pytest.mark.parametrize("how", ["plain", "starttls", "implicit"])
def test_smtplib(room: Room, how: str) -> None:
    """Python's client hands in on loopback, with STARTTLS and with TLS, given the authority's file alone."""
    if how == "implicit":
        client: smtplib.SMTP = smtplib.SMTP_SSL("localhost", room.implicit, context=room.trust())
    else:
        client = smtplib.SMTP("localhost", room.plain)
    with client:
        if how == "starttls":
            client.starttls(context=room.trust())
        client.login("any name", KEY)
        assert {} == client.send_message(mail(f"smtplib {how}"))

    found, source = room.captured(f"smtplib {how}")
    assert [TO, "hidden@example.org"] == found["recipients"]
    assert FROM == found["reverse_path"]
    head, _, body = source.partition(b"\r\n\r\n")
    assert b"Dear reader,\r\n.a dot\r\n..two\r\n\r\n.\r\nend\r\n" == body
    assert b"bcc:" not in head.lower()
    assert (b"with ESMTPA" if how == "plain" else b"with ESMTPSA") in head
    assert (b"TLSv1.3" in head) is (how != "plain")


def test_the_reply_names_the_message(room: Room) -> None:
    """250 says the id under which the mail is found, and that nothing left the machine."""
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        client.login("x", KEY)
        client.mail(FROM)
        client.rcpt(TO)
        code, text = client.data(mail("named").as_bytes())
    words = text.decode().split()
    assert 250 == code
    assert ["2.0.0", "queued", "as"] == words[:3]
    status, view = room.server.call("GET", f"/v1/messages/{words[3].rstrip(';')}")
    assert (200, "named") == (status, view["subject"])
    assert b"captured" in text


def test_the_door_is_shown(room: Room) -> None:
    """The page, /readyz, the metrics and the start say where mail can be handed in, and whom to trust."""
    urls = [f"smtp://127.0.0.1:{room.plain}", f"smtps://127.0.0.1:{room.implicit}"]
    assert urls == room.server.call("GET", "/readyz")[1]["smtp"]
    assert ", ".join(urls) in room.server.call("GET", "/")[1].decode()
    with smtplib.SMTP("127.0.0.1", room.plain):
        assert 'postroom_smtp_sessions{door="smtp"} ' in room.server.call("GET", "/metrics")[1].decode()
    started = room.server.log.read_text()
    assert " ".join(urls) in started
    assert room.authority in started


def test_nobody_without_a_key(room: Room) -> None:
    """No key, no mail; a wrong key is refused and its text appears in no log."""
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        with pytest.raises(smtplib.SMTPSenderRefused) as refusal:
            client.send_message(mail("relay"))
        assert 530 == refusal.value.smtp_code
        wrong = b64encode(b"\0x\0planted-wrong-key-canary").decode()
        assert 535 == client.docmd("AUTH", f"PLAIN {wrong}")[0]
    assert "login refused" in room.server.log.read_text()
    log = room.server.log.read_text()
    assert "planted-wrong-key-canary" not in log
    assert wrong not in log


def test_a_key_keeps_its_senders_and_scope(room: Room) -> None:
    """A key is as narrow here as over HTTP: senders of From and of MAIL, and the scope."""
    body = {"name": "narrow", "scopes": ["send"], "senders": ["@example.com"]}
    _, narrow = room.server.call("POST", "/v1/keys", body)
    _, reader = room.server.call("POST", "/v1/keys", {"name": "reader", "scopes": ["read"]})
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        client.login("x", narrow["key"])
        other = mail("other sender")
        del other["From"]
        other["From"] = "ceo@example.net"
        with pytest.raises(smtplib.SMTPSenderRefused) as at_mail:
            client.send_message(other, from_addr="ceo@example.net")
        with pytest.raises(smtplib.SMTPDataError) as at_the_end:
            client.send_message(other, from_addr=FROM)
        for refusal in (at_mail.value, at_the_end.value):
            assert 550 == refusal.smtp_code
            assert "5.7.1" in str(refusal.smtp_error)
            assert "ceo@example.net" in str(refusal.smtp_error)
        assert {} == client.send_message(mail("own sender"))
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        with pytest.raises(smtplib.SMTPAuthenticationError) as refused:
            client.login("x", reader["key"])
        assert b"scope" in refused.value.smtp_error


def test_what_is_wrong_is_said(room: Room) -> None:
    """A refusal names each problem and what to do; the session goes on."""
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        client.login("x", KEY)
        broken = mail("broken")
        del broken["From"]
        broken["X-Postroom-Class"] = "urgent"
        with pytest.raises(smtplib.SMTPDataError) as refusal:
            client.send_message(broken, from_addr=FROM)
        text = str(refusal.value.smtp_error)
        assert "no From" in text
        assert "class" in text
        assert {} == client.send_message(mail("after a refusal"))


def test_our_fields_and_idempotency(room: Room) -> None:
    """X-Postroom-* set what an API call would set, and are removed; a repeated key is the earlier mail."""
    message = mail("wishes")
    message["X-Postroom-Tag"] = "invoice, march"
    message["X-Postroom-Class"] = "alert"
    message["X-Postroom-Idempotency-Key"] = "order-77"
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        client.login("x", KEY)
        replies = []
        for _ in range(2):
            client.mail(FROM)
            client.rcpt(TO)
            replies.append(client.data(message.as_bytes()))
    first, second = (text.decode().split()[3] for _, text in replies)
    assert first.rstrip(";") == second.rstrip(";")
    found, source = room.captured("wishes")
    assert b"X-Postroom" not in source
    _, view = room.server.call("GET", f"/v1/messages/{found['message_id']}")
    assert (["invoice", "march"], "alert") == (view["tags"], view["class"])


def test_a_repeat_with_times_from_its_arrival_is_the_earlier_mail(room: Room) -> None:
    """HOLDFOR and BY come to other times in the repeat; the key still finds the mail it was used for."""
    message = mail("later")
    message["X-Postroom-Idempotency-Key"] = "order-78"
    with smtplib.SMTP("127.0.0.1", room.plain) as client:
        client.login("x", KEY)
        replies = []
        for hold in ("3600", "3600", "1800"):
            client.mail(FROM, [f"HOLDFOR={hold}", "BY=7200;R"])
            client.rcpt(TO)
            replies.append(client.data(message.as_bytes()))
    first, second, other = replies
    assert (250, 250, 550) == (first[0], second[0], other[0])
    assert first[1].split()[3].rstrip(b";") == second[1].split()[3].rstrip(b";")
    assert b"send_at" in other[1]


@pytest.mark.parametrize("how", ["plain", "starttls", "implicit"])
def test_curl(room: Room, tmp_path: Path, how: str) -> None:
    """It hands a file in, in all three ways."""
    (tmp_path / "mail").write_bytes(mail(f"curl {how}").as_bytes())
    url = f"smtps://localhost:{room.implicit}" if how == "implicit" else f"smtp://localhost:{room.plain}"
    more = ("--ssl-reqd",) if how == "starttls" else ()
    done = run(
        *("curl", "--silent", "--show-error", *more, "--cacert", room.authority, "--user", f"app:{KEY}"),
        *("--mail-from", FROM, "--mail-rcpt", TO, "--upload-file", str(tmp_path / "mail"), url),
    )
    assert (0, "") == (done.returncode, done.stderr)
    assert [TO] == room.captured(f"curl {how}")[0]["recipients"]


@pytest.mark.swaks
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_swaks(room: Room, mechanism: str) -> None:
    """It logs in by both mechanisms and sends MAIL, RCPT and DATA in one piece."""
    done = run(
        *("swaks", "--server", f"localhost:{room.plain}", "--pipeline"),
        *("--auth", mechanism, "--auth-user", "app", "--auth-password", KEY),
        *("--from", FROM, "--to", f"{TO},other@example.org", "--h-Subject", f"swaks {mechanism}"),
    )
    assert 0 == done.returncode, done.stdout + done.stderr
    assert [TO, "other@example.org"] == room.captured(f"swaks {mechanism}")[0]["recipients"]


@pytest.mark.msmtp
@pytest.mark.parametrize("how", ["starttls", "implicit"])
def test_msmtp(room: Room, tmp_path: Path, how: str) -> None:
    """msmtp, set up with a trust file, hands in what `sendmail` is given."""
    config = tmp_path / "msmtprc"
    port = room.implicit if how == "implicit" else room.plain
    config.write_text(
        f"account default\nhost localhost\nport {port}\nfrom {FROM}\nauth on\nuser app\npassword {KEY}\n"
        f"tls on\ntls_starttls {'off' if how == 'implicit' else 'on'}\ntls_trust_file {room.authority}\n"
    )
    config.chmod(0o600)
    done = run("msmtp", "-C", str(config), "-t", input=mail(f"msmtp {how}").as_string().replace("\r\n", "\n"))
    assert (0, "") == (done.returncode, done.stderr)
    assert TO in room.captured(f"msmtp {how}")[0]["recipients"]


@pytest.mark.postfix
@pytest.mark.skipif(
    not (postfix.is_available() and list(Path("/usr/lib").glob("*/sasl2/libplain.so"))),
    reason="needs root and Debian's postfix with libsasl2-modules",
)
def test_postfix_as_a_smart_host_client(room: Room) -> None:
    """A stock Postfix relays everything here: TLS verified, login from its password map."""
    with postfix.running(relay_to=None, settings=_relay(room)) as relay:
        passwords = relay.directory / "etc/passwords"
        passwords.write_text(f"[localhost]:{room.plain} app:{KEY}\n")
        with smtplib.SMTP("127.0.0.1", relay.port) as client:
            client.send_message(mail("by postfix"))
        _wait(lambda: relay.queued() == 0 and "status=sent" in relay.log, relay)
        assert "Verified TLS connection" in relay.log
        assert "queued as" in relay.log
    found, source = room.captured("by postfix")
    assert [TO, "hidden@example.org"] == sorted(found["recipients"], reverse=True)
    assert 2 == source.count(b"Received: ")


def _relay(room: Room) -> dict[str, str]:
    return {
        "default_transport": "smtp",
        "relayhost": f"[localhost]:{room.plain}",
        "smtp_sasl_auth_enable": "yes",
        "smtp_sasl_password_maps": "texthash:${config_directory}/passwords",
        "smtp_sasl_security_options": "noanonymous",
        "smtp_tls_security_level": "verify",
        "smtp_tls_CAfile": room.authority,
        "smtp_tls_loglevel": "1",
        "smtp_host_lookup": "native",
    }


def _wait(holds: Any, relay: postfix.Postfix) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, relay.log
        time.sleep(0.05)
