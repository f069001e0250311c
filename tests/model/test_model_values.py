from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from postroom.model.ids import ENTROPY_BYTES, is_message_id, new_message_id
from postroom.model.reply import EnhancedCode, Reply
from postroom.model.secret import Secret
from postroom.model.transport import SmtpAccount, TlsMode, redacted_url

AT = datetime(2026, 11, 21, 9, 8, 7, tzinfo=UTC)


@given(st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES))
def test_a_message_id_has_its_form_whatever_the_entropy(entropy: bytes) -> None:
    """Fourteen digits of UTC time, a dot, and 22 characters that cannot be mistaken for another."""
    made = new_message_id(AT, entropy)
    assert made.startswith("20261121090807.22")
    assert is_message_id(made)
    assert len(made) == 37


def test_every_byte_of_entropy_changes_the_id() -> None:
    """No part of the randomness is thrown away: a different byte anywhere gives a different id."""
    zero = bytes(ENTROPY_BYTES)
    made = {new_message_id(AT, zero)}
    made |= {new_message_id(AT, zero[:i] + b"\x01" + zero[i + 1 :]) for i in range(ENTROPY_BYTES)}
    assert len(made) == ENTROPY_BYTES + 1


def test_the_enhanced_code_is_read_from_the_first_line_that_has_one() -> None:
    """RFC 2034 section 4: the code starts a line's text; a number elsewhere is not a code."""
    reply = Reply(550, ("mail for 1.2.3 refused", "5.1.1 no such user"), b"")
    assert reply.enhanced == EnhancedCode(5, 1, 1)
    assert str(reply.enhanced) == "5.1.1"
    assert Reply(550, ("5.1.1x no",), b"").enhanced is None
    assert Reply(250, ("ok",), b"").enhanced is None


@given(st.text(min_size=8))
def test_a_secret_never_shows_itself(value: str) -> None:
    """Neither repr, str, format nor the redacted URL gives a password away."""
    secret = Secret(value)
    account = SmtpAccount(
        host="mail.example.com", port=465, tls=TlsMode.IMPLICIT, username="app", password=secret
    )
    assert (repr(secret), str(secret), f"{secret}") == ("Secret(*****)", "*****", "*****")
    assert redacted_url(account) == "smtps://app:*****@mail.example.com:465"
    assert secret.reveal() == value
