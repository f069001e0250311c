"""Claims about text bodies: line ends, transfer encodings, limits."""

import base64
import quopri
import time
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from each_row import each
from mime.messages import assert_wire_form, content, read, wire
from postroom.mime.text import base64_lines, encode_text

LINES = st.lists(
    st.one_of(
        st.text(max_size=120),
        st.sampled_from(
            [
                "From me",
                ".",
                "..",
                "From .",
                "a ",
                "b\t",
                " ",
                "x" * 74 + " ",
                "y" * 75 + "\t",
                "z" * 1200,
                "--=_",
                "=",
            ]
        ),
    ),
    max_size=12,
)
DECODERS: dict[str, Callable[[bytes], bytes]] = {
    "7bit": bytes,
    "base64": base64.b64decode,
    "quoted-printable": quopri.decodestring,
}
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def normalised(text: str) -> str:
    """Return ``text`` with LF line ends, as a reader shows it."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


@given(LINES, ENDS, st.sampled_from(["", "\u00fc", "\u738b\u4f1f" * 40, "\x01", "a" * 999]))
def test_any_text_reads_back_equal(lines: list[str], end: str, special: str) -> None:
    """Whatever the encoding chosen, the text reads back equal but for its line ends."""
    text = end.join([*lines, special])
    data = wire(content(text=text))
    assert_wire_form(data)
    assert normalised(text).removesuffix("\n") == normalised(read(data).get_content()).removesuffix("\n")


@given(LINES, st.sampled_from(["\u00fc", "\x07"]))
def test_quoted_printable_is_safe_on_any_relay(lines: list[str], special: str) -> None:
    """Lines are at most 76 octets, end with no blank, begin with no ``From `` and are no lone dot."""
    text = "\n".join([*lines, "padding to stay mostly ASCII " * 200, special])
    coding, body = encode_text(text)
    if coding == "base64":
        return
    assert "quoted-printable" == coding
    for line in body.split(b"\r\n"):
        assert len(line) <= 76
        assert not line.endswith((b" ", b"\t"))
        assert not line.startswith(b"From ")
    assert normalised(text) == quopri.decodestring(body).decode().replace("\r\n", "\n").removesuffix(
        "\n" * (text[-1:] != "\n")
    )


@each(
    ("text", "coding"),
    [
        ("", "7bit"),
        ("Hello\n", "7bit"),
        ("x" * 998 + "\ny\n", "7bit"),
        ("y\n" + "x" * 998, "7bit"),
        ("x" * 999 + "\n", "quoted-printable"),
        ("y\n" + "x" * 999, "quoted-printable"),
        ("tab\there", "7bit"),
        ("bell\x07 in a text of some length", "quoted-printable"),
        ("del\x7f in a text of some length", "quoted-printable"),
        ("Gr\u00fc\u00dfe aus einem l\u00e4ngeren deutschen Text", "quoted-printable"),
        ("\u60a8\u7684\u8ba2\u5355\u5df2\u7ecf\u53d1\u8d27 Order 4711", "base64"),
        ("\u041f\u0440\u0438\u0432\u0435\u0442", "base64"),
    ],
)
def test_the_encoding_fits_the_text(text: str, coding: str) -> None:
    """ASCII goes as it is, mostly ASCII as quoted-printable, the rest as base64."""
    assert coding == encode_text(text)[0]


@each("text", ["a\rb\nc\r\nd", "a\r\rb", "\r\n\n\r", "\r", "\n"])
@each("special", ["", "\u00fc", "\u738b" * 30])
def test_every_line_end_becomes_cr_lf(text: str, special: str) -> None:
    """Bare CR, bare LF and CR LF are each one line end."""
    coding, body = encode_text(text + special)
    decoded = DECODERS[coding](body)
    assert normalised(text + special).replace("\n", "\r\n") == decoded.decode().removesuffix(
        "\r\n" * (coding != "base64" and not (text + special).endswith(("\r", "\n")))
    )


@given(st.binary(max_size=5000))
def test_base64_is_what_the_standard_library_writes(data: bytes) -> None:
    """Lines of 76 characters with CR LF, equal to the standard library's but for the line ends."""
    assert base64.encodebytes(data).replace(b"\n", b"\r\n") == base64_lines(data)


def test_large_texts_take_linear_time() -> None:
    """Half a megabyte of the worst lines are encoded in a moment."""
    for text in (
        "\n" * 500_000,
        "x" * 500_000,
        "From \n" * 75_000 + "\x01",
        " \n" * 250_000 + "\x01",
        "\r" * 500_000,
    ):
        started = time.process_time()
        encode_text(text)
        assert time.process_time() - started < 1
