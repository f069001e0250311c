"""Style sheets with directives to plain rules: ``@import``, ``@tailwind``, ``@layer``, ``@apply``.

The utility classes of a page take the place of ``@tailwind utilities``; what stands in ``@layer`` takes
the place of its directive, or its own where there is none. ``@apply`` becomes the declarations of the
classes it names, in the order of the cascade, and rules after its own for those with variants.

Rules: pure; sheets are taken from the shelf by path, never from files or the network. Remote imports
stay. Every name that does not exist is a finding with its line.

Sources: Tailwind CSS 3.4 (directives and functions), CSS Cascading and Inheritance Level 5 (``@import``).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from postroom.model.template import Finding, Severity
from postroom.template.styles.rules import Apply, AtRule, Declaration, Node, Rule, Sheet, read_sheet
from postroom.template.styles.utilities import (
    Utility,
    nearest_utility,
    own_rule,
    utilities,
    utility_declarations,
)
from postroom.template.styles.utilities_data import Catalogue
from postroom.template.styles.utilities_values import resolved

MAX_IMPORTS = 32
"""Sheets within sheets (security limit: a circle must end)."""
MAX_APPLIED = 2_000
"""Classes of sheets that ``@apply`` names in one page (security limit: they may name one another)."""
MAX_SELECTORS = 64 * 1024
"""Characters of the selectors of one rule that ``@apply`` brings (security limit: they multiply)."""
_IMPORT = re.compile(r"""(?:url\(\s*)?["']?([^"')\s]+)["']?\s*\)?\s*(.*)""", re.DOTALL)
_REMOTE = re.compile(r"(?:https?:)?//", re.IGNORECASE)


@dataclass(slots=True, kw_only=True)
class Directives:
    """Turns the sheets of one page to plain rules; notes what is wrong."""

    found_in: Catalogue
    styles: Mapping[str, str]
    names: Sequence[str]
    """Class names that occur in the page."""
    findings: list[Finding] = field(default_factory=list)
    _file: str = ""
    _imports: int = 0
    _applications: int = 0
    _layers: dict[str, list[Node]] = field(default_factory=dict)
    _own: dict[str, list[Rule]] = field(default_factory=dict)
    """Rules of classes the sheet defines itself, for ``@apply``."""
    _layered: set[str] = field(default_factory=set)
    """Those of them in layers, which may have variants: ``sm:card``."""

    def plain(self, css: str) -> list[Node]:
        """Return the rules of one style sheet of the page, without directives."""
        nodes = self._imported(read_sheet(css))
        self._layers = {}
        self._own = {}
        self._layered = set()
        self._collect(nodes)
        return list(self._expanded(nodes))

    def _imported(self, sheet: Sheet) -> list[Node]:
        """Put imported sheets into their places."""
        for fault in sheet.faults:
            self._note(
                "css-syntax", fault.line, fault.cause, "Correct the style, or remove it.", is_error=False
            )
        nodes: list[Node] = []
        for node in sheet.rules:
            if isinstance(node, AtRule) and node.name == "import":
                nodes.extend(self._import(node))
            else:
                nodes.append(node)
        return nodes

    def _import(self, node: AtRule) -> Iterable[Node]:
        match = _IMPORT.match(node.prelude)
        path = match[1] if match else ""
        if _REMOTE.match(path):
            return [node]
        found = _on_shelf(path, self.styles)
        self._imports += 1
        if found is None or self._imports > MAX_IMPORTS:
            self._note(
                "unknown-import",
                node.line,
                f"there is no style sheet «{path}»"
                if found is None
                else "style sheets import one another in a circle",
                f"Name one of: {', '.join(sorted(self.styles)) or 'none is there'}.",
            )
            return []
        file, self._file = self._file, found
        nodes = self._imported(read_sheet(self.styles[found]))
        self._file = file
        if match and match[2]:
            return [AtRule(name="media", prelude=match[2].strip(), rules=tuple(nodes), line=node.line)]
        return nodes

    def _collect(self, nodes: Sequence[Node]) -> None:
        """Note the layers that have a place of their own, and the classes ``@apply`` may name."""
        places = {node.prelude for node in nodes if isinstance(node, AtRule) and node.name == "tailwind"}
        for node in nodes:
            if isinstance(node, AtRule) and node.name == "layer" and node.rules is not None:
                if node.prelude in places:
                    self._layers.setdefault(node.prelude, []).extend(node.rules)
                self._note_own(node.rules)
        self._layered.update(self._own)
        self._note_own(nodes)

    def _note_own(self, nodes: Iterable[Node]) -> None:
        for node in nodes:
            if isinstance(node, Rule):
                for selector in node.selectors:
                    if re.fullmatch(r"\.[\w-]+", selector):
                        self._own.setdefault(selector[1:], []).append(node)

    def _expanded(self, nodes: Iterable[Node]) -> Iterable[Node]:
        for node in nodes:
            if isinstance(node, Rule):
                yield from self._rule(node)
                continue
            match node.name:
                case "tailwind":
                    yield from self._expanded(self._layers.get(node.prelude, []))
                    if node.prelude == "utilities":
                        yield from rules_of(utilities(self.names, self.found_in))
                        yield from rules_of(sorted(self._own_with_variants(), key=lambda each: each.sort))
                case "layer" if node.rules is not None:
                    if node.prelude not in self._layers:
                        yield from self._expanded(node.rules)
                case "config" | "charset":
                    pass
                case "screen" if node.rules is not None:
                    query = self.found_in.screens.get(node.prelude, node.prelude)
                    inner = tuple(self._expanded(node.rules))
                    yield AtRule(name="media", prelude=query, rules=inner, line=node.line)
                case _:
                    nested = None if node.rules is None else tuple(self._expanded(node.rules))
                    text = self._value(node.text, node.line) if node.text is not None else None
                    yield replace(node, prelude=self._value(node.prelude, node.line), rules=nested, text=text)

    def _rule(self, rule: Rule, depth: int = 0) -> Iterable[Node]:
        """Expand one rule: its own declarations in one rule, then those that came with variants."""
        own: list[Declaration | Apply] = []
        after: list[Node] = []
        for each in rule.declarations:
            if isinstance(each, Apply):
                declared, more = self._applied(rule, each, depth)
                own.extend(declared)
                after.extend(more)
            else:
                own.append(replace(each, value=self._value(each.value, rule.line)))
        if own:
            yield replace(rule, declarations=tuple(own))
        yield from after

    def _applied(self, rule: Rule, apply: Apply, depth: int) -> tuple[list[Declaration], list[Node]]:
        found: list[Utility] = []
        declared: list[Declaration] = []
        after: list[Node] = []
        for name in apply.classes:
            meant = utility_declarations(name, self.found_in)
            found.extend(meant)
            if not meant and name in self._own:
                if self._may_apply(apply, depth, is_itself=rule in self._own[name]):
                    for is_plain, node in self._own_nodes(name, depth):
                        if is_plain:
                            declared.extend(_declared(node))
                        else:
                            after.append(_instead(node, name, rule.selectors))
            elif not meant:
                near = nearest_utility(name, self.found_in)
                fix = f"Did you mean «{near}»?" if near else "Name a utility class, or a class of this sheet."
                self._note("unknown-apply", apply.line, f"@apply names «{name}», which is no class", fix)
        for utility in sorted(found, key=lambda each: each.sort):
            written = tuple(
                replace(each, is_important=each.is_important or apply.is_important)
                for each in utility.declarations
            )
            if utility.selector == utility.own_selector and not utility.at_rules:
                declared.extend(written)
            else:
                after.append(_around(rule, utility, written))
        return declared, after

    def _own_nodes(self, name: str, depth: int) -> Iterable[tuple[bool, Node]]:
        """Yield what a class of the sheet is, and of each node whether it is the class alone."""
        for rule in self._own[name]:
            for node in self._rule(rule, depth + 1):
                yield isinstance(node, Rule) and node.selectors == rule.selectors, node

    def _own_with_variants(self) -> Iterable[Utility]:
        """Yield the rules of classes of layers that the page names with variants."""
        for name in self.names:
            base = name.rpartition(":")[2].removeprefix("!")
            if base == name or base not in self._layered or self._applications >= MAX_APPLIED:
                continue
            self._applications += 1
            plain = [node for is_plain, node in self._own_nodes(base, 0) if is_plain]
            declared = tuple((each.name, each.value) for node in plain for each in _declared(node))
            if rule := own_rule(name, declared, self.found_in):
                yield rule

    def _may_apply(self, apply: Apply, depth: int, *, is_itself: bool) -> bool:
        """Count what is applied; note once that it is too much."""
        self._applications += 1
        if self._applications == MAX_APPLIED or depth == MAX_IMPORTS or is_itself:
            self._applications = MAX_APPLIED
            self._note(
                "circular-apply", apply.line, "classes apply one another without end", "Break the circle."
            )
        return self._applications < MAX_APPLIED

    def _value(self, value: str, line: int) -> str:
        text, missing = resolved(value, self.found_in.scales, self.found_in.screens)
        if missing:
            self._note(
                "unknown-theme-value",
                line,
                f"the theme has no «{missing}»",
                "Name a value of the theme, as in theme(colors.slate.200).",
            )
        return text

    def _note(self, code: str, line: int, cause: str, fix: str, *, is_error: bool = True) -> None:
        severity = Severity.ERROR if is_error else Severity.WARNING
        self.findings.append(
            Finding(
                code=code,
                severity=severity,
                file=self._file,
                line=line if self._file else 0,
                cause=cause,
                fix=fix,
            )
        )


def rules_of(found: Iterable[Utility]) -> Iterable[Node]:
    """Return utilities as rules; those in the same at-rule after one another share it."""
    around: tuple[str, ...] = ()
    inside: list[Node] = []
    for utility in found:
        rule = Rule(selectors=(utility.selector,), declarations=utility.declarations)
        if utility.at_rules != around:
            yield from _in_at_rules(around, inside)
            around, inside = utility.at_rules, []
        inside.append(rule)
    yield from _in_at_rules(around, inside)


def _in_at_rules(around: tuple[str, ...], inside: list[Node]) -> list[Node]:
    for head in reversed(around):
        name, _, prelude = head.removeprefix("@").partition(" ")
        inside = [AtRule(name=name, prelude=prelude, rules=tuple(inside))]
    return inside


def _around(rule: Rule, utility: Utility, declarations: tuple[Declaration, ...]) -> Node:
    """Write an applied class with variants for the selectors of the rule that applied it."""
    selectors = tuple(utility.selector.replace(utility.own_selector, selector) for selector in rule.selectors)
    inner = Rule(selectors=selectors, declarations=declarations, line=rule.line)
    return _in_at_rules(utility.at_rules, [inner])[0]


def _declared(node: Node) -> Iterable[Declaration]:
    if isinstance(node, Rule):
        yield from (each for each in node.declarations if isinstance(each, Declaration))


def _instead(node: Node, name: str, selectors: tuple[str, ...]) -> Node:
    """Write what belongs to a class, as its ``:hover``, for the selectors of the rule that applied it."""
    if not isinstance(node, Rule):
        inner = None if node.rules is None else tuple(_instead(each, name, selectors) for each in node.rules)
        return replace(node, rules=inner)
    own = re.compile(rf"\.{re.escape(name)}(?![\w-])")
    named = [one for one in node.selectors if own.search(one)]
    size = sum(map(len, named)) * len(selectors) + sum(len(own.findall(one)) for one in named) * sum(
        map(len, selectors)
    )
    if size > MAX_SELECTORS:
        return node
    by = [each.replace("\\", "\\\\") for each in selectors]
    return replace(node, selectors=tuple(own.sub(each, one) for one in named for each in by))


def _on_shelf(path: str, styles: Mapping[str, str]) -> str | None:
    """Return the path on the shelf that is meant: the same, or without leading folders."""
    parts = [part for part in path.split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        tail = "/".join(parts[start:])
        for candidate in (tail, f"{tail}.css"):
            if candidate in styles:
                return candidate
    return next((name for name in sorted(styles) if parts and name.split("/")[-1] == parts[-1]), None)
