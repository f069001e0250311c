"""Names of HTML elements with rules of their own, for whoever reads tags.

Sources: HTML Living Standard sections 13.1.2 (void elements) and 13.1.2.4 (optional tags).
"""

_VOID_MEDIA = frozenset({"area", "embed", "img", "param", "source", "track"})
VOID = _VOID_MEDIA | {"base", "br", "col", "hr", "input", "link", "meta", "wbr"}
"""Elements without content and end tag."""
_HEADINGS = frozenset(f"h{level}" for level in range(1, 7))
_SECTIONS = frozenset({"address", "article", "aside", "footer", "header", "main", "nav", "section"})
_BLOCKS = frozenset({"blockquote", "div", "dl", "fieldset", "form", "hr", "ol", "p", "pre", "table", "ul"})
ENDS_PARAGRAPH = _HEADINGS | _SECTIONS | _BLOCKS
"""Elements that cannot stand in a paragraph: their start tag ends it."""
