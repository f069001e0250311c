"""Sealed secrets under attack: only what was sealed opens, where it was sealed, by the key that sealed it."""

import base64
import re

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from postroom.errors import SecretKeyError
from postroom.model.secret import Secret
from postroom.spool.sealing import KEY_BYTES, NONCE_BYTES, Place, SealingKeys, id_in, key_id

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))
KEYS = SealingKeys([KEY])
PLACE = Place("stored_transport", "main", "password")
NONCE = b"\x07" * NONCE_BYTES
SECRET = Secret("correct horse battery")
SEALED = KEYS.seal(SECRET, PLACE, nonce=NONCE)

words = st.text(max_size=20)
places = st.builds(Place, words, words, words)


def cause_of(sealed: str, place: Place = PLACE, keys: SealingKeys = KEYS) -> str:
    """Return the cause of the refusal; it tells nothing secret."""
    with pytest.raises(SecretKeyError) as caught:
        keys.open(sealed, place)
    assert SECRET.reveal() not in f"{caught.value!s}{caught.value!r}"
    assert caught.value.__cause__ is None
    return caught.value.cause


@given(st.text(alphabet=st.characters(), max_size=200), places, st.binary(min_size=12, max_size=12))
def test_what_is_sealed_opens_at_its_place(text: str, place: Place, nonce: bytes) -> None:
    """Any text comes back as it was, lone surrogates included."""
    assert Secret(text) == KEYS.open(KEYS.seal(Secret(text), place, nonce=nonce), place)


def test_the_text_form_is_the_documented_one() -> None:
    """Version, key id and Base64 of nonce, ciphertext and tag, as another implementation reads it."""
    form, id_, encoded = SEALED.split(".")
    assert ("v1", key_id(KEY)) == (form, id_)
    assert re.fullmatch("[0-9a-f]{8}", id_)
    assert id_ == id_in(SEALED)
    raw = base64.b64decode(encoded)
    bound = b'["v1", "%s", "stored_transport", "main", "password"]' % id_.encode()
    assert SECRET.reveal().encode() == AESGCM(KEY).decrypt(raw[:12], raw[12:], bound)
    assert NONCE == raw[:12]


@given(places, places)
def test_a_secret_opens_nowhere_else(one: Place, other: Place) -> None:
    """Rows, fields and tables cannot be swapped, whatever their names are made of."""
    sealed = KEYS.seal(SECRET, one, nonce=NONCE)
    if one == other:
        assert SECRET == KEYS.open(sealed, other)
    else:
        assert "secret-key-wrong" == cause_of(sealed, other)


def test_parts_of_a_place_do_not_run_together() -> None:
    """A boundary between table, row and field cannot be moved."""
    sealed = KEYS.seal(SECRET, Place("a", "b", "c.d"), nonce=NONCE)
    for other in (
        Place("a", "b.c", "d"),
        Place("ab", "", "c.d"),
        Place("a", 'b", "c', "d"),
        Place("b", "a", "c.d"),
    ):
        assert "secret-key-wrong" == cause_of(sealed, other)


def test_no_byte_can_be_changed() -> None:
    """Every bit of nonce, ciphertext and tag counts."""
    form, id_, encoded = SEALED.split(".")
    raw = base64.b64decode(encoded)
    for place in range(len(raw)):
        for bit in range(8):
            flipped = bytes([*raw[:place], raw[place] ^ (1 << bit), *raw[place + 1 :]])
            assert "secret-key-wrong" == cause_of(f"{form}.{id_}.{base64.b64encode(flipped).decode()}")


def test_no_character_can_be_changed() -> None:
    """There is one spelling: changed, cut and lengthened texts are refused, whatever stands in them."""
    for place, was in enumerate(SEALED):
        for now in "Aa0+/=.v \n\x00ÿ":
            if now != was:
                changed = SEALED[:place] + now + SEALED[place + 1 :]
                assert cause_of(changed) in {"secret-key-wrong", "secret-key-missing"}
    for size in range(len(SEALED)):
        assert "secret-key-wrong" == cause_of(SEALED[:size])
    for tail in ("A", "=", "AAAA", "\n", "."):
        assert "secret-key-wrong" == cause_of(SEALED + tail)


@given(st.text(max_size=80))
def test_any_text_is_refused_with_a_cause(text: str) -> None:
    """What is not of the form never gets through and never breaks anything else."""
    assert "secret-key-wrong" == cause_of(text)


def test_the_last_bits_of_base64_are_no_second_spelling() -> None:
    """Base64 that decodes to the same bytes by another text is refused."""
    sealed = next(
        text for text in (KEYS.seal(Secret("x" * n), PLACE, nonce=NONCE) for n in range(3)) if text[-2] == "="
    )
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    other = sealed[:-3] + alphabet[alphabet.index(sealed[-3]) + 1] + "=="
    assert base64.b64decode(sealed.split(".")[2]) == base64.b64decode(other.split(".")[2])
    assert "secret-key-wrong" == cause_of(other)


def test_another_key_is_missing_and_a_namesake_is_wrong() -> None:
    """A key of another id is named as missing; one that only claims the id does not open."""
    assert "secret-key-missing" == cause_of(SEALED, keys=SealingKeys([OTHER]))
    claimed = SEALED.replace(key_id(KEY), key_id(OTHER))
    assert "secret-key-wrong" == cause_of(claimed, keys=SealingKeys([OTHER, KEY]))


def test_older_keys_open_and_the_current_one_seals() -> None:
    """Rotation needs both at once."""
    both = SealingKeys([OTHER, KEY])
    assert SECRET == both.open(SEALED, PLACE)
    assert key_id(OTHER) == both.current_id == id_in(both.seal(SECRET, PLACE, nonce=NONCE))
    assert (key_id(OTHER), key_id(KEY)) == both.ids


@pytest.mark.parametrize("keys", [[], [b""], [KEY[:-1]], [KEY, KEY + b"0"], [b"\0" * 16]])
def test_keys_of_another_length_are_refused(keys: list[bytes]) -> None:
    """AES-128 is never chosen by a short key."""
    with pytest.raises(ValueError, match=f"{KEY_BYTES} bytes"):
        SealingKeys(keys)


def test_nothing_shows_a_key() -> None:
    """The value can be printed: it shows ids."""
    keys = SealingKeys([KEY, OTHER])
    assert f"SealingKeys({key_id(KEY)}, {key_id(OTHER)})" == repr(keys) == f"{keys}"
    assert not hasattr(keys, "__dict__")
