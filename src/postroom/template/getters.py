"""The Python source of a package's typed getters, made from what its templates read.

Each template becomes three methods, ``get_mail_NAME`` (the HTML), ``get_subject_NAME`` and ``get_text_NAME``,
with the template's variables as arguments; each global becomes an argument of the class. What cannot be said
in Python (a variable called ``class``, two templates whose names come to one) is found here, all of it at
once. The same templates always give the same text. Pure.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from postroom.model.template import CompiledTemplate, Finding, Severity
from postroom.template.errors import SourceError
from postroom.template.getter_types import TypedKeys, Types, camel, is_name, literal, prose

ALWAYS = frozenset({"_locale", "_year"})
"""Globals that nobody gives: they come with each mail."""
LOGO = "_logo_url"
"""The global that is made from ``api_base_url``, as in the packages this shape comes from."""
_FIRST = ("_product_name", "_payment_product_name", "_entity_name", "_entity_site_url", LOGO)
"""In this order and before all others, so that calls by position go on working."""
_NOTES = {
    "product_name": 'Name of the product, for example "Postroom".',
    "payment_product_name": "Name of the payment product.",
    "entity_name": "Who sends the mail.",
    "entity_site_url": "Where the sender's site is.",
    "api_base_url": "Where the package's files are served, for example https://api.example.com/.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packable:
    """One template to go into a package."""

    name: str
    variants: Sequence[CompiledTemplate]
    """One for each locale, the default first."""
    getter: str = ""
    """What stands behind ``get_mail_``; empty: the name, with underscores."""
    description: str = ""
    file: str = ""
    """Where it was written, for findings."""

    @property
    def suffix(self) -> str:
        """Return what stands behind ``get_mail_``."""
        return (self.getter or self.name).replace("-", "_")

    @property
    def locale(self) -> str:
        """Return the default locale."""
        return self.variants[0].locale

    @property
    def properties(self) -> dict[str, Mapping[str, Any]]:
        """Return the variables of all variants, in the order of the first that has each."""
        found: dict[str, Mapping[str, Any]] = {}
        for variant in self.variants:
            for name, one in variant.schema.get("properties", {}).items():
                found.setdefault(name, one)
        return found

    @property
    def required(self) -> frozenset[str]:
        """Return the variables without which a variant cannot be rendered."""
        return frozenset(name for variant in self.variants for name in variant.schema.get("required", ()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the module refers to."""

    class_name: str
    logo: str
    """Path of the logo behind ``api_base_url``."""
    has_filters: bool = False
    """Whether the module of filters lies beside it."""


def arguments_of(templates: Iterable[Packable]) -> dict[str, str]:
    """Return what each global is made from: its name to the argument of the class."""
    read = {name for one in templates for variant in one.variants for name in variant.globals} - ALWAYS
    order = [name for name in _FIRST if name in read] + sorted(read - set(_FIRST))
    return {name: "api_base_url" if name == LOGO else name.removeprefix("_") for name in order}


def check(templates: Sequence[Packable]) -> None:
    """Raise SourceError with everything that has no name in Python, or has another's."""
    findings: list[Finding] = []
    getters: dict[str, str] = {}
    for one in templates:
        findings += _wrong_names(one)
        other = getters.setdefault(one.suffix, one.name)
        if other != one.name:
            cause = f"{one.name} and {other} would both be get_mail_{one.suffix}"
            findings.append(
                _error(
                    one, "getter-taken", cause, "Name one, or give one `getter: NAME` in its front matter."
                )
            )
    for name, argument in arguments_of(templates).items():
        if not is_name(argument) or argument == "self":
            reader = next(
                one for one in templates if any(name in variant.globals for variant in one.variants)
            )
            cause = f"{name} would be the argument {argument!r}, which cannot be one in Python"
            findings.append(_error(reader, "getter-name", cause, "Give the global another name."))
    if findings:
        raise SourceError(findings)


def _wrong_names(one: Packable) -> Iterable[Finding]:
    if not f"get_mail_{one.suffix}".isidentifier():
        cause = f"get_mail_{one.suffix} cannot be a name in Python"
        yield _error(one, "getter-name", cause, "Write `getter:` with letters, digits and underscores.")
    taken = {"self"} | ({"locale"} if len(one.variants) > 1 else set())
    for name in one.properties:
        if not is_name(name) or name in taken:
            why = (
                "is the argument that chooses the language"
                if name == "locale"
                else "cannot be an argument in Python"
            )
            yield _error(
                one, "getter-argument", f"the variable {name!r} {why}", "Give the variable another name."
            )


def _error(one: Packable, code: str, cause: str, fix: str) -> Finding:
    return Finding(code=code, severity=Severity.ERROR, file=one.file or one.name, cause=cause, fix=fix)


