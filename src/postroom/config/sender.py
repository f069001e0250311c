"""A sender as written in settings: ``a@example.com`` or ``Name <a@example.com>``.

Pure. Stricter than what a message may carry: the address is ASCII, or its domain an internationalised name.
"""

import re

import idna

from postroom.grammar import ASCII_ADDRESS, BIDI_CONTROL, CONTROL, MAX_LOCAL_PART, MAX_PATH
from postroom.model.address import Address, Mailbox

_NAMED = re.compile(r"(?P<name>[^<>]*)<(?P<spec>[^<>]+)>\Z")


def parse_sender(value: object) -> Mailbox:
    """Return the mailbox. Raises ValueError with a phrase that does not repeat the value."""
    if isinstance(value, Mailbox):
        return value
    text = value.strip() if isinstance(value, str) else ""
    named = _NAMED.match(text)
    name, spec = (named["name"].strip(), named["spec"].strip()) if named else ("", text)
    if len(name) >= 2 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"').replace("\\\\", "\\")
    if CONTROL.search(name) or BIDI_CONTROL.search(name):
        msg = "the name holds a control character"
        raise ValueError(msg)
    return Mailbox(address=_address(spec), name=name)


def is_address(text: str) -> bool:
    """Say whether ``text`` can be a sender's address."""
    try:
        _address(text)
    except ValueError:
        return False
    return True


def _address(spec: str) -> Address:
    local, _, domain = spec.rpartition("@")
    try:
        domain = idna.encode(domain.lower(), uts46=True).decode()
    except idna.IDNAError:
        domain = ""
    ascii_spec = f"{local}@{domain}"
    if not ASCII_ADDRESS.match(ascii_spec) or len(local) > MAX_LOCAL_PART or len(ascii_spec) > MAX_PATH:
        msg = 'not an address, for example "Reports <reports@example.com>"'
        raise ValueError(msg)
    return Address(local=local, domain=domain)
