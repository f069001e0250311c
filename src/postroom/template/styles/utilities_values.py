"""Values of utility classes: steps, arbitrary values in brackets, opacities, negatives, ``theme()``.

``w-[calc(100%-16px)]`` and ``text-[#1e293b]/80`` bring their own value; its kind decides which family of
a prefix is meant: a colour is for ``color``, a length for ``font-size``. A kind may be written in front,
``text-[length:var(--x)]``.

Rules: pure functions over text, linear time, ``None`` for what is no value. Sources: Tailwind CSS 3.4,
CSS Values and Units Level 4, CSS Color Level 4.
"""

import re
import tomllib
from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources

_HINT = re.compile(r"([\w-]+):(?!//)")
_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?", re.IGNORECASE)
_LENGTH = re.compile(
    r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:cm|mm|q|in|pc|pt|px|r?em|ex|r?lh|ch|cap|ic"
    r"|[sld]?v(?:w|h|min|max|b|i)|cq\w+)|0",
    re.IGNORECASE,
)
_MATH = re.compile(r"(?:calc|min|max|clamp)\(", re.IGNORECASE)
_MATH_NAMES = frozenset({"calc", "min", "max", "clamp"})
_MATH_TOKEN = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?(?:[a-z]+|%)?|-{0,2}[a-z_][\w-]*", re.IGNORECASE)
"""A number with its unit, or a word."""
_SIGNED = re.compile(r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:%|[a-z]+)?", re.IGNORECASE)
_COLOR = re.compile(
    r"#(?:[0-9a-f]{3,4}|[0-9a-f]{6}|[0-9a-f]{8})|(?:rgba?|hsla?|hwb|lab|lch|oklab|oklch|color|color-mix)\(.*\)",
    re.IGNORECASE | re.DOTALL,
)
_HEX = re.compile(r"#([0-9a-f]{3,8})", re.IGNORECASE)
_RGB = re.compile(r"(rgb|hsl)a?\(\s*([^,/)]+?)[\s,]+([^,/)]+?)[\s,]+([^,/)]+?)\s*(?:[,/]\s*([^)]+?)\s*)?\)")
_FUNCTION = re.compile(r"theme\(\s*(['\"]?)([^'\"()]+?)\1\s*\)|screen\(\s*(['\"]?)([\w-]+)\3\s*\)")
_PATH_STEP = re.compile(r"\[([^\]]+)\]|[^.\[\]]+")

_WORDS = {
    "line-width": frozenset({"thin", "medium", "thick"}),
    "absolute-size": frozenset(
        {"xx-small", "x-small", "small", "medium", "large", "x-large", "xx-large", "xxx-large"}
    ),
    "relative-size": frozenset({"larger", "smaller"}),
    "generic-name": frozenset(
        {"serif", "sans-serif", "monospace", "cursive", "fantasy", "system-ui", "math", "emoji", "fangsong"}
    ),
}
_SIDES = frozenset({"center", "top", "right", "bottom", "left"})
_SIZES = frozenset({"auto", "cover", "contain"})


def arbitrary(text: str) -> str:
    """Return what stands in brackets as CSS: underscores are blanks, but in URLs and behind backslashes."""
    parts = re.split(r"(url\([^)]*\))", text)
    spaced = [
        part if index % 2 else re.sub(r"(\\?)_", lambda m: "_" if m[1] else " ", part)
        for index, part in enumerate(parts)
    ]
    value = "".join(spaced).strip()
    return _spaced_math(value) if _MATH.search(value) else value


def split_hint(text: str) -> tuple[str, str]:
    """Split ``length:var(--x)`` into the kind and the rest; no kind is an empty one."""
    match = _HINT.match(text)
    return (match[1], text[match.end() :]) if match else ("", text)


def is_kind(kind: str, value: str) -> bool:
    """Whether a value is of a kind: ``color``, ``length``, ``url`` and others; unknown kinds have none."""
    check = _KINDS.get(kind)
    if check:
        return check(value)
    return value.lower() in _WORDS.get(kind, ())


def negated(value: str) -> str | None:
    """Return the value with the other sign; ``None`` for words."""
    if value == "0":
        return value
    if _SIGNED.fullmatch(value):
        return value[1:] if value[0] == "-" else "-" + value.removeprefix("+")
    return f"calc({value} * -1)" if value.startswith(("var(", "calc(", "min(", "max(", "clamp(")) else None


def with_opacity(color: str, opacity: str) -> str | None:
    """Return a colour made translucent; ``None`` where that cannot be written."""
    channels = _channels(color)
    return f"{channels[0]}({channels[1]} / {opacity})" if channels else None


def vanished(color: str) -> str:
    """Return a colour made fully transparent, the end of a gradient that names none."""
    return with_opacity(color, "0") or "rgb(255 255 255 / 0)"


