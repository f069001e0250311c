"""The server core against a shell in memory."""

from base64 import b64encode

from smtp.server_talk import KEY, KEYED, OPEN, Shell

ENVELOPE = b"MAIL FROM:<ann@example.com>\r\nRCPT TO:<bob@example.net>\r\n"
CONTENT = b"From: ann@example.com\r\nSubject: hello\r\n\r\n..dot\r\nbye\r\n"


def test_a_mail_from_hello_to_quit() -> None:
    """EHLO, the envelope in one flight, the content, QUIT: the mail is handed over with its dots undone."""
    shell = Shell(OPEN)
    assert b"220 mail.example.com ESMTP Postroom\r\n" == shell.greeting
    assert shell.send(b"EHLO client.example.org\r\n").startswith("250-mail.example.com\r\n250-PIPELINING\r\n")
    assert "250 2.1.0 Sender ok\r\n250 2.1.5 Recipient ok\r\n354 " in shell.send(ENVELOPE + b"DATA\r\n")
    assert "250 2.0.0 Accepted as m1\r\n" == shell.send(CONTENT + b".\r\n")
    assert "221 2.0.0 Bye\r\n" == shell.send(b"QUIT\r\n")
    assert shell.session.is_over
    (mail,) = shell.mails
    assert "ann@example.com" == mail.mail.path.spec
    assert ["bob@example.net"] == [each.address.spec for each in mail.recipients]
    assert CONTENT.replace(b"..dot", b".dot") == mail.content


def test_login_under_tls() -> None:
    """STARTTLS, then AUTH with an initial response, opens the way to MAIL."""
    shell = Shell(KEYED)
    assert "STARTTLS" in shell.send(b"EHLO client.example.org\r\n")
    assert shell.send(b"MAIL FROM:<ann@example.com>\r\n").startswith("530 5.7.0 Say STARTTLS")
    shell.send(b"STARTTLS\r\n")
    assert "AUTH PLAIN LOGIN" in shell.send(b"EHLO client.example.org\r\n")
    assert shell.send(b"MAIL FROM:<ann@example.com>\r\n").startswith("530 5.7.0 Log in")
    login = b64encode(b"\0any\0" + KEY.encode())
    assert "235 2.7.0 Logged in\r\n" == shell.send(b"AUTH PLAIN " + login + b"\r\n")
    assert "250 2.1.0 Sender ok\r\n" == shell.send(b"MAIL FROM:<ann@example.com>\r\n")
