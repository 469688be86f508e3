"""Children of this command: each in a session of its own, and none left when it ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import IO, Any

import psutil

from .steps import StackError, Stopped

PR_SET_CHILD_SUBREAPER = 36
GRACE_SECONDS = 10.0


def adopt_orphans() -> None:
    """Become the parent of grandchildren whose own parent dies, so that each can be found and ended.

    Linux only; elsewhere the children that are known when a part is stopped have to do.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


@contextmanager
def signals_as_exceptions() -> Iterator[None]:
    """Turn SIGINT, SIGTERM and SIGHUP into `Stopped`, once: what cleans up afterwards is not disturbed."""
    caught = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def stop(signum: int, _frame: FrameType | None) -> None:
        for each in caught:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(signum)

    previous = {signum: signal.signal(signum, stop) for signum in caught}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


@contextmanager
def child(
    command: Sequence[str | Path],
    environment: Mapping[str, str],
    log: Path,
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    grace: float = GRACE_SECONDS,
    **popen: Any,
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command with its output in a log file, and end it with all its descendants on leaving.

    Its standard output is the log too unless `stdout` is given.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as files:
        output: IO[bytes] = files.enter_context(log.open("wb"))
        arguments = [str(part) for part in command]
        settings = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output, **popen}
        process = subprocess.Popen(arguments, env=dict(environment), start_new_session=True, **settings)
        note = log.parent / f"{process.pid}.running"
        note.write_text(f"{stop_signal:d} {started_at(process.pid)}", encoding="ascii")
        try:
            yield process
        finally:
            end(process, stop_signal, grace)
            note.unlink(missing_ok=True)
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()


def end(process: subprocess.Popen[bytes], stop_signal: signal.Signals, grace: float) -> None:
    """Ask a child to end, wait, then end by force whatever is left of it and of what it started."""
    family = descendants(process.pid)
    if process.poll() is None:
        process.send_signal(stop_signal)
        with suppress(subprocess.TimeoutExpired):
            process.wait(grace)
    end_all([*family, *descendants(process.pid), *([] if process.poll() is not None else [as_psutil(process)])])
    with suppress(subprocess.TimeoutExpired):
        process.wait(grace)


def end_orphans() -> None:
    """End what this process started, or was left by what it started, and is still there."""
    end_all(descendants(os.getpid()))


def end_all(processes: Sequence[psutil.Process | None]) -> None:
    """Terminate these processes, and kill those that stay."""
    alive = [each for each in processes if each is not None and each.is_running()]
    for each in alive:
        with suppress(psutil.Error):
            each.terminate()
    _, stubborn = psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    for each in stubborn:
        with suppress(psutil.Error):
            each.kill()
    psutil.wait_procs(stubborn, timeout=GRACE_SECONDS)


def end_leftovers(logs: Path) -> None:
    """End the children of an earlier command that was killed before it could do so.

    A child leads its session, so what it started is found even when it is gone itself.
    """
    for note in logs.glob("*.running"):
        leader, (stop_signal, _, started) = int(note.stem), note.read_text(encoding="ascii").partition(" ")
        now = started_at(leader)
        if now == started:
            with suppress(psutil.Error):
                process = psutil.Process(leader)
                process.send_signal(int(stop_signal))
                process.wait(GRACE_SECONDS)
        if now in (started, None):
            end_all([each for each in psutil.process_iter() if session_of(each.pid) == leader])
        note.unlink()


def started_at(pid: int) -> str | None:
    """Return when a process started, which tells it from a later one of the same number."""
    with suppress(psutil.Error):
        return str(psutil.Process(pid).create_time())
    return None


def session_of(pid: int) -> int | None:
    """Return the session of a process, or nothing when it is gone."""
    with suppress(OSError):
        return os.getsid(pid)
    return None


def descendants(pid: int) -> list[psutil.Process]:
    """Return the living descendants of a process; none when it is gone."""
    with suppress(psutil.Error):
        return list(psutil.Process(pid).children(recursive=True))
    return []


def as_psutil(process: subprocess.Popen[bytes]) -> psutil.Process | None:
    """Return the same process as psutil knows it, or nothing when it is gone."""
    with suppress(psutil.Error):
        return psutil.Process(process.pid)
    return None


def wait_for_exit(process: subprocess.Popen[bytes], timeout: float | None, what: str, log: Path) -> int:
    """Wait for a child and return its exit code."""
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired as err:
        message = f"{what} took longer than {timeout:.0f} s and was stopped."
        raise StackError(message, "Read the log above; a machine this slow may need another try.", log) from err


def must_run(process: subprocess.Popen[bytes], what: str, next_step: str, log: Path) -> None:
    """Raise when a child that should be running has ended."""
    if (code := process.poll()) is not None:
        message = f"{what} ended with exit code {code}."
        raise StackError(message, next_step, log)


def poll(seconds: float, every: float = 0.1) -> Iterator[None]:
    """Yield again and again until the time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        yield
        time.sleep(every)
