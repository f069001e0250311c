"""A message that is sent as the account: who wished to send it is never lost, and nothing else slips in."""

from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mime.messages import ANN, BOB, box, content, wire
from postroom.errors import InvariantError
from postroom.mime.parseback import check
from postroom.mime.rendered import DEFAULT_VARIANT, Variant, variant_of
from postroom.mime.writer import render
from postroom.model.address import Address, AddressError, Mailbox, make_mailbox
from postroom.model.secret import Secret
from postroom.model.transport import FromPolicy, SmtpAccount, TlsMode, TransportKind, TransportSpec

ACCOUNT = Address("login", "example.net")
VARIANT = Variant(account=ACCOUNT)

NAMES = st.text(max_size=60) | st.sampled_from(
    [
        '"; x',
        "a, b <c@example.org>",
        "=?utf-8?q?x?=",
        "Bcc: x@example.org",
        "\u738b\u4e94",
        "a\\",
        "(c)",
        "\u202eevil",
    ]
)
LOCALS = st.text("abc.!#$%&'*+/=^_`{|}~-\u00fc\u738b", min_size=1, max_size=30)


def parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default.clone(utf8=True))


@given(NAMES, LOCALS, st.booleans())
def test_the_wished_sender_is_never_lost(name: str, local: str, has_reply_to: bool) -> None:
    """One From, the account; the wished name or address is its name, the wished address in Reply-To."""
    try:
        wished = make_mailbox(f"{local}@example.org", name)
    except AddressError:
        return
    reply_to = (BOB,) if has_reply_to else ()
    message = content(from_=wished, sender=box("robot@example.com"), reply_to=reply_to, subject="S")
    check(render(message, VARIANT), message, VARIANT)
    raw = wire(message, variant=VARIANT)
    head = parsed(raw)
    assert ["From", "Reply-To", "To", "Subject", "Date", "Message-ID", "MIME-Version"] == head.keys()[:7]
    assert ["Content-Type", "Content-Transfer-Encoding"] == head.keys()[7:]
    assert f"<{ACCOUNT}>" in raw.split(b"\r\nReply-To:")[0].decode()
    answers = BOB if has_reply_to else wished
    assert answers.address.spec.encode() in raw.split(b"\r\nReply-To:")[1].split(b"\r\nTo:")[0]
    shown = VARIANT.applied(message)
    assert Mailbox(ACCOUNT, wished.name or wished.address.spec) == shown.from_
    assert shown is not message
    assert (answers,) == shown.reply_to


@pytest.mark.parametrize("spec", ["login@example.net", "LOGIN@Example.NET", "Login@EXAMPLE.net"])
def test_a_from_that_is_the_account_stays_as_it_is(spec: str) -> None:
    """Compared without case and by A-labels; the bytes are those of no variant at all."""
    message = content(from_=box(f"Ann <{spec}>"))
    assert wire(message) == wire(message, variant=VARIANT)
    assert VARIANT.applied(message) is message
    german = content(from_=box("a@b\u00fccher.example"))
    assert wire(german) == wire(german, variant=Variant(account=box("A@xn--bcher-kva.example").address))


def test_the_account_has_no_other_sender_beside_it() -> None:
    """No Sender header, also when From is the account."""
    message = content(from_=box("login@example.net"), sender=ANN)
    assert b"\r\nSender:" in wire(message)
    assert b"\r\nSender:" not in wire(message, variant=VARIANT)
    check(render(message, VARIANT), message, VARIANT)


def test_parse_back_stops_bytes_of_another_variant() -> None:
    """Neither the wished From where the account must stand passes, nor the account where it must not."""
    message = content()
    for made, wanted in ((DEFAULT_VARIANT, VARIANT), (VARIANT, DEFAULT_VARIANT)):
        with pytest.raises(InvariantError):
            check(render(message, made), message, wanted)


@pytest.mark.parametrize(
    ("username", "default_from", "from_policy", "expected"),
    [
        ("login@example.net", None, FromPolicy.REWRITE, ACCOUNT),
        ("login@example.net", ANN, FromPolicy.REWRITE, ACCOUNT),
        ("apikey", ANN, FromPolicy.REWRITE, ANN.address),
        (None, ANN, FromPolicy.REWRITE, ANN.address),
        ("apikey", None, FromPolicy.REWRITE, None),
        ("login@example.net", ANN, FromPolicy.KEEP, None),
        ("login@example.net", ANN, FromPolicy.REFUSE, None),
    ],
)
def test_the_account_is_the_login_else_the_default_sender(
    username: str | None, default_from: Mailbox | None, from_policy: FromPolicy, expected: Address | None
) -> None:
    """A login that is no address (``apikey``) never becomes a sender; only ``rewrite`` changes anything."""
    account = SmtpAccount(
        host="smtp.example.net", port=465, tls=TlsMode.IMPLICIT, username=username, password=Secret("x" * 8)
    )
    spec = TransportSpec(
        name="main",
        kind=TransportKind.SMTP,
        account=account,
        default_from=default_from,
        from_policy=from_policy,
        subject_prefix="[x] ",
    )
    assert Variant(subject_prefix="[x] ", account=expected) == variant_of(spec)
