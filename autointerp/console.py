"""Progress and messages: a console on stderr, a progress bar per stage, plain lines if stderr is not a terminal.

rich is imported with the first message, not with this module, so that `--help` is fast.
"""

import _thread
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

from autointerp.errors import without_password

T = TypeVar("T")
# Control characters other than tab and line feed, as Python writes them.
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(9), *range(11, 32), *range(127, 160))}

# Seconds between two progress lines where the output is a log file.
LOG_INTERVAL_S = 10.0
# ... and between two states of a bar on a terminal.
REDRAW_INTERVAL_S = 0.1


@cache
def remarks() -> "Console":
    """Return the console on stderr, for progress and remarks; results go to stdout, so that they can be piped."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, emoji=False)


@cache
def results() -> "Console":
    """Return the console on stdout, for results."""
    from rich.console import Console

    return Console(highlight=False, emoji=False)


def note(text: str) -> None:
    """Print one remark, however long a line; brackets are text, and control characters are shown, not sent."""
    shown = without_password(text).translate(_CONTROL).encode("utf-8", "backslashreplace").decode()
    remarks().print(shown, markup=False, soft_wrap=True)


def _progress(unit: str) -> "Progress":
    """Return rich's progress display; the text after the bar is the column that shrinks on a narrow terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.table import Column

    def fixed() -> Column:
        return Column(no_wrap=True)

    columns = (
        TextColumn("{task.description:<11}", markup=False, table_column=fixed()),
        BarColumn(bar_width=10),
        MofNCompleteColumn(table_column=fixed()),
        TextColumn(unit, markup=False, table_column=fixed()),
        TimeElapsedColumn(table_column=fixed()),
        TimeRemainingColumn(table_column=fixed()),
        TextColumn("{task.fields[words]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
    )
    return Progress(*columns, console=remarks())


class Bar:
    """Progress of one stage: `with Bar("collect", total=n, unit="tokens") as bar: bar.advance(k, "extra words")`.

    `estimated`: the total is an estimate; it is shown as such, and replaced by the true count at the end.
    """

    def __init__(self, stage: str, *, total: int | None, unit: str, estimated: bool = False) -> None:
        self.stage, self.total, self.unit, self.estimated = stage, total, unit, estimated
        self.done = 0
        self._words: str | Callable[[], str] = ""
        self._began = self._last = time.monotonic()
        self._progress = _progress(unit) if remarks().is_terminal else None
        self._task = self._progress.add_task(stage, total=total, words="") if self._progress else None

    def __enter__(self) -> "Bar":
        """Show the bar."""
        if self._progress:
            self._progress.start()
        return self

    def advance(self, n: int = 1, words: str | Callable[[], str] = "") -> None:
        """Count `n` more units as done; `words`, or what it returns, replaces the text after the bar."""
        self.done += n
        self._words = words
        interval = LOG_INTERVAL_S if self._progress is None else REDRAW_INTERVAL_S
        if time.monotonic() - self._last < interval:
            return
        self._last = time.monotonic()
        self._show()

    def _show(self) -> None:
        words = self._words if isinstance(self._words, str) else self._words()
        if self._progress and self._task is not None:
            self._progress.update(self._task, completed=self.done, total=self.total, words=words)
        else:
            self._line(words)

    def __exit__(self, kind: object, *_: object) -> None:
        """Show the finished bar, or print one line."""
        if self.estimated and kind is None:
            self.total = self.done
        if self._progress:
            self._show()
            self._progress.stop()
        elif kind is None:
            words = self._words if isinstance(self._words, str) else self._words()
            self._line(f"done {words}".rstrip())

    def _line(self, words: str) -> None:
        about = "about " if self.estimated and self.done != self.total else ""
        of = f" of {about}{self.total:,}" if self.total else ""
        note(f"{self.stage}: {self.done:,}{of} {self.unit}, {time.monotonic() - self._began:.0f} s {words}".rstrip())


def track(items: Iterable[T], stage: str, *, total: int | None, unit: str) -> Iterator[T]:
    """Yield the items, advancing a bar by one after each."""
    with Bar(stage, total=total, unit=unit) as bar:
        for item in items:
            yield item
            bar.advance()


# Seconds after which an interrupt that no check has noticed is raised wherever the program is.
GRACE_S = 1.0


class _Interrupt:
    depth = 0
    pressed = False
    timer: threading.Timer | None = None


def check_interrupt() -> None:
    """Raise KeyboardInterrupt if Ctrl-C was pressed since `deferred_interrupts` was entered."""
    if _Interrupt.pressed:
        raise KeyboardInterrupt


@contextmanager
def deferred_interrupts() -> Iterator[None]:
    """Defer Ctrl-C to the next `check_interrupt`, and to the end of the block at the latest.

    A KeyboardInterrupt raised at an arbitrary bytecode may strike inside a destructor or a foreign callback, where
    Python prints and drops it. Here the first Ctrl-C sets a flag, which `check_interrupt` turns into the exception; a
    second one, or `GRACE_S` without a check, raises it at once.

    Does nothing outside the main thread, or where somebody else handles SIGINT.
    """
    ours = _Interrupt.depth > 0 or signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if threading.current_thread() is not threading.main_thread() or not ours:
        yield
        return
    if _Interrupt.depth == 0:
        _Interrupt.pressed = False
        signal.signal(signal.SIGINT, _press)
    _Interrupt.depth += 1
    try:
        yield
    finally:
        _Interrupt.depth -= 1
        if _Interrupt.depth == 0:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            pressed, _Interrupt.pressed = _Interrupt.pressed, False
            if _Interrupt.timer is not None:
                _Interrupt.timer.cancel()
                _Interrupt.timer = None
            if pressed and not isinstance(sys.exc_info()[1], KeyboardInterrupt):
                raise KeyboardInterrupt


def _press(signum: int, frame: FrameType | None) -> None:
    if _Interrupt.pressed:
        raise KeyboardInterrupt
    _Interrupt.pressed = True
    _Interrupt.timer = threading.Timer(GRACE_S, _insist)
    _Interrupt.timer.daemon = True
    _Interrupt.timer.start()


def _insist() -> None:
    if _Interrupt.depth:
        _thread.interrupt_main()
