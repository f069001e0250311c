"""Secrets never reach a log: their values, their usual disguises and what stands under telling names.

Rules: ``conceal`` is told every secret the program is given; from then on each finished record is searched
for it: raw, as JSON and Python write it, in base64 as a login sends it, percent-encoded as a URL carries it.
What looks like a key of ours, a Bearer token or a password inside of a URL is masked without being told.

Known limit: a secret of fewer than ``MIN_LENGTH`` characters is masked only under a telling name; masking it
anywhere would show which it is.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

from structlog.typing import EventDict

MASK: Final = "*****"
MIN_LENGTH: Final = 6

_TELLING = re.compile(r"(?i)(?:^|_)(?:password|passwd|secret|token|api_?key|authorization|credential)s?$")
_SHAPES: Final = (
    # The authority of a URL is split at its last @; / ? # in a secret are percent-encoded.
    (re.compile(r"(://[^\s:/\"']*):[^\s/?#\"']+@"), rf"\1:{MASK}@"),
    (re.compile(r"(?i)\b(bearer|basic|auth (?:plain|login)) +[\w+/=.~-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b(auth (?:xoauth2|oauthbearer|scram-[\w-]+)) +[\w+/=-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"\b(pr_|whsec_)[\w+/=-]{16,}"), rf"\1{MASK}"),
)

_forms: dict[str, int] = {}
"""Every form of every secret, and how often it was told; looked for longest first."""


def conceal(*secrets: str) -> None:
    """Keep these out of every record from now on."""
    known = len(_forms)
    for secret in secrets:
        for form in _forms_of(secret):
            _forms[form] = _forms.get(form, 0) + 1
    if len(_forms) > known:
        longest_first = sorted(_forms.items(), key=lambda item: len(item[0]), reverse=True)
        _forms.clear()
        _forms.update(longest_first)


def disclose(*secrets: str) -> None:
    """Look for these no more, unless somebody else told them too: they are gone."""
    for secret in secrets:
        for form in _forms_of(secret):
            if (count := _forms.get(form, 0)) > 1:
                _forms[form] = count - 1
            else:
                _forms.pop(form, None)


def _forms_of(secret: str) -> Iterable[str]:
    if len(secret) >= MIN_LENGTH:
        raw = secret.encode("utf-8", "surrogatepass")
        # Base64 of a text that ends somewhere: its last group depends on what follows and is left out.
        coded = b64encode(raw).decode("ascii")
        written = [secret, repr(secret)[1:-1]]
        escaped = [
            json.dumps(text, ensure_ascii=is_ascii)[1:-1] for text in written for is_ascii in (True, False)
        ]
        percent = quote(secret, safe="", errors="replace")
        return {*written, *escaped, percent, coded, coded.rstrip("=")}
    return ()


def redacted(text: str) -> str:
    """Return a finished record without secrets."""
    for form in _forms:
        if form in text:
            text = text.replace(form, MASK)
    for shape, replacement in _SHAPES:
        text = shape.sub(replacement, text)
    return text


def mask_telling_names(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Mask what stands under a name that tells of a secret (a structlog processor)."""
    for name in event:
        if _TELLING.search(name) and event[name]:
            event[name] = MASK
    return event