def resolved(
    value: str, scales: Mapping[str, Mapping[str, str]], screens: Mapping[str, str]
) -> tuple[str, str]:
    """Replace ``theme(colors.slate.200)`` and ``screen(sm)``.

    Returns:
        The text and the first path that does not exist; none is empty.
    """
    if "theme(" not in value and "screen(" not in value:
        return value, ""
    missing: list[str] = []

    def replacement(match: re.Match[str]) -> str:
        path = match[2] or match[4]
        found = screens.get(path) if match[4] else _theme_value(path, scales)
        if found is None:
            missing.append(path)
        return found if found is not None else match[0]

    text = _FUNCTION.sub(replacement, value)
    if not missing and "theme(" in text:
        missing.append(text[text.index("theme(") :])
    return text, missing[0] if missing else ""


def _theme_value(path: str, scales: Mapping[str, Mapping[str, str]]) -> str | None:
    path, _, opacity = path.partition(" / ") if " / " in path else path.partition("\0")
    steps = [match[1] or match[0] for match in _PATH_STEP.finditer(path.strip())]
    scale = scales.get(_SCALE_NAMES.get(steps[0], steps[0])) if steps else None
    if scale is None or len(steps) < 2:
        return None
    found = next(
        (scale[name] for name in ("-".join(steps[1:]), ".".join(steps[1:])) if name in scale),
        scale.get("") if steps[1:] == ["DEFAULT"] else None,
    )
    return with_opacity(found, opacity.strip()) if found and opacity else found


_SCALE_NAMES = dict.fromkeys(
    ("backgroundColor", "borderColor", "textColor", "fill", "stroke", "divideColor", "outlineColor"), "colors"
)


def _channels(color: str) -> tuple[str, str] | None:
    """Return the function and the channels of a colour, ``("rgb", "249 115 22")``."""
    if hexes := _HEX.fullmatch(color_names().get(color.lower(), color)):
        digits = hexes[1]
        if len(digits) in (3, 4):
            digits = "".join(digit * 2 for digit in digits)
        if len(digits) not in (6, 8):
            return None
        return "rgb", " ".join(str(int(digits[at : at + 2], 16)) for at in (0, 2, 4))
    if match := _RGB.fullmatch(color):
        return match[1], f"{match[2]} {match[3]} {match[4]}"
    return None


def _spaced_math(value: str) -> str:
    """Put blanks around the operators of calculations, as CSS wants them."""
    out: list[str] = []
    is_math = [False]
    """Of each open bracket, whether it is of a calculation."""
    word, after_operand = "", False
    position = 0
    while position < len(value):
        sign = value[position]
        if is_math[-1] and after_operand and sign in "+-*/":
            out.append(f" {sign} ")
            word, after_operand = "", False
            position += 1
            continue
        match = _MATH_TOKEN.match(value, position)
        piece = match[0] if match else sign
        if piece == "(":
            is_math.append(word.lower() in _MATH_NAMES if word else is_math[-1])
        elif piece == ")" and len(is_math) > 1:
            is_math.pop()
        after_operand = (
            piece == ")" or piece[0].isdigit() or piece[0] == "." or (piece == " " and after_operand)
        )
        word = piece if piece[0].isalpha() or piece[0] in "-_" else ""
        out.append(piece)
        position += len(piece)
    return re.sub(r" {2,}", " ", "".join(out))


def _is_length(value: str) -> bool:
    return bool(_LENGTH.fullmatch(value) or _MATH.match(value))


def _is_percentage(value: str) -> bool:
    return bool((value.endswith("%") and _NUMBER.fullmatch(value[:-1])) or _MATH.match(value))


def _is_color(value: str) -> bool:
    return bool(_COLOR.fullmatch(value)) or value.lower() in color_names() or value.lower() == "currentcolor"


@cache
def color_names() -> Mapping[str, str]:
    """Return the colours CSS has a word for, in hexadecimal."""
    text = resources.files("postroom.template.styles").joinpath("data", "color_names.toml").read_text("utf-8")
    return tomllib.loads(text)


def _is_image(value: str) -> bool:
    return bool(
        re.match(r"(?:url|(?:repeating-)?(?:linear|radial|conic)-gradient|image-set|cross-fade)\(", value)
    )


def _is_position(value: str) -> bool:
    return bool(value.strip()) and all(
        word in _SIDES or _is_length(word) or _is_percentage(word) for word in value.split()
    )


def _is_size(value: str) -> bool:
    return all(
        word in _SIZES or _is_length(word) or _is_percentage(word)
        for part in value.split(",")
        for word in part.split()
    )


def _is_family(value: str) -> bool:
    return bool(value) and not value[0].isdigit() and not _is_length(value)


_KINDS: Mapping[str, Callable[[str], bool]] = {
    "color": _is_color,
    "length": _is_length,
    "percentage": _is_percentage,
    "number": lambda value: bool(_NUMBER.fullmatch(value) or _MATH.match(value)),
    "url": lambda value: value.startswith("url("),
    "image": _is_image,
    "position": _is_position,
    "size": _is_size,
    "family-name": _is_family,
}
