"""What we said in a login is never kept: it is blanked out of whatever the server says about it.

A refusal is stored, shown to people and told to webhooks; who may read those need not know the secret.

Rules: a secret is found as it is, and in base64 at any place of a longer text, also cut off, as servers quote
command lines. A piece of ``PIECE`` characters is enough to be blanked. User names stay readable.

Known limit: of a secret shorter than ``MIN_SECRET`` nothing is blanked, it would only garble the text; one
shorter than ``PIECE`` is found whole only.
"""

from base64 import b64encode
from dataclasses import replace

from postroom.model.outcome import Evidence, Fault
from postroom.model.reply import Reply

MASK = "*****"
MIN_SECRET = 4
PIECE = 12
"""Characters; nine octets of a secret in base64, and longer than words that a refusal may share with one."""


class Blanking:
    """The secrets of one login, and texts without them."""

    def __init__(self) -> None:
        """Begin with none."""
        self._whole: dict[str, None] = {}
        self._pieces: set[str] = set()
        """Of the whole forms, cut at the first text: a token has ten thousand, and few logins are refused."""
        self._is_cut = True

    def add_secret(self, secret: str) -> None:
        """Blank this from now on, as it is and in base64."""
        raw = secret.encode("utf-8", "surrogatepass")
        for form in {secret, raw.decode("latin-1")}:
            self._add(form)
        for shift in range(3):
            coded = b64encode(b"\0" * shift + raw).decode("ascii").rstrip("=")
            # What stands at the ends depends on the neighbours: only whole groups are the secret's alone.
            self._add(coded[(shift * 8 + 5) // 6 : (shift + len(raw)) * 8 // 6])

    def add_payload(self, payload: bytes) -> None:
        """Blank the base64 form of what is sent."""
        self._add(b64encode(payload).decode("ascii"))

    def _add(self, form: str) -> None:
        if len(form) >= MIN_SECRET:
            self._whole.setdefault(form)
            self._is_cut = False

    def _cut(self) -> None:
        for form in self._whole:
            self._pieces.update(form[at : at + PIECE] for at in range(len(form) - PIECE + 1))
        self._is_cut = True

    def text(self, text: str) -> str:
        """Return ``text`` without any of them."""
        if not self._is_cut:
            self._cut()
        for form in sorted(self._whole, key=len, reverse=True):
            text = text.replace(form, MASK)
        if not self._pieces or len(text) < PIECE:
            return text
        kept, end = [], 0
        for at in range(len(text) - PIECE + 1):
            if text[at : at + PIECE] in self._pieces:
                if at >= end:
                    kept.append(text[end:at] + MASK)
                end = at + PIECE
        return "".join(kept) + text[end:]

    def reply(self, reply: Reply) -> Reply:
        """Return ``reply`` without any of them."""
        raw = self.text(reply.raw.decode("latin-1")).encode("latin-1")
        return replace(reply, lines=tuple([self.text(line) for line in reply.lines]), raw=raw)

    def evidence(self, evidence: Evidence) -> Evidence:
        """Return ``evidence`` without any of them."""
        if not self._whole:
            return evidence
        reply, fault = evidence.reply, evidence.fault
        return replace(
            evidence,
            reply=self.reply(reply) if reply is not None else None,
            fault=self._fault(fault) if fault is not None else None,
        )

    def _fault(self, fault: Fault) -> Fault:
        return replace(fault, text=self.text(fault.text))
