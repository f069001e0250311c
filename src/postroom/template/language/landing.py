"""Where attributes of a component go that its script does not take: to an element of what it makes.

That is the element marked with the attribute ``attributes``, else the outermost first one. It takes what HTML
allows it, ``data-…`` and ``aria-…``; ``class`` is added, ``style`` is merged property by property, others
replace. ``override:class`` and ``override:style`` replace too. Anything else is dropped.

Sources: the HTML standard's index of attributes, and the documentation of posthtml-component 2.1 on
undeclared attributes, whose choice of attributes this is.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from postroom.template.language.markup import Attribute, Element, Node, changed

EVERYWHERE = frozenset(
    [
        "accesskey",
        "autocapitalize",
        "autofocus",
        "class",
        "contenteditable",
        "dir",
        "draggable",
        "enterkeyhint",
        "hidden",
        "id",
        "inert",
        "inputmode",
        "is",
        "itemid",
        "itemprop",
        "itemref",
        "itemscope",
        "itemtype",
        "lang",
        "nonce",
        "popover",
        "role",
        "spellcheck",
        "style",
        "tabindex",
        "title",
        "translate",
        "override:class",
        "override:style",
    ]
)
_OWN = {
    tag: frozenset(names.split())
    for tag, names in {
        "a": "download href hreflang ping referrerpolicy rel target type",
        "area": "alt coords download href ping referrerpolicy rel shape target",
        "audio": "autoplay controls crossorigin loop muted preload src",
        "base": "href target",
        "blockquote": "cite",
        "button": "disabled form formaction formenctype formmethod formnovalidate formtarget name type value",
        "canvas": "height width",
        "col": "span",
        "colgroup": "span",
        "data": "value",
        "del": "cite datetime",
        "details": "open",
        "div": "align",
        "embed": "height src type width",
        "fieldset": "disabled form name",
        "form": "accept-charset action autocomplete enctype method name novalidate rel target",
        "iframe": "allow allowfullscreen height loading name referrerpolicy sandbox src srcdoc width",
        "img": "alt crossorigin decoding fetchpriority height ismap loading referrerpolicy sizes src srcset"
        " usemap width",
        "input": "accept alt autocomplete checked disabled form height list max maxlength min minlength"
        " multiple name pattern placeholder readonly required size src step type value width",
        "ins": "cite datetime",
        "label": "for",
        "li": "value",
        "link": "as crossorigin disabled href hreflang integrity media referrerpolicy rel sizes type",
        "map": "name",
        "meta": "charset content http-equiv media name",
        "object": "data form height name type width",
        "ol": "reversed start type",
        "option": "disabled label selected value",
        "q": "cite",
        "source": "height media sizes src srcset type width",
        "style": "media",
        "table": "align",
        "td": "align colspan headers rowspan",
        "th": "abbr align colspan headers rowspan scope",
        "time": "datetime",
        "video": "autoplay controls crossorigin height loop muted playsinline poster preload src width",
    }.items()
}
KNOWN = EVERYWHERE.union(
    *_OWN.values(),
    ("bgcolor", "border", "cellpadding", "cellspacing", "valign", "background", "nowrap", "xmlns"),
)
"""Every attribute of HTML that mail uses; one of these is never called unknown."""
_MARK = "attributes"


def is_html(name: str) -> bool:
    """Tell whether an attribute is one of HTML's."""
    return name in KNOWN or name.startswith(("data-", "aria-"))


def landed(nodes: Sequence[Node], given: Mapping[str, str], *, lang: str | None) -> list[Node]:
    """Put attributes on the marked or the outermost element, and ``lang`` where it is announced.

    ``given``: those the component's script does not take. ``lang`` goes on the outermost element, unless that
    has one.
    """

    def take(element: Element) -> Element:
        return _taken(element, given)

    out, found = _marked(nodes, take)
    if not found and given:
        out = _outermost(out, take)
    if lang:
        out = _outermost(out, lambda element: _announced(element, lang))
    return out


def _marked(nodes: Sequence[Node], edit: Callable[[Element], Element]) -> tuple[list[Node], bool]:
    out: list[Node] = []
    found = False
    for node in nodes:
        if isinstance(node, Element):
            children, below = _marked(node.children, edit) if node.children else ([], False)
            if below:
                node = replace(node, children=tuple(children))  # noqa: PLW2901 -- the node as it goes on
            if node.attribute(_MARK) is not None:
                rest = tuple(one for one in node.attributes if one.name != _MARK)
                node = edit(changed(node, attributes=rest, children=node.children))  # noqa: PLW2901 -- as above
                below = True
            found = found or below
        out.append(node)
    return out, found


def _outermost(nodes: Sequence[Node], edit: Callable[[Element], Element]) -> list[Node]:
    out = list(nodes)
    for index, node in enumerate(out):
        if isinstance(node, Element) and node.name not in ("script", "style", "push", "stack"):
            out[index] = edit(node)
            break
    return out


def _taken(element: Element, given: Mapping[str, str]) -> Element:
    own = _OWN.get(element.name, frozenset())
    attributes = list(element.attributes)
    for name, value in given.items():
        if not (name in EVERYWHERE or name in own or name.startswith(("data-", "aria-"))):
            continue
        target = name.removeprefix("override:")
        at = next((index for index, one in enumerate(attributes) if one.name == target), len(attributes))
        old = (attributes[at].value or "") if at < len(attributes) else ""
        if name == "class" and old:
            value = f"{old} {value}"  # noqa: PLW2901 -- what is put there
        elif name == "style" and old:
            value = _merged_style(old, value)  # noqa: PLW2901 -- as above
        attributes[at : at + 1] = [Attribute(name=target, value=value, place=element.place)]
    if attributes == list(element.attributes):
        return element
    return changed(element, attributes=tuple(attributes), children=element.children)


def _announced(element: Element, lang: str) -> Element:
    if element.attribute("lang") is not None:
        return element
    added = Attribute(name="lang", value=lang, place=element.place)
    return changed(element, attributes=(*element.attributes, added), children=element.children)


def _merged_style(below: str, above: str) -> str:
    """Merge declarations; those of ``above`` win."""
    if "{" in below:
        # A Jinja block may hold a semicolon: leave it whole, what comes later wins anyway.
        return f"{below.rstrip().rstrip(';')}; {above}"
    made: dict[str, str] = {}
    for one in (*_declarations(below), *_declarations(above)):
        name, _, value = one.partition(":")
        made[name.strip()] = value.strip()
    return "; ".join(f"{name}: {value}" for name, value in made.items())


def _declarations(style: str) -> list[str]:
    """Cut a style into declarations; semicolons in brackets or quotes do not part them."""
    out: list[str] = []
    start = depth = 0
    quote = ""
    for at, char in enumerate(style):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
        elif char == "(":
            depth += 1
        elif char == ")":
            depth = max(0, depth - 1)
        elif char == ";" and not depth:
            out.append(style[start:at])
            start = at + 1
    out.append(style[start:])
    return [one for one in out if ":" in one]
