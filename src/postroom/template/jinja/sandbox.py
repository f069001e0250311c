"""The Jinja environment in which templates run: plain values, a few attributes, bounded loops and texts.

Rules: no loader, no globals but ``range`` and ``namespace``; a name that begins with ``_`` is never looked up
in a value; filters and tests are those listed here and in ``filters``; whatever multiplies work is counted or
bounded. Time and memory are bounded by the process that renders (``renderer.worker``).

Sources: Jinja 3.1 (``jinja2.sandbox``), whose own rules hold beneath these.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, wraps
from typing import Any

from jinja2 import StrictUndefined, Undefined, nodes, pass_eval_context
from jinja2.exceptions import SecurityError, UndefinedError
from jinja2.filters import FILTERS, do_join, make_attrgetter
from jinja2.nodes import EvalContext
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS
from jinja2.utils import Namespace
from markupsafe import Markup

from postroom.template.jinja.filters import filters_for
from postroom.template.jinja.marking import OF_TEXTS, marked
from postroom.template.jinja.wrong import (
    Wrong,
    crossed,
    empty_link,
    forbidden,
    missing_value,
    null_value,
    script_link,
    wrong_value,
)

MAX_ITERATIONS = 100_000
"""Items that all loops of one rendering may go through (security limit); a list in a mail has hundreds."""
MAX_RANGE = 10_000
"""Numbers in one ``range`` (security limit)."""
MAX_REPEATED = 100_000
"""Characters or items that ``*`` makes (security limit)."""
MAX_BITS = 2048
"""Of a whole number that ``*`` and ``**`` make (security limit)."""


_UNSEEN = re.compile(r"[\x00-\x20]")
"""What browsers leave out of a scheme."""
_ACTIVE = ("javascript:", "vbscript:", "data:text/html")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILTERS = _words(
    "abs batch capitalize count d default dictsort e escape first float forceescape groupby indent int items "
    "join last length lower map max min reject rejectattr replace reverse round safe select selectattr slice "
    "sort string striptags sum title tojson trim truncate unique upper urlencode wordcount wordwrap"
)
"""Left out: ``attr``, ``xmlattr`` (attributes), ``center``, ``format``, ``pprint`` (padding), ``random``
(a preview is what is sent), ``urlize`` (markup), ``filesizeformat`` (English; here it is ``filesize``)."""
_TESTS = _words(
    "boolean defined divisibleby eq equalto even false float ge greaterthan gt in integer iterable le "
    "lessthan lower lt mapping ne none number odd sameas sequence string true undefined upper != < <= == > >="
)
STR_METHODS = _words(
    "capitalize endswith find lower replace split startswith strip lstrip rstrip title upper"
)
DICT_METHODS = frozenset({"get", "items", "keys", "values"})
_LOOP = _words(
    "changed cycle depth depth0 first index index0 last length nextitem previtem revindex revindex0"
)
_GROUP = frozenset({"grouper", "list"})


class Missing(StrictUndefined):
    """A value that is not there: false when it is tested, an error whose text is its path when it is used."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override] # the base class raises
        return False

    @property
    def _undefined_message(self) -> str:
        return self._undefined_hint or str(self._undefined_name)


