"""What stays in the head: rules that cannot be inlined and that something in the page still answers to.

Rules: pure. A selector stays when every class it needs occurs, or when it names what a mail client adds.
Class names with signs that some clients cut rules at (``sm:p-6``) are written without them (``sm-p-6``),
in the rules and in the page.

Sources: the names of mail clients' own classes are those email-comb and juice keep; the replacements are
those of posthtml-safe-class-names.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import replace

from postroom.template.styles.rules import AtRule, Declaration, Node, Rule
from postroom.template.styles.selectors import (
    classes_of,
    mentioned_classes,
    names_client,
    with_classes_renamed,
)

_DASHED = ":/\\\"'*+;^`~$"
_SAFE = {
    **dict.fromkeys(_DASHED, "-"),
    **dict.fromkeys(".,#", "_"),
    **dict.fromkeys("[](){}", ""),
    "%": "pc",
    "!": "i-",
    "&": "and-",
    "<": "lt-",
    "=": "eq-",
    ">": "gt-",
    "|": "or-",
    "@": "at-",
    "?": "q-",
}
_UNSAFE = re.compile(f"[{re.escape(''.join(_SAFE))}]")
_KEPT_CLASS = re.compile(
    r".*body.*|(?:gmail|apple|ios|ox-|outlook|lang).*|.*edo.*"
    r"|bloop_container|Singleton|unused|moz-text-html|mail-detail-content"
)
_GROUPS = frozenset({"media", "supports", "layer", "container", "scope", "starting-style"})


def purged(nodes: Iterable[Node], used: AbstractSet[str]) -> list[Node]:
    """Return the rules some element may answer to."""
    kept: list[Node] = []
    for node in nodes:
        if isinstance(node, Rule):
            selectors = tuple(
                each for each in node.selectors if names_client(each) or classes_of(each) <= used
            )
            if selectors and node.declarations:
                kept.append(replace(node, selectors=selectors))
        elif node.rules is None or node.name not in _GROUPS:
            kept.append(node)
        elif inner := purged(node.rules, used):
            kept.append(replace(node, rules=tuple(inner)))
    return _joined(kept)


def mentioned(nodes: Iterable[Node]) -> Iterator[str]:
    """Yield every class that rules name."""
    for rule in rules_in(nodes):
        for selector in rule.selectors:
            yield from mentioned_classes(selector)


def rules_in(nodes: Iterable[Node]) -> Iterator[Rule]:
    """Yield every rule, also those in at-rules."""
    for node in nodes:
        if isinstance(node, Rule):
            yield node
        elif node.rules is not None:
            yield from rules_in(node.rules)


def is_kept_class(name: str) -> bool:
    """Whether a class stays though no rule names it, because mail clients look for it."""
    return _KEPT_CLASS.fullmatch(name) is not None


def safe_names(used: Iterable[str]) -> dict[str, str]:
    """Return the new name of every class that needs one; never one that is taken."""
    taken = set(used)
    names: dict[str, str] = {}
    for name in sorted(taken):
        safe = _UNSAFE.sub(lambda match: _SAFE[match[0]], name)
        if safe != name and safe and safe not in taken:
            names[name] = safe
            taken.add(safe)
    return names


def renamed(nodes: Iterable[Node], names: dict[str, str]) -> list[Node]:
    """Write rules with other class names."""
    return [
        replace(node, selectors=tuple(with_classes_renamed(each, names) for each in node.selectors))
        if isinstance(node, Rule)
        else replace(node, rules=tuple(renamed(node.rules, names)) if node.rules is not None else None)
        for node in nodes
    ]


def emphasized(rule: Rule) -> Rule:
    """Make every declaration important, so that it wins over what was inlined."""
    return replace(
        rule,
        declarations=tuple(
            replace(each, is_important=True) if isinstance(each, Declaration) else each
            for each in rule.declarations
        ),
    )


def _joined(nodes: list[Node]) -> list[Node]:
    """Join neighbours in equal at-rules."""
    out: list[Node] = []
    for node in nodes:
        last = out[-1] if out else None
        if (
            isinstance(node, AtRule)
            and isinstance(last, AtRule)
            and node.name in _GROUPS
            and node.rules is not None
            and last.rules is not None
            and (node.name, node.prelude) == (last.name, last.prelude)
        ):
            out[-1] = replace(last, rules=(*last.rules, *node.rules))
        else:
            out.append(node)
    return out
