"""Raw mail at the edge: read in chunks of any size, refused where programs could disagree, else kept."""

from datetime import UTC, datetime, timedelta
from time import process_time

import pytest

from each_row import each
from postroom.errors import InputError
from postroom.model.address import NULL_PATH, Mailbox, parse_address
from postroom.model.message import Door, MailClass, Submission
from postroom.schema.raw_submission import Arrival, RawEnvelope, RawReader, RawWishes, raw_submission

HEAD = b"From: Ann <ann@example.com>\r\nTo: bob@example.org\r\nSubject: Hello\r\n"
ARRIVAL = Arrival(door=Door.SMTP, by="mx.example.net", helo="client.example.com", peer="192.0.2.7")
BOB = RawEnvelope(recipients=[parse_address("bob@example.org")])


def read(data: bytes, size: int = 1 << 20) -> tuple[RawReader, bytes]:
    reader = RawReader()
    body = b"".join([reader.feed(data[start : start + size]) for start in range(0, len(data), size)])
    return reader, body + reader.finish()


def taken(data: bytes, envelope: RawEnvelope = BOB, wishes: RawWishes | None = None) -> Submission:
    reader, body = read(data)
    return raw_submission(reader, body, envelope=envelope, arrival=ARRIVAL, wishes=wishes or RawWishes())


def refused(data: bytes) -> list[tuple[str, str]]:
    with pytest.raises(InputError) as caught:
        taken(data)
    return [(problem.code, problem.field) for problem in caught.value.problems]


def test_the_mail_is_kept_as_it_came() -> None:
    """Header and body of an ordinary mail are stored octet by octet, whatever the chunks were."""
    data = HEAD + b"\r\n.one\r\n\r\ntwo\r\n"
    for size in (1, 2, 3, 5, 1000):
        reader, body = read(data, size)
        assert (HEAD, b".one\r\n\r\ntwo\r\n", None) == (reader.head, body, reader.problem)
    submission = taken(data)
    assert submission.raw is not None
    assert HEAD == submission.raw.head
    assert ("Hello", Mailbox(parse_address("ann@example.com"), "Ann")) == (
        submission.subject,
        submission.from_,
    )


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (HEAD + b"\r\nbare\nfeed\r\n", "raw-line-end"),
        (HEAD + b"\r\nbare\rreturn\r\n", "raw-line-end"),
        (HEAD + b"\r\nend\r", "raw-line-end"),
        (HEAD + b"\r\nN\0UL\r\n", "raw-nul"),
        (HEAD + b"\r\n" + b"x" * 999 + b"\r\n", "raw-line-too-long"),
        (HEAD + b"X-Big: " + b"\r\n x" * 70_000 + b"\r\n\r\n", "raw-head-too-large"),
    ],
)
def test_bytes_that_are_no_mail_are_refused(data: bytes, code: str) -> None:
    """Bare line ends, NUL, long lines and an endless header are named, at every size of chunk."""
    assert [(code, "mail")] == refused(data)
    for size in (1, 7, 1000) if len(data) < 9999 else (1000,):
        reader, _ = read(data, size)
        assert reader.problem is not None
        assert code == reader.problem.code


def test_a_line_of_998_octets_is_taken() -> None:
    """The longest line the standard allows goes through in chunks of any size."""
    data = HEAD + b"\r\n" + (b"x" * 998 + b"\r\n") * 3
    for size in (1, 999, 1000, 1001, 5000):
        assert read(data, size)[0].problem is None


@pytest.mark.parametrize(
    "field",
    [b"From : evil@example.net\r\n", b"nothing\r\n", b" folded: first\r\n", b": x\r\n", b"X\r\n : y\r\n"],
)
def test_a_header_that_can_be_read_in_two_ways_is_refused(field: bytes) -> None:
    """A blank before the colon, a line that is no field and a fold before the first field end the mail."""
    assert [("raw-header-syntax", "mail")] == refused(field + b"From: a@example.com\r\n\r\nx\r\n")


def test_a_second_from_is_refused() -> None:
    """What may stand once stands once, without regard to case."""
    assert [("raw-header-twice", "from")] == refused(HEAD + b"fROM: evil@example.net\r\n\r\nx\r\n")


@each(
    "value",
    [
        b"a@example.com, b@example.com",
        b"<@one.example,@two.example:a@example.com>",
        b"<a@example.com>\\,<b@example.com>",
        b"group: a@example.com;",
        b"a@exa(comment)mple.com",
        b"<a@example.com> <b@example.com>",
        b"<a@example.com> trailing",
        b"=?utf-8?q?a=40example=2Ecom?=",
        b'"a@b"@example.com',
        b"",
        b"undisclosed:;",
        b"\xff@example.com",
        b'"open <a@example.com>',
        b"(open <a@example.com>",
    ],
)
def test_a_from_that_is_not_one_address_is_refused(value: bytes) -> None:
    """Lists, routes, groups, comments inside and encoded words do not pass as the author."""
    assert [("address-invalid", "from")] == refused(b"From: " + value + b"\r\n\r\nx\r\n")


def test_no_from_is_refused() -> None:
    """A mail without From is not sent under any other name."""
    assert [("from-missing", "from")] == refused(b"To: bob@example.org\r\n\r\nx\r\n")


