"""The filters of templates beside Jinja's: dates, numbers, money, plurals, sizes, durations, lists.

Each is a pure function of a language and a value, by the tables of CLDR. The language is that of the variant;
inside an element with another ``lang`` the compiler names that one (``block_languages``). A value that cannot
be read raises ``Wrong`` with the path of the variable and the name of the filter.

Sources: Unicode CLDR through Babel; ISO 8601; ISO 4217.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale, UnknownLocaleError, dates, lists, numbers, units
from jinja2 import Undefined

from postroom.template.jinja.wrong import Wrong, missing_value, null_value, variable

MAX_PATTERN = 60
"""Characters of a CLDR pattern for dates (security limit)."""
MAX_DECIMALS = 20
"""Digits after the point that may be asked for (security limit)."""
MAX_DIGITS = 60
"""Digits of a number given as a text (security limit)."""

Filter = Callable[..., Any]
_NUMBER = re.compile(rf"[+-]?\d{{1,{MAX_DIGITS}}}(?:\.\d{{1,{MAX_DIGITS}}})?\Z", re.ASCII)
_STYLES = ("short", "medium", "long", "full")
_SIZES = ("byte", "kilobyte", "megabyte", "gigabyte", "terabyte")
_SPANS = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


class Listed(list[Any]):
    """A list that reads "a, b and c" when it is printed, and is a list otherwise."""

    __slots__ = ("language", "style")

    def __init__(self, items: Iterable[Any], style: str, language: str) -> None:
        """Take the items, ``and`` or ``or``, and the language."""
        super().__init__(items)
        self.style = style
        self.language = language

    def __str__(self) -> str:
        items, locale = [str(item) for item in self], _locale(self.language)
        if self.style == "or":
            return lists.format_list(items, style="or", locale=locale)
        return lists.format_list(items, locale=locale)


def filters_for(language: str) -> dict[str, Filter]:
    """Return the filters, speaking ``language`` unless they are told another."""
    return {name: _named(name, function, language) for name, function in _FILTERS.items()}


def chain(language: str) -> list[str]:
    """Return a language and those it falls back to: ``fr-CA``, ``fr``."""
    parts = language.replace("_", "-").split("-")
    return ["-".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _named(name: str, function: Filter, own: str) -> Filter:
    def run(value: Any, *args: Any, of: str = "", lang: str = own, **options: Any) -> Any:
        if isinstance(value, Undefined):
            raise missing_value(of)
        if value is None:
            raise null_value(of)
        try:
            return function(lang, value, *args, **options)
        except Wrong:
            raise
        except Exception as error:  # supervision: a filter meets any value a caller can send
            cause = f"the filter {name} cannot use it: {_said(error)}"
            raise Wrong(variable("variable-type", of, cause, "See the page of filters.")) from error

    return run


def _said(error: Exception) -> str:
    text = str(error) or type(error).__name__
    return text if len(text) < 200 else text[:200] + "…"


@lru_cache(maxsize=256)
def _locale(language: str) -> Locale:
    for tag in chain(str(language)[:40]):
        try:
            return Locale.parse(tag, sep="-")
        except (ValueError, UnknownLocaleError):
            continue
    return Locale("en")


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    if not re.fullmatch(r"[A-Za-z0-9_+/-]{1,64}", name):
        raise ValueError(f"{name!r} is not a time zone")
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone") from None


def _moment(value: Any, zone: str | None) -> datetime:
    """Read ISO 8601 or seconds since 1970; without a zone in it, it is UTC."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError("a date is ISO 8601 text or seconds since 1970")
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value.strip())
        except ValueError:
            raise ValueError(f"{value[:40]!r} is not a date as 2026-03-01 or 2026-03-01T09:30:00Z") from None
    else:
        moment = datetime.fromtimestamp(value, UTC)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(_zone(zone)) if zone else moment


def _pattern(style: str) -> str:
    if not isinstance(style, str) or len(style) > MAX_PATTERN:
        raise ValueError(f"a style is {', '.join(_STYLES)} or a pattern of at most {MAX_PATTERN} characters")
    return style


def _date(language: str, value: Any, style: str = "medium", zone: str | None = None) -> str:
    if isinstance(value, str) and len(value.strip()) == 10:
        day = date.fromisoformat(value.strip()) if _is_day(value) else _moment(value, None).date()
    else:
        day = _moment(value, zone).date()
    return dates.format_date(day, _pattern(style), locale=_locale(language))


def _is_day(value: str) -> bool:
    return re.fullmatch(r"\d{4}-\d\d-\d\d", value.strip()) is not None


def _time(language: str, value: Any, style: str = "short", zone: str | None = None) -> str:
    if isinstance(value, str) and re.fullmatch(r"\d\d:\d\d(:\d\d)?", value):
        moment: time | datetime = time.fromisoformat(value)
    else:
        moment = _moment(value, zone)
    return dates.format_time(moment, _pattern(style), locale=_locale(language))


def _datetime(language: str, value: Any, style: str = "medium", zone: str | None = None) -> str:
    return dates.format_datetime(_moment(value, zone), _pattern(style), locale=_locale(language))