def source_of(templates: Sequence[Packable], module: Names) -> str:
    """Write the module for templates that ``check`` has passed."""
    types = Types()
    methods = [line for one in templates for line in _methods(one, types)]
    classes = [line for one in types.classes for line in _typed_keys(one)]
    body = [*_constructor(templates, module), *methods]
    kinds = " ".join(kind for one in types.classes for _, kind in one.keys)
    names = ["Any"] if types.has_any else []
    names += ["NotRequired"] if "NotRequired[" in kinds else []
    names += ["TypedDict"] if types.classes else []
    head = [
        '"""The mails of this package. Generated by `postroom templates build`: do not edit."""',
        "",
        *([f"from typing import {', '.join(names)}", ""] if names else []),
        *(["from ._filters import filters_for"] if module.has_filters else []),
        "from ._rendering import Mails",
    ]
    text = [
        *head,
        *classes,
        "",
        "",
        f"class {module.class_name}:",
        '    """The mails, with what all of them say."""',
        *body,
    ]
    return "\n".join(text) + "\n"


def _typed_keys(one: TypedKeys) -> Iterable[str]:
    yield from ("", "", f"class {one.name}(TypedDict):")
    yield f'    """Values of {one.name}."""'
    yield ""
    for name, kind in one.keys:
        yield f"    {name}: {kind}"
        if note := prose(one.notes[name]):
            yield f'    """{note}"""'


def _constructor(templates: Sequence[Packable], module: Names) -> Iterable[str]:
    arguments = arguments_of(templates)
    names = list(dict.fromkeys(arguments.values()))
    yield ""
    yield from _signature("__init__", [f"{name}: str" for name in names], "None")
    yield '        """Take what every mail says.' + ("" if names else '"""')
    if names:
        yield from ("", "        Args:")
        for name in names:
            yield f"            {name}: {_NOTES.get(name, 'Value of _' + name + '.')}"
        yield '        """'
    yield "        self.environment_variables: dict[str, str] = {" + ("" if arguments else "}")
    for name, argument in arguments.items():
        value = argument
        if name == LOGO:
            value = f'{argument}.rstrip("/") + {literal("/" + module.logo)} if {argument} else ""'
        yield f"            {literal(name)}: {value},"
    if arguments:
        yield "        }"
    more = ", filters_for=filters_for" if module.has_filters else ""
    yield f"        self._mails = Mails(self.environment_variables{more})"


def _methods(one: Packable, types: Types) -> Iterable[str]:
    notes = _notes(one)
    arguments = _arguments(one, types)
    locale = "locale" if len(one.variants) > 1 else literal(one.locale)
    given = ", ".join(f"{literal(name)}: {name}" for name in one.properties)
    for verb, part, what in (
        ("mail", "html", "mail"),
        ("subject", "subject", "subject"),
        ("text", "text", "text part"),
    ):
        if part != "html" and not all(getattr(variant, part) for variant in one.variants):
            continue  # the caller gives the subject; a text that was not derived is made by the program alone
        yield ""
        yield from _signature(f"get_{verb}_{one.suffix}", arguments, "str")
        about = f"Return the {what} of {one.name}."
        if part == "html" and one.description:
            about = f"{about}\n\n        {prose(one.description)}"
        yield f'        """{about}' + ("" if notes else '"""')
        if notes:
            yield from ("", "        Args:", *notes, '        """')
        asked = f"{literal(one.name)}, {literal(part)}, {locale}"
        yield f"        return self._mails.rendered({asked}, {{{given}}})"


def _signature(name: str, arguments: Sequence[str], result: str) -> Iterable[str]:
    if not arguments:
        yield f"    def {name}(self) -> {result}:"
        return
    yield f"    def {name}("
    yield "        self,"
    for argument in arguments:
        yield f"        {argument},"
    yield f"    ) -> {result}:"


def _arguments(one: Packable, types: Types) -> list[str]:
    """Return the arguments of a signature: the required ones first, the locale by keyword only."""
    required, optional = [], []
    for name, schema in one.properties.items():
        kind = types.of(schema, camel(one.suffix) + camel(name))
        if name in one.required:
            required.append(f"{name}: {kind}")
        elif isinstance(schema.get("default"), str | int | float):
            optional.append(f"{name}: {kind} = {literal(schema['default'])}")
        else:
            optional.append(f"{name}: {kind if kind == 'Any' or 'None' in kind else kind + ' | None'} = None")
    by_keyword = ["*", f"locale: str = {literal(one.locale)}"] if len(one.variants) > 1 else []
    return [*required, *optional, *by_keyword]


def _notes(one: Packable) -> list[str]:
    notes = [
        f"            {name}: {text}"
        for name, schema in one.properties.items()
        if (text := prose(str(schema.get("description", ""))))
    ]
    if len(one.variants) > 1:
        found = ", ".join(variant.locale for variant in one.variants)
        notes.append(f"            locale: Language as a BCP 47 tag; there are {found}.")
    return notes
