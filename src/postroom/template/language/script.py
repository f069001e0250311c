"""JavaScript at compile time: expressions and component scripts in QuickJS, within bounds.

One engine serves one compilation. Locals are kept inside of it (``Scope`` is only a handle), code sees no
file, network or clock, and what fails comes out as a ScriptFailure in words an author understands; who knows
the place makes a finding of it. Nothing of this runs when mail is rendered.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
from importlib.resources import files
from typing import Any, NewType

import quickjs

YEAR = "{{ _year }}"
"""What ``new Date().getFullYear()`` prints: the year in which mail is rendered."""
MAX_MEMORY = 32 * 1024 * 1024
"""Bytes for everything one compilation holds in JavaScript."""
MAX_TIME = 1.0
"""Seconds for one expression, and for all of a compilation."""
MAX_STACK = 256 * 1024
"""Bytes; small, so that it ends before the thread's own stack does."""
_ERROR = re.compile(r"(\w*Error): (.*)")
_UNKNOWN = re.compile(r"(?:'(?P<quoted>[^']+)'|(?P<name>[\w$]+)) is not defined")
_READ = re.compile(r"cannot read property '?([^']*?)'? of (undefined|null)")

Scope = NewType("Scope", object)
"""Locals inside the engine."""
Aware = NewType("Aware", object)
"""What enclosing components pass to those inside of them."""


class Fault(StrEnum):
    """Why code did not give a value."""

    UNKNOWN = "unknown-name"
    SYNTAX = "script-syntax"
    FAILED = "script-failed"
    LIMIT = "script-limit"


class ScriptFailure(Exception):  # noqa: N818 -- it is turned into a finding, never shown as an error
    """Code did not give a value."""

    def __init__(self, fault: Fault, cause: str, name: str = "") -> None:
        """Take what went wrong; ``name`` is the unknown one."""
        super().__init__(cause)
        self.fault = fault
        self.cause = cause
        self.name = name


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How a component is used: what its script and its expressions see."""

    attributes: Sequence[tuple[str, str]] = ()
    """Names without prefixes; values as written, empty for those without one."""
    merge: Sequence[str] = ()
    aware: Sequence[str] = ()
    slots: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By name: ``attributes`` as above, ``source``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Locals:
    """A component's names."""

    scope: Scope
    declared: frozenset[str]
    """Names its script gave values to."""
    landing: Mapping[str, str]
    """Attributes its script did not take, for an element of what it makes."""
    aware: Aware
    """For the components inside of it."""


class Engine:
    """JavaScript for one compilation. Used by one thread."""

    def __init__(self, *, max_seconds: float = MAX_TIME) -> None:
        """Start without names; ``max_seconds`` is for one expression, and for all of them."""
        self._max_seconds = max_seconds
        self._context = quickjs.Context()
        self._context.set_memory_limit(MAX_MEMORY)
        self._context.set_max_stack_size(MAX_STACK)
        self._context.set_time_limit(max_seconds)
        self._context.eval(f"globalThis.$engine = ({_prelude()})({max_seconds * 1000})")
        engine = {name: self._context.eval(f"$engine.{name}") for name in _VERBS}
        self._context.eval("delete globalThis.$engine")
        self._verbs = engine

    def page(self, page: Mapping[str, Any]) -> Scope:
        """Return the names of a template: ``page``."""
        return Scope(self._call("scope", None, json.dumps({"page": page}, default=str)))

    def unaware(self) -> Aware:
        """Return what the outermost components are passed: nothing."""
        return Aware(self._call("list"))

    def printed(self, scope: Scope, code: str) -> str | None:
        """Return what an expression prints; ``None`` for ``undefined`` and ``null``. Raises ScriptFailure."""
        found = str(self._call("print", scope, code))
        if found == "u":
            return None
        if found == "f":
            raise ScriptFailure(Fault.FAILED, "is a function, not a value")
        return found[1:]

    def is_true(self, scope: Scope, code: str) -> bool:
        """Tell whether a condition holds. Raises ScriptFailure."""
        return bool(self._call("truth", scope, code))

    def which(self, scope: Scope, code: str, cases: Sequence[str]) -> int:
        """Return the index of the first case that equals the value, or -1. Raises ScriptFailure."""
        return int(self._call("which", scope, code, json.dumps(cases)))

    def begin_loop(self, scope: Scope, code: str) -> int:
        """Return how many items a list or object has, -1 for none, -2 for no list. Raises ScriptFailure."""
        return int(self._call("items", scope, code))

    def item(self, scope: Scope, index: int, first: str, second: str) -> Scope:
        """Return the scope of one turn of the loop begun last. Raises ScriptFailure."""
        return Scope(self._call("item", scope, index, first, second))

    def end_loop(self, scope: Scope) -> None:
        """Forget the loop begun last."""
        self._call("done", scope)

    def within(self, scope: Scope, code: str) -> Scope | None:
        """Return a scope with an object's members as names; ``None``: no object. Raises ScriptFailure."""
        made = self._call("within", scope, code)
        return None if made is None else Scope(made)

    def component(self, page: Scope, aware: Aware, call: Call, scripts: Sequence[str]) -> Locals:
        """Run a component's scripts and return its names. Raises ScriptFailure."""
        given = {
            "attributes": call.attributes,
            "merge": call.merge,
            "aware": call.aware,
            "slots": call.slots,
        }
        made = self._call("component", page, aware, json.dumps(given), json.dumps(scripts))
        passed = self._call("passed", made)
        return Locals(
            scope=Scope(self._call("locals", made)),
            declared=frozenset(json.loads(self._call("declared", made))),
            landing=dict(json.loads(self._call("landing", made))),
            aware=Aware(self._call("longer", aware, passed)) if call.aware else aware,
        )

    def _call(self, verb: str, *arguments: object) -> Any:
        try:
            return self._verbs[verb](*arguments)
        except quickjs.StackOverflow:
            raise ScriptFailure(Fault.LIMIT, "calls itself too deeply") from None
        except quickjs.JSException as failure:
            raise self._failure(str(failure.args[0])) from None

    def _failure(self, message: str) -> ScriptFailure:
        match = _ERROR.match(message)
        kind, detail = (match[1], match[2]) if match is not None else ("Error", message.partition("\n")[0])
        if kind == "ReferenceError":
            unknown = _UNKNOWN.search(detail)
            name = (unknown["quoted"] or unknown["name"]) if unknown is not None else detail
            return ScriptFailure(Fault.UNKNOWN, f"{name} is not known here", name)
        if kind == "SyntaxError":
            return ScriptFailure(Fault.SYNTAX, f"is not JavaScript: {detail}")
        if kind == "InternalError":
            if "memory" in detail:
                return ScriptFailure(Fault.LIMIT, f"needs more than {MAX_MEMORY // 1024 // 1024} MiB")
            return ScriptFailure(Fault.LIMIT, f"takes more than {self._max_seconds:g} s")
        missing = _READ.search(detail)
        if missing is not None:
            return ScriptFailure(Fault.FAILED, f"reads {missing[1]} of something that has no value")
        return ScriptFailure(Fault.FAILED, detail or "fails")


_VERBS = (
    "scope",
    "print",
    "truth",
    "which",
    "items",
    "item",
    "done",
    "within",
    "component",
    "locals",
    "declared",
    "landing",
    "passed",
    "list",
    "longer",
)


@cache
def _prelude() -> str:
    code = files("postroom.template.language").joinpath("script.js").read_text(encoding="utf-8")
    return code.replace("__YEAR__", YEAR)
