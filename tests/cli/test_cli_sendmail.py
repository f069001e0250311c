"""``sendmail``: its command line, what it makes of standard input, and what it says when it fails."""

import os
import stat
import subprocess
import sys
import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from peers.postroom_process import KEY, PostroomProcess
from postroom.cli.sendmail import Failed, Sysexit, _code_of, _parsed, _variables_of
from postroom.cli.sendmail_input import MAX_LINE, mail_of
from postroom.schema.raw_submission import RawReader


def mail(text: bytes, *, ends_at_dot: bool = True) -> bytes:
    return mail_of(text, ends_at_dot=ends_at_dot, domain="host.example.com", added={"From": "me@example.com"})


def test_a_mail_of_cron() -> None:
    """Names without a domain get this machine's, in the header that cron writes and not in the text."""
    found = mail(
        b"From: root (Cron Daemon)\nTo: root, admin\nCc: Ops <ops>\nSubject: Cron <root@host> x\n\nTo: root\n"
    )
    assert (
        b"From: root@host.example.com (Cron Daemon)\r\nTo: root@host.example.com, admin@host.example.com\r\n"
        b"Cc: Ops <ops@host.example.com>\r\nSubject: Cron <root@host> x\r\n\r\nTo: root\r\n"
    ) == found
    quoted = mail(b'From: "(Cron Daemon)" <root>\n\nx\n')
    assert b'From: "(Cron Daemon)" <root@host.example.com>\r\n\r\nx\r\n' == quoted


def test_a_text_without_a_header() -> None:
    """Words alone are the text; a line that is no field ends a header; From is added where it lacks."""
    assert b"From: me@example.com\r\n\r\nhello\r\n" == mail(b"hello\n")
    assert b"From: me@example.com\r\nSubject: a\r\n\r\nhello: no\r\n" == mail(b"Subject: a\n\nhello: no\n")
    assert b"From: me@example.com\r\nSubject: a\r\n\r\nhello\r\n" == mail(b"Subject: a\nhello\n")
    assert b"From: me@example.com\r\n\r\n" == mail(b"")
    assert b"from: a@b.example\r\n\r\nx\r\n" == mail(b"From someone Thu Jan 1\nfrom : a@b.example\n\nx\n")


def test_a_lone_dot() -> None:
    """A dot alone ends the mail, unless -i says that it is one."""
    assert b"\r\n\r\na\r\n" == mail(b"\na\n.\nb\n")[-7:]
    assert b"\r\na\r\n.\r\nb\r\n" == mail(b"\na\n.\nb\n", ends_at_dot=False)[-11:]


def test_line_ends_and_long_lines() -> None:
    """Whatever ends lines becomes CR LF, NULs go, long lines are folded or broken between characters."""
    assert b"\r\n\r\na\r\nb\r\nc\r\nd\r\n" == mail(b"\na\r\nb\rc\nd\0\n")[-16:]
    found = mail(
        b"To: " + b"someone@example.com, " * 100 + b"x@example.com\n\n" + "ü".encode() * 1200 + b"\n"
    )
    head, _, body = found.partition(b"\r\n\r\n")
    assert max(map(len, head.split(b"\r\n"))) <= MAX_LINE
    assert 101 == head.count(b"@example.com") - 1
    assert all(len(line) <= MAX_LINE and line.decode() for line in body.split(b"\r\n")[:-1])


@given(st.binary(max_size=300))
def test_whatever_comes_in_the_reader_takes_it(data: bytes) -> None:
    """No standard input makes bytes that are no mail: line ends, NULs and lengths are always right."""
    reader = RawReader()
    reader.feed(mail(data * 20, ends_at_dot=False))
    reader.finish()
    assert reader.problem is None or reader.problem.code == "raw-line-too-long"


@each(
    "arguments",
    [
        ["-t", "-i"],
        ["-ti"],
        ["-oi", "-t", "-f", "a@example.com", "--"],
        ["-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root"],
        ["-fa@example.com", "-N", "never", "-R", "hdrs", "-V", "e1", "b@example.com,c@example.com"],
        ["-bm", "-odi", "-O", "DeliveryMode=b", "-em", "-A", "m", "-L", "tag", "-n", "-G", "a@example.com"],
        ["-i", "a@example.com", "-v", "-r", "<>"],
        ["-O", "IgnoreDots=true", "a@example.com", "-h", "3", "-m", "-U", "-X", "log", "-p", "ESMTP:host"],
    ],
)
def test_what_other_programs_write_is_taken(arguments: list[str]) -> None:
    """The command lines of cron, PHP, git, mutt and mail are known."""
    wish = _parsed(arguments)
    assert wish.takes_header or wish.recipients or "--" in arguments


@each(
    "arguments",
    [["-bs"], ["-bd"], ["-bp"], ["-bi"], ["-bv", "x"], ["-q"], ["-q15m"], ["-B", "X"], ["-Z"], ["-f"]],
)
def test_what_is_not_done_here_is_refused_by_name(arguments: list[str]) -> None:
    """A daemon, a queue, aliases and SMTP on standard input are refused with a line that says so."""
    with pytest.raises(Failed) as caught:
        _parsed(arguments)
    assert Sysexit.USAGE is caught.value.code
    assert "\n" not in str(caught.value)


