"""Templates as the server tells them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """One line of the list."""

    name: str
    """What a mail writes in ``template``."""
    version: str
    """In use; empty when the template has never compiled."""
    origin: str
    """``directory``, ``package`` or ``store``."""
    locales: tuple[str, ...]
    """The first is the default."""
    subject: str
    variables: Mapping[str, Any]
    """JSON Schema of the object of variables."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """The mail that a template makes; sending it makes the very same."""

    subject: str
    preheader: str
    html: str
    text: str
    size: int
    """Bytes of the whole mail."""
    version: str
    locale: str
    """Of the variant that was taken."""
    document: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """The whole answer."""


def templates_of(document: Mapping[str, Any]) -> tuple[Template, ...]:
    """Read the list. Raises KeyError, TypeError when it is none."""
    return tuple(
        Template(
            name=str(one["template"]),
            version=str(one["version"]),
            origin=str(one["origin"]),
            locales=tuple(one["locales"]),
            subject=str(one["subject"]),
            variables=one["variables"],
            document=one,
        )
        for one in document["templates"]
    )


def preview_of(document: Mapping[str, Any]) -> Preview:
    """Read a preview. Raises KeyError, TypeError when it is none."""
    return Preview(
        **{name: str(document[name]) for name in ("subject", "preheader", "html", "text")},
        size=int(document["size"]),
        version=str(document["template"]["version"]),
        locale=str(document["template"]["locale"]),
        document=document,
    )