class Sandbox(ImmutableSandboxedEnvironment):
    """One environment for a language and a kind of text, used for one rendering at a time."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def __init__(self, locale: str, *, is_html: bool, plain: Callable[[str], str]) -> None:
        """Take the language of the filters, whether values are escaped, and how markup becomes text."""
        super().__init__(undefined=Missing, autoescape=is_html, keep_trailing_newline=True, cache_size=0)
        self._left = 0
        self._values: Mapping[str, Any] = {}
        self.globals = dict(GLOBALS)
        self.tests = {name: TESTS[name] for name in _TESTS}
        self.filters = {name: FILTERS[name] for name in _FILTERS}
        self.filters["default"] = self.filters["d"] = _default
        if not is_html:
            self.filters["safe"] = lambda value: plain(str(value))
            self.filters["e"] = self.filters["escape"] = self.filters["forceescape"] = _unescaped
        self.filters.update({name: _strict(self.filters[name]) for name in OF_TEXTS}, join=_joined)
        self.filters.update(filters_for(locale))
        self.filters.update(
            _printed=_printed, _link=_link, _given=_given, _counted=self._counted, _named=_named
        )
        self.binop_table = {**self.binop_table, "*": _times, "**": _power, "%": _modulo}

    def begin(self, values: Mapping[str, Any]) -> None:
        """Start a rendering: count from zero."""
        self._left = MAX_ITERATIONS
        self._values = values

    def getattr(self, obj: Any, attribute: str) -> Any:
        """Return a key of an object, or one of the few attributes that values have."""
        kind = obj.__class__
        if attribute[:1] == "_":
            return self._refused(obj, attribute)
        if kind is dict:
            if attribute in obj:
                return obj[attribute]
            allowed = DICT_METHODS
        elif isinstance(obj, str):
            allowed = STR_METHODS
        elif kind is LoopContext:
            allowed = _LOOP
        elif kind is Namespace or isinstance(obj, Undefined):
            return getattr(obj, attribute)
        else:
            allowed = _GROUP if isinstance(obj, tuple) else frozenset()
        if attribute in allowed and hasattr(obj, attribute):
            return getattr(obj, attribute)
        return self._absent(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """Return an item of a list or an object."""
        if isinstance(obj, Undefined):
            return obj[argument]
        if isinstance(argument, str):
            if argument[:1] == "_":
                return self._refused(obj, argument)
            if obj.__class__ is not dict:
                return self._absent(obj, argument)
        try:
            return obj[argument]
        except (TypeError, LookupError):
            return self._absent(obj, argument)

    def _absent(self, obj: Any, name: Any) -> Undefined:
        path = path_of(obj, self._values)
        return self.undefined(
            f"{path}.{name}" if path else f"{_kind(obj)} has no {name!r}", obj=obj, name=name
        )

    def _refused(self, obj: Any, name: str) -> Undefined:
        return self.undefined(
            f"{name!r} is not a name that values have", obj=obj, name=name, exc=SecurityError
        )

    def _counted(self, value: Any, of: str) -> Iterable[Any]:
        """Return what a loop goes through, and count it."""
        if isinstance(value, list | dict | str | tuple | range):
            self._count(len(value))
            return value
        if isinstance(value, Undefined):
            iter(value)
        if value is None:
            raise null_value(of)
        if isinstance(value, bool | int | float):
            raise wrong_value(of, f"is {_kind(value)}, and a loop needs a list")
        return self._counting(value)

    def _counting(self, value: Iterable[Any]) -> Iterator[Any]:
        for item in value:
            self._count(1)
            yield item

    def _count(self, items: int) -> None:
        self._left -= items
        if self._left < 0:
            raise crossed(f"its loops go through more than {MAX_ITERATIONS} items")

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return marked(super()._parse(source, name, filename), self)

    def parse_plain(self, source: str) -> nodes.Template:
        """Return the tree of a source without the checks, to look at it. Raises TemplateSyntaxError."""
        return super()._parse(source, None, None)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ARG002 - Jinja's signature
        """Run one of the operators that are bounded."""
        return self.binop_table[operator](left, right)


@lru_cache(maxsize=64)
def sandbox(locale: str, *, is_html: bool, plain: Callable[[str], str]) -> Sandbox:
    """Return the environment for a language; environments are kept, for they are dear to make."""
    return Sandbox(locale, is_html=is_html, plain=plain)


def path_of(wanted: object, value: object, path: str = "") -> str:
    """Return where a list or object stands among the variables; empty when it does not."""
    if value is wanted:
        return path
    found = ""
    if isinstance(value, dict):
        parts: Iterable[tuple[object, object]] = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    else:
        return ""
    for key, part in parts:
        if isinstance(part, dict | list) and (
            found := path_of(wanted, part, f"{path}.{key}" if path else f"{key}")
        ):
            break
    return found


def _printed(value: Any, of: str) -> Any:
    """Let through what may be printed: texts and numbers."""
    kind = value.__class__
    if kind is str or kind is Markup or kind is int or kind is float:
        return value
    if value is None:
        raise null_value(of)
    if isinstance(value, Undefined):
        raise missing(value, of)
    if kind is bool or kind is dict or kind is list or kind is tuple:
        raise wrong_value(of, f"is {_kind(value)}, and a text or number is printed")
    return str(value)


def _link(value: Any, of: str) -> Any:
    value = _printed(value, of)
    if not str(value).strip():
        raise empty_link(of)
    if _UNSEEN.sub("", str(value)[:100]).lower().startswith(_ACTIVE):
        raise script_link(of)
    return value


def _given(value: Any, of: str) -> Any:
    if value is None:
        raise null_value(of)
    return value


def _strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let a filter of texts take no ``null``, also where ``map`` calls it."""
    place = 1 if hasattr(function, "jinja_pass_arg") else 0

    @wraps(function)
    def run(*args: Any, **options: Any) -> Any:
        return function(*args[:place], _given(args[place], ""), *args[place + 1 :], **options)

    return run