def test_exit_codes() -> None:
    """What passes by itself is temporary, what stands in the mail is data, who is not known is a user."""
    codes = {
        status: _code_of(status, is_recipient=False) for status in (401, 404, 413, 422, 429, 500, 503, 507)
    }
    assert {
        401: Sysexit.NOPERM,
        404: Sysexit.UNAVAILABLE,
        413: Sysexit.UNAVAILABLE,
        422: Sysexit.DATAERR,
        **dict.fromkeys((429, 500, 503, 507), Sysexit.TEMPFAIL),
    } == codes
    assert Sysexit.NOUSER is _code_of(422, is_recipient=True)


def test_a_file_of_variables(tmp_path: Path) -> None:
    """Comments, quotes and `export` are read as in a shell; a file that must be there is missed."""
    file = tmp_path / "env"
    file.write_text("# where\nexport POSTROOM_URL='http://a.example:1'\n\nPOSTROOM_API_KEY=k\nnothing\n")
    assert {"POSTROOM_URL": "http://a.example:1", "POSTROOM_API_KEY": "k"} == _variables_of(
        file, is_needed=True
    )
    assert {} == _variables_of(tmp_path / "none", is_needed=False)
    with pytest.raises(Failed):
        _variables_of(tmp_path / "none", is_needed=True)


@pytest.mark.slow
def test_a_link_named_sendmail(tmp_path: Path) -> None:
    """Under its old name it sends for cron, for PHP and for a caller with nothing in its environment."""
    link = tmp_path / "sendmail"
    link.write_text(f"#!{sys.executable}\nfrom postroom.cli import main\nmain()\n")
    link.chmod(link.stat().st_mode | stat.S_IXUSR)
    data = tmp_path / "room"

    def run(
        *arguments: str, text: bytes = b"Subject: Hi\n\nHello\n", environ: dict[str, str] | None = None
    ) -> tuple[int, str]:
        done = subprocess.run(
            [str(link), *arguments],
            input=text,
            capture_output=True,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], **(environ or {})},
            check=False,
            timeout=60,
        )
        return done.returncode, (done.stdout + done.stderr).decode()

    with PostroomProcess(data) as server:
        where = {"POSTROOM_DATA": str(data)}
        cron = b"From: root (Cron Daemon)\nTo: root\nSubject: Cron\n\nout \xc3\xbc\n"
        assert (0, "") == run(
            "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root@example.com", text=cron, environ=where
        )
        php = b"To: kim@example.com\nBcc: eve@example.com\nSubject: Shop\n\n.\nThanks\n"
        assert (0, "") == run("-t", "-i", "-fshop@example.com", text=php, environ=where)
        (tmp_path / "env").write_text(f"POSTROOM_URL={server.url}\nPOSTROOM_API_KEY={KEY}\n")
        code, said = run("-v", "-C", str(tmp_path / "env"), "-F", "Jörg", "bob@example.com", text=b"plain\n")
        assert (0, True) == (code, said.endswith(" queued\n"))
        assert 67 == run("<a b@example.com>", environ=where)[0]
        two = b"From: a@example.com, b@example.com\nTo: c@example.com\n\nx\n"
        assert 65 == run("-t", text=two, environ=where)[0]
        wrong = {"POSTROOM_URL": server.url, "POSTROOM_API_KEY": "wrong-wrong-wrong-wrong"}
        assert 77 == run("a@example.com", environ=wrong)[0]
        assert 64 == run("-t", text=b"Subject: to nobody\n\nx\n", environ=where)[0]
        code, said = run("a@example.com", text=b"a line of text\n" * 6_000_000, environ=where)
        assert (69, True) == (code, "are allowed" in said)
        assert (64, 1) == (run(environ=where)[0], run(environ=where)[1].count("\n"))
        sources = captured(server)
    first, second, third = [message_from_bytes(one, policy=policy.SMTP) for one in sources]
    assert first["from"].startswith("root@")
    assert sources[0].endswith(b"\r\n\r\nout \xc3\xbc\r\n")
    assert (None, "shop@example.com") == (second["bcc"], second["from"].addresses[0].addr_spec)
    assert sources[1].endswith(b"\r\n\r\n.\r\nThanks\r\n")
    assert "Jörg" == third["from"].addresses[0].display_name
    code, said = run(
        "a@example.com", environ={"POSTROOM_URL": "http://127.0.0.1:1", "POSTROOM_API_KEY": "k" * 20}
    )
    assert (75, 1) == (code, said.count("\n"))
    assert "no server answers at http://127.0.0.1:1" in said


def captured(server: PostroomProcess) -> list[bytes]:
    """Return the sources of the three mails once all are captured, in the order of their subjects."""
    deadline = time.monotonic() + 20
    while len(mails := server.call("GET", "/v1/captured")[1]["captured"]) < 3:
        assert time.monotonic() < deadline
    order = {"Cron": 0, "Shop": 1, "": 2}
    numbers = [one["number"] for one in sorted(mails, key=lambda one: order[one["subject"]])]
    return [server.call("GET", f"/v1/captured/{number}/source")[1] for number in numbers]
