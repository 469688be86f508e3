"""Run the simulator by itself: `python -m simulator --dataset disaster`."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading

from simulator.server import LOOPBACK, Simulator


def main() -> int:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of stdin."""
    options = _arguments()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    if options.exit_with_stdin:
        threading.Thread(target=_wait_for_eof, args=(stop,), daemon=True).start()
    simulator = Simulator(
        options.dataset,
        page_size=options.page_size,
        host=options.host,
        port=options.port,
        state_dir=options.state_dir,
        name=options.name,
    )
    with simulator:
        names = ("url", "ca", "tenant", "client_id", "authority")
        sys.stdout.write(json.dumps({name: getattr(simulator, name) for name in names}) + "\n")
        sys.stdout.flush()
        stop.wait()
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="simulator", description=__doc__)
    parser.add_argument("--dataset", default="disaster", help="empty, disaster, awkward or bulk:N")
    parser.add_argument("--host", default="127.0.0.1", choices=LOOPBACK)
    parser.add_argument("--port", default=0, type=int, help="0 takes a free one")
    parser.add_argument("--state-dir", help="where the CA is kept; a temporary directory by default")
    parser.add_argument("--name", help="of the container it runs in: listens on every address, without a login")
    parser.add_argument("--page-size", default=100, type=int, help="rows of a page when $top is absent")
    parser.add_argument("--exit-with-stdin", action="store_true", help="stop at the end of stdin")
    return parser.parse_args()


def _wait_for_eof(stop: threading.Event) -> None:
    while sys.stdin.buffer.read(4096):
        pass
    stop.set()


if __name__ == "__main__":
    sys.exit(main())
