"""A small curve as a PNG file: the last values of an alert, 240 by 40 pixels, nothing but a line and its end.

It has a ground of its own and nothing transparent, so it is the same in light and dark mail programs. Numbers
are not drawn: the text beside it has the lowest, the highest and the last one, for those who see no pictures.

Pure: the same values give the same bytes.
"""

import io
import math
from collections.abc import Sequence

WIDTH, HEIGHT = 240, 40
MAX_POINTS = 40
_LEVELS = 15
_GROUND, _LINE = (248, 250, 252), (29, 78, 216)
"""Contrast 6.4 to 1."""
_MARGIN = 5.0
_HALF = 0.9
"""Half of the line's width, in pixels."""
_DOT = 3.0
"""Radius of the last value's dot."""
_PALETTE = [
    tuple(
        round(ground + (line - ground) * level / _LEVELS) for ground, line in zip(_GROUND, _LINE, strict=True)
    )
    for level in range(_LEVELS + 1)
]


def shown(values: Sequence[float]) -> tuple[float, ...]:
    """Return the values that are drawn: the last ones, without what is no number; fewer than two are none."""
    found = tuple(value for value in values if math.isfinite(value))[-MAX_POINTS:]
    return found if len(found) > 1 else ()


def chart(values: Sequence[float]) -> bytes:
    """Return the picture of at least two finite values, oldest first."""
    heights = _heights(values)
    rows = [[0] * WIDTH for _ in range(HEIGHT)]
    step = (WIDTH - 2 * _MARGIN) / (len(values) - 1)
    for x in range(int(_MARGIN), WIDTH - int(_MARGIN)):
        # The part of the line that lies over this column, and how much of each pixel it covers.
        ends = [_height(heights, (edge - _MARGIN) / step) for edge in (x, x + 1)]
        top, bottom = min(ends) - _HALF, max(ends) + _HALF
        for y in range(max(int(top), 0), min(int(bottom) + 1, HEIGHT)):
            _cover(rows, x, y, min(bottom, y + 1) - max(top, y))
    _dot(rows, WIDTH - _MARGIN, heights[-1])
    file = io.BytesIO()
    # Late: a start should not wait for it, and most alerts have no curve.
    import png  # noqa: PLC0415

    png.Writer(WIDTH, HEIGHT, palette=_PALETTE, bitdepth=4, compression=9).write(file, rows)
    return file.getvalue()


def _heights(values: Sequence[float]) -> list[float]:
    low, high = min(values), max(values)
    # Halves first: the distance between the largest floats is none.
    span = high / 2 - low / 2
    if span == 0:
        return [HEIGHT / 2] * len(values)
    usable = HEIGHT - 2 * _MARGIN
    return [_MARGIN + usable * (1 - (value / 2 - low / 2) / span) for value in values]


def _height(heights: Sequence[float], place: float) -> float:
    """Return the height between two values."""
    place = min(max(place, 0.0), len(heights) - 1.0)
    left = min(int(place), len(heights) - 2)
    return heights[left] + (heights[left + 1] - heights[left]) * (place - left)


def _dot(rows: list[list[int]], x: float, y: float) -> None:
    for row in range(max(int(y - _DOT) - 1, 0), min(int(y + _DOT) + 2, HEIGHT)):
        for column in range(int(x - _DOT) - 1, min(int(x + _DOT) + 2, WIDTH)):
            distance = math.hypot(column + 0.5 - x, row + 0.5 - y)
            _cover(rows, column, row, _DOT + 0.5 - distance)


def _cover(rows: list[list[int]], x: int, y: int, share: float) -> None:
    rows[y][x] = max(rows[y][x], round(min(max(share, 0.0), 1.0) * _LEVELS))
