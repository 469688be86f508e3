"""The command line: `python -m scripts.local_stack demo`, `up` or `screenshots`."""

from __future__ import annotations

import argparse
import sys
from io import TextIOWrapper

from .demo import demo
from .processes import adopt_orphans, end_orphans, signals_as_exceptions
from .screenshots import screenshots
from .steps import StackError, Stopped, say
from .up import up

COMMANDS = {"demo": demo, "up": up, "screenshots": screenshots}


def main() -> int:
    """Run a command, end what it started whatever happens, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.local_stack", description=__doc__)
    parser.add_argument("command", choices=COMMANDS)
    command = COMMANDS[parser.parse_args().command]
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without Unicode still gets its table
    adopt_orphans()
    with signals_as_exceptions():
        try:
            command()
        except StackError as err:
            say(f"\n{err.report()}")
            return 1
        except PermissionError as err:
            say(f"\nFailed: {err.filename} may not be written: {err.strerror}.")
            say("Next:   If an earlier run was root's, run as root again or call: sudo make clean")
            return 1
        except Stopped as stopped:
            say("\n  Stopped before the end; nothing left running.")
            return stopped.exit_code
        finally:
            end_orphans()
    return 0


if __name__ == "__main__":
    sys.exit(main())
