"""The log of thousands of outages is nobody's news; what a world is made of is no garbage while it lasts."""

import gc
from collections.abc import Iterator

import pytest
import structlog


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Keep the log quiet, and leave it as it was."""
    before = structlog.get_config()["wrapper_class"]
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
    yield
    structlog.configure(wrapper_class=before)


@pytest.fixture(autouse=True)
def _rare_collections() -> Iterator[None]:
    """Let a world of a hundred thousand messages grow without looking through it again and again."""
    before = gc.get_threshold()
    gc.set_threshold(100_000, 50, 50)
    yield
    gc.set_threshold(*before)
