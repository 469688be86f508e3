"""One line for each step, and errors that say what happened, what it means and what to do next."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

TAIL_LINES = 40


class StackError(Exception):
    """What happened, what it means and what to do next; with the end of a log where there is one."""

    def __init__(self, happened: str, next_step: str, log: Path | None = None) -> None:
        super().__init__(happened)
        self.next_step = next_step
        self.log = log

    def report(self) -> str:
        """Return the message for a person."""
        parts = []
        if self.log is not None and (tail := tail_of(self.log)):
            parts += [f"--- the end of {shown(self.log)}", tail, "---"]
        return "\n".join([*parts, f"Failed: {self}", f"Next:   {self.next_step}"])


class Stopped(BaseException):
    """A signal asked this command to end; like KeyboardInterrupt, nothing that handles errors catches it."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.exit_code = 128 + signum


def tail_of(path: Path, lines: int = TAIL_LINES) -> str:
    """Return the last lines of a text file, or nothing when it cannot be read."""
    with suppress(OSError):
        return "\n".join(path.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
    return ""


def shown(path: Path) -> str:
    """Return the path as short as it can be named from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def say(line: str = "") -> None:
    """Print a line at once, also into a pipe."""
    print(line, flush=True)


@contextmanager
def step(what: str) -> Iterator[list[str]]:
    """Print what is being done, then a check mark, the seconds and the notes that the body added."""
    notes: list[str] = []
    mark, cross = ("✓", "✗") if can_print("✓✗") else ("ok", "FAILED")
    line, begun = f"  {what} ... ", time.monotonic()
    print(line, end="", flush=True)
    try:
        with ticking(line, begun):
            yield notes
    except BaseException:
        say(cross)
        raise
    say(f"{mark} {time.monotonic() - begun:.1f} s{''.join(f'  {note}' for note in notes)}")


@contextmanager
def ticking(line: str, begun: float) -> Iterator[None]:
    """On a terminal, count the seconds at the end of the line while the body runs."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1):
            print(f"\r{line}{time.monotonic() - begun:.0f} s ", end="", flush=True)

    ticker = threading.Thread(target=tick, daemon=True)
    if sys.stdout.isatty():
        ticker.start()
    try:
        yield
    finally:
        done.set()
        if ticker.is_alive():
            ticker.join()
            print(f"\r{line}", end="")


def can_print(text: str) -> bool:
    """Say whether standard output can carry these characters."""
    try:
        text.encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True
