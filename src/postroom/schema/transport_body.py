"""A transport as a call describes it or as the store keeps it: from JSON values to a spec, and back.

Our own names, or those of another program (``transport_forms``). Pure.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from postroom.errors import Problem
from postroom.model.address import Mailbox
from postroom.model.secret import Secret
from postroom.model.transport import StoredTransport, TransportSpec
from postroom.schema.findings import Place, found_problems
from postroom.schema.transport_fields import TransportFields
from postroom.schema.transport_forms import plain_form
from postroom.schema.transport_secrets import join_secrets, split_secrets
from postroom.schema.transport_spec import ReadTransport, Setting, spec_of

NO_SECRETS: Mapping[str, Secret] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBody:
    """What a call said, understood."""

    spec: TransportSpec | None
    """``None`` when there are problems."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """To store and to show: our names, ``*****`` in the place of every secret."""
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    """To store, by path."""
    problems: tuple[Problem, ...] = ()
    warnings: tuple[str, ...] = ()


def read_body(
    body: object, *, secrets: Mapping[str, Secret] = NO_SECRETS, setting: Setting | None = None
) -> ReadBody:
    """Read what a call says about one transport.

    ``secrets`` are those of the stored transport that is changed or checked: a ``*****`` in the body keeps
    them. A change that leaves fields out is laid over the stored ``fields`` first, by whoever asks.
    """
    if not isinstance(body, Mapping):
        problem = Problem(code="wrong-type", field="body", cause="not an object", fix="Send a JSON object.")
        return ReadBody(spec=None, problems=(problem,))
    plain = plain_form(body)
    if plain.problems:
        return ReadBody(spec=None, problems=tuple(plain.problems), warnings=tuple(plain.warnings))
    document = join_secrets(plain.document, secrets)
    setting = replace(setting or Setting(), names={**(setting.names if setting else {}), **plain.names})
    read = _read(document, setting)
    warnings = (*plain.warnings, *read.warnings)
    if read.spec is None:
        return ReadBody(spec=None, problems=read.problems, warnings=warnings)
    fields, found = split_secrets(document, read.spec.account)
    return ReadBody(spec=read.spec, fields=fields, secrets=found, warnings=warnings)


def read_stored(stored: StoredTransport, *, default_from: Mailbox | None = None) -> ReadTransport:
    """Return what a stored transport comes to.

    With a ``problem`` of its secrets the spec holds ``*****`` in their place: nothing may be sent by it.
    """
    setting = Setting(default_from=default_from, is_locked=bool(stored.problem))
    return _read({**join_secrets(stored.fields, stored.secrets), "name": stored.name}, setting)


def _read(document: Mapping[str, Any], setting: Setting) -> ReadTransport:
    def named(path: Place) -> str:
        return setting.named(".".join(map(str, path)))

    try:
        fields = TransportFields.model_validate(document)
    except ValidationError as error:
        found = [problem for _, problem in found_problems(error, TransportFields, named)]
        return ReadTransport(spec=None, problems=tuple(found))
    return spec_of(fields, setting)