def _amount(value: Any) -> int | Decimal:
    """Read a number, or a text that is one: money is best sent as a text."""
    if isinstance(value, bool):
        raise TypeError("true or false is not a number")
    if isinstance(value, int):
        if value.bit_length() > MAX_DIGITS * 3:
            raise ValueError("the number is too large")
        return value
    text = repr(value) if isinstance(value, float) else value
    if isinstance(value, float):
        amount = Decimal(text)
        if not amount.is_finite():
            raise ValueError("it is not a number")
        return amount
    if not isinstance(text, str) or not _NUMBER.match(text.strip()):
        raise ValueError("it is not a number as 1234.5")
    try:
        return Decimal(text.strip())
    except InvalidOperation:
        raise ValueError("it is not a number as 1234.5") from None


def _decimals(decimals: int | None) -> str | None:
    if decimals is None:
        return None
    if isinstance(decimals, bool) or not isinstance(decimals, int) or not 0 <= decimals <= MAX_DECIMALS:
        raise ValueError(f"decimals are 0 to {MAX_DECIMALS}")
    return "0" * decimals


def _number(language: str, value: Any, decimals: int | None = None) -> str:
    digits = _decimals(decimals)
    pattern = None if digits is None else f"#,##0.{digits}".rstrip(".")
    if digits is None and isinstance(value, float | str):
        pattern = "#,##0.######"
    return numbers.format_decimal(_amount(value), pattern, locale=_locale(language))


def _percent(language: str, value: Any, decimals: int = 0) -> str:
    locale = _locale(language)
    digits = _decimals(decimals)
    pattern = locale.percent_formats[None].pattern.replace("#,##0", f"#,##0.{digits}".rstrip("."))
    return numbers.format_percent(_amount(value), pattern, locale=locale)


def _currency(language: str, value: Any, code: str = "", decimals: int | None = None) -> str:
    if not isinstance(code, str) or not re.fullmatch(r"[A-Z]{3}", code):
        raise ValueError('it needs a currency, as in currency("EUR")')
    locale = _locale(language)
    digits = _decimals(decimals)
    if digits is None:
        return numbers.format_currency(_amount(value), code, locale=locale)
    pattern = re.sub(r"0\.0+", f"0.{digits}".rstrip("."), locale.currency_formats["standard"].pattern)
    return numbers.format_currency(_amount(value), code, pattern, locale=locale, currency_digits=False)


def _plural(language: str, value: Any, *forms: str, **named: str) -> str:
    """Choose by CLDR: ``plural("# item", "# items")``, or by name with ``one=``, ``few=``, ``other=``."""
    amount = _amount(value)
    locale = _locale(language)
    kind = locale.plural_form(abs(Decimal(amount)))
    if forms and named:
        raise ValueError("give the forms in order or by name, not both")
    if forms:
        named = {"one": forms[0], "other": forms[-1]}
        if len(forms) > 2:
            raise ValueError("two forms are one and other; name them for more")
    if unknown := named.keys() - {"zero", "one", "two", "few", "many", "other"}:
        raise ValueError(f"{min(unknown)!r} is not a plural form")
    form = named.get("zero") if amount == 0 and "zero" in named else named.get(kind, named.get("other"))
    if form is None:
        raise ValueError(f"it needs the form {kind!r} or 'other'")
    return str(form).replace("#", numbers.format_decimal(amount, locale=locale))


def _filesize(language: str, value: Any, decimals: int = 1) -> str:
    size = _amount(value)
    if size < 0:
        raise ValueError("a size is not below zero")
    _decimals(decimals)
    amount, step = Decimal(size), 0
    while step < len(_SIZES) - 1 and round(amount, decimals if step else 0) >= 1000:
        amount, step = amount / 1000, step + 1
    shown = round(amount, decimals if step else 0).normalize()
    if shown == shown.to_integral():
        shown = shown.quantize(Decimal(1))
    return units.format_unit(shown, f"digital-{_SIZES[step]}", "short", locale=_locale(language))


def _duration(language: str, value: Any, parts: int = 2) -> str:
    """Say seconds in the largest units, at most ``parts`` of them."""
    seconds = int(_amount(value))
    if not 0 <= seconds <= timedelta.max.days * 86400:
        raise ValueError("a duration is not below zero")
    locale = _locale(language)
    said: list[str] = []
    for name, size in _SPANS:
        count, seconds = divmod(seconds, size)
        if count or (name == "second" and not said):
            said.append(units.format_unit(count, f"duration-{name}", "long", locale=locale))
    return lists.format_list(said[: max(int(parts), 1)], style="unit", locale=locale)


def _list(language: str, value: Any, style: str = "and") -> Listed:
    if style not in ("and", "or"):
        raise ValueError("the style of a list is and, or or")
    if isinstance(value, int | float):
        raise TypeError("it is not a list")
    items = list(value)
    if any(item is None or isinstance(item, bool | dict | list) for item in items):
        raise TypeError("an item is null, or neither a text nor a number")
    return Listed(items, style, language)


def _localised(language: str, value: Any) -> Any:
    """Pick from texts by language: the language, those it falls back to, English, the first."""
    if isinstance(value, str):
        return value
    if not isinstance(value, Mapping) or not value:
        raise TypeError('it is not an object of texts as {"en": "…", "fr": "…"}')
    for tag in (*chain(language), "en"):
        for key, text in value.items():
            if key.replace("_", "-").lower() == tag.lower() and text is not None:
                return text
    return next(iter(value.values()))


_FILTERS: dict[str, Filter] = {
    "date": _date,
    "time": _time,
    "datetime": _datetime,
    "number": _number,
    "percent": _percent,
    "currency": _currency,
    "plural": _plural,
    "filesize": _filesize,
    "duration": _duration,
    "list": _list,
    "localised": _localised,
}
NAMES = frozenset(_FILTERS)
"""What they are called in a template."""
