"""What a model found wrong with settings, as problems: the nearest known name, the sentence of the setting.

Pure. No problem contains the value that was refused.
"""

from collections.abc import Callable, Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from postroom.errors import Problem
from postroom.schema.quantities import did_you_mean

Place = tuple[int | str, ...]


def found_problems(
    error: ValidationError, model: type[BaseModel], named: Callable[[Place], str]
) -> Iterator[tuple[Place, Problem]]:
    """Yield the place and the problem of each finding; ``named`` says how a place was written."""
    for finding in error.errors(include_url=False, include_input=False, include_context=False):
        path = finding["loc"]
        known, sentence = _described(model, path)
        if finding["type"] == "extra_forbidden":
            fix = did_you_mean(str(path[-1]), known)
            problem = Problem(code="unknown-setting", field=named(path), cause="no such setting", fix=fix)
        else:
            cause = finding["msg"].removeprefix("Value error, ")
            cause = cause[:1].lower() + cause[1:]
            problem = Problem(code="setting-value", field=named(path), cause=cause, fix=sentence)
        yield path, problem


def _described(root: type[BaseModel], path: Place) -> tuple[list[str], str]:
    """Return the names known beside the last one of ``path``, and the sentence about the setting."""
    model: type[BaseModel] | None = root
    known: list[str] = []
    sentence = "See docs/settings.md."
    for part in path:
        if isinstance(part, int) or model is None:
            continue
        by_name = {info.alias or name: info for name, info in model.model_fields.items()}
        known = list(by_name)
        info = by_name.get(part)
        sentence = (info.description if info else None) or sentence
        model = _section_of(info.annotation) if info else None
    return known, sentence


def _section_of(annotation: Any) -> type[BaseModel] | None:
    """Find the model inside ``X``, ``X | None`` or ``tuple[X, ...]``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_section_of, get_args(annotation))), None)
