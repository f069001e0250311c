"""An end to rendering in a process that also does other things: a terminal's, the preview server's.

The server's workers have an alarm, which rings in the main thread alone. Here another thread raises in the
one that takes too long, whichever it is. It does so between two steps of Python, not within a library's own.
"""

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from postroom.errors import InputError
from postroom.template.jinja.wrong import crossed

PATIENCE_S = 5.0
"""For one rendering before an author's eyes; the first one loads languages too."""


class _TimeUp(BaseException):
    """Not an ``Exception``, so that nothing between takes it for an error of its own."""


@contextmanager
def in_time(limit_s: float = PATIENCE_S) -> Iterator[None]:
    """Let this thread take so many seconds for what is inside. Raises InputError when they are over."""
    thread = threading.get_ident()
    turn = threading.Lock()
    is_done = False

    def ring() -> None:
        with turn:
            if not is_done:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(_TimeUp))

    timer = threading.Timer(limit_s, ring)
    timer.daemon = True
    timer.start()
    try:
        try:
            yield
        finally:
            with turn:
                is_done = True
            timer.cancel()
    except _TimeUp:
        raise InputError([crossed(f"it takes longer than {limit_s:g} s").problem]) from None