def test_what_a_door_removes() -> None:
    """Bcc, Return-Path and what is said to Postroom go; the fields around them stay as they are."""
    data = (
        b"Return-Path: <x@example.com>\r\nX-Kept:  two  blanks\r\n" + HEAD + b"bcc: secret@example.org,\r\n"
        b"\tother@example.org\r\nX-Postroom-Tag: one, two\r\nx-postroom-tag: three\r\n"
        b"X-POSTROOM-Class: bulk\r\nX-Postroom-Metadata-Order: 17\r\nX-Postroom-Idempotency-Key: k1\r\n"
        b"Resent-Bcc: s@example.org\r\n\r\nx\r\n"
    )
    submission = taken(data)
    assert submission.raw is not None
    assert b"X-Kept:  two  blanks\r\n" + HEAD == submission.raw.head
    assert ("one", "two", "three") == submission.tags
    assert (MailClass.BULK, "k1") == (submission.mail_class, submission.idempotency_key)
    assert {"Order": "17"} == submission.metadata


def test_reverse_path() -> None:
    """The author as MAIL FROM says nothing new, another address does, and the null one stays null."""
    bob = BOB.recipients
    data = HEAD + b"\r\nx\r\n"
    paths = ["ann@example.com", "ANN@example.com", "bounces@example.com"]
    found = [
        taken(data, RawEnvelope(reverse_path=parse_address(path), recipients=bob)).sender for path in paths
    ]
    assert [None, None, Mailbox(parse_address("bounces@example.com"))] == found
    assert Mailbox(NULL_PATH) == taken(data, RawEnvelope(reverse_path=NULL_PATH, recipients=bob)).sender


def test_recipients_of_the_header() -> None:
    """Without an envelope To, Cc and Bcc are taken, groups too; of a resent mail only the Resent fields."""
    head = b"From: a@example.com\r\nTo: Team: b@example.org, C <c@example.org>;, d@example.org\r\n"
    head += b"Bcc: e@example.org\r\n"
    specs = [box.address.spec for box in taken(head + b"\r\n", RawEnvelope()).bcc]
    assert ["b@example.org", "c@example.org", "d@example.org", "e@example.org"] == specs
    resent = taken(head + b"Resent-To: f@example.org\r\n\r\n", RawEnvelope()).bcc
    assert ["f@example.org"] == [box.address.spec for box in resent]


def test_mail_that_goes_round_in_a_circle_is_refused() -> None:
    """The fifty-first Received ends the mail."""
    received = b"Received: from a by b; x\r\n"
    assert taken(received * 50 + HEAD + b"\r\nx\r\n")
    assert [("mail-loop", "mail")] == refused(received * 51 + HEAD + b"\r\nx\r\n")


def test_multiparts_are_counted() -> None:
    """A mail of multiparts inside multiparts is refused before anybody opens them."""
    nested = b"".join(
        [b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(400)]
    )
    assert [("raw-too-deep", "mail")] == refused(HEAD + nested)
    for size in (1, 7, 100):  # wherever the client cuts it
        problem = read(HEAD + nested, size)[0].problem
        assert problem is not None
        assert "raw-too-deep" == problem.code


def test_a_time_in_the_header_is_no_time_counted_from_the_arrival() -> None:
    """What the header says wins over HOLDFOR, also in what a repeat is compared by."""
    hour = timedelta(hours=1)
    at = datetime(2030, 1, 31, 9, tzinfo=UTC)
    wishes = RawWishes(send_at=at, expires_at=at + hour, relative={"send_at": hour, "expires_at": 2 * hour})
    assert {"send_at", "expires_at"} == taken(HEAD + b"\r\n", wishes=wishes).relative.keys()
    said = HEAD + b"X-Postroom-Send-At: 2030-01-31T08:00:00+00:00\r\n\r\n"
    assert {"expires_at": 2 * hour} == taken(said, wishes=wishes).relative


@pytest.mark.parametrize("given", [b"<>", b"<", b" ", b"\r\n\t"])
def test_a_message_id_without_an_id_is_none(given: bytes) -> None:
    """What names nothing goes, so that the one that acceptance writes is the only one."""
    submission = taken(HEAD + b"Message-ID: " + given + b"\r\n\r\nHello\r\n")
    assert submission.raw is not None
    assert (None, HEAD) == (submission.message_id, submission.raw.head)


@pytest.mark.parametrize("word", [b"\xc3\xa9" * 499, b"@" * 998])
def test_a_header_full_of_one_character_is_judged_at_once(word: bytes) -> None:
    """The search for addresses beyond ASCII looks at no character twice."""
    data = HEAD + b"X: \xc3\xa9\r\nCc: a\r\n " + b"\r\n ".join([word[:990]] * 250) + b"\r\n\r\nHello\r\n"
    begun_s = process_time()
    submission = taken(data)
    assert process_time() - begun_s < 0.25
    assert submission.raw is not None
    assert submission.raw.needs_smtputf8 is False


def test_the_size_of_from_is_bounded() -> None:
    """A From that would fill memory is refused; what was read of good ones is kept there."""
    name = b"\r\n ".join([b'"' + b"n" * 900 + b'"'] * 5)
    assert [("address-invalid", "from")] == refused(b"From: " + name + b" <ann@example.com>\r\n\r\nHello\r\n")