@pass_eval_context
def _joined(
    context: EvalContext, value: Any, d: str = "", attribute: str | None = None, *, of: str = ""
) -> str:
    """As Jinja's, and each item is one that may be printed."""
    items = value if attribute is None else map(make_attrgetter(context.environment, attribute), value)
    printed = [_printed(one, f"{of}.{n}" if of else "") for n, one in enumerate(items)]
    return do_join(context, printed, d)  # type: ignore[no-any-return] # Jinja's has no types


def _named(value: Any, of: str) -> Any:
    """Name a value that is missing by its path."""
    if isinstance(value, Undefined):
        raise missing(value, of)
    return value


def missing(value: Undefined, of: str) -> Wrong:
    """Return the error for a value that is not there; ``of`` is the path in the template."""
    try:
        str(value)
    except SecurityError as error:
        return forbidden(str(error))
    except UndefinedError as error:
        text = str(error)
        if not of or " " in text:
            return forbidden(text)
    return missing_value(of)


def _default(value: Any, other: Any = "", boolean: bool = False) -> Any:
    """As Jinja's, and ``null`` counts as missing."""
    if value is None or isinstance(value, Undefined) or (boolean and not value):
        return other
    return value


def _unescaped(value: Any) -> str:
    return str(value)


def _bounded_range(*bounds: int) -> range:
    numbers = range(*bounds)
    try:
        size = len(numbers)
    except OverflowError:
        size = MAX_RANGE + 1
    if size > MAX_RANGE:
        raise crossed(f"a range has more than {MAX_RANGE} numbers")
    return numbers


def _times(left: Any, right: Any) -> Any:
    for one, other in ((left, right), (right, left)):
        if isinstance(one, str | list | tuple):
            if isinstance(other, int) and len(one) * other > MAX_REPEATED:
                raise crossed(f"* makes more than {MAX_REPEATED} characters or items")
            return left * right
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() + right.bit_length() > MAX_BITS:
        raise crossed(f"* makes a number of more than {MAX_BITS} bits")
    return left * right


def _power(left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and max(left.bit_length(), 1) * abs(right) > MAX_BITS:
        raise crossed(f"** makes a number of more than {MAX_BITS} bits")
    return left**right


def _modulo(left: Any, right: Any) -> Any:
    if isinstance(left, str):
        raise forbidden("% does not format texts here; join them with ~")
    return left % right


def _kind(value: object) -> str:
    match value:
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case dict():
            return "an object"
        case _:
            return "a list"


GLOBALS: Mapping[str, Any] = {"range": _bounded_range, "namespace": Namespace}
"""What a template may call beside what it is given."""
