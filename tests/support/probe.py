"""Executes a DAG file in a fresh process, as Airflow's parser does, and tells what it touched and how long it took.

Run as a script: `probe.py audit FILE` prints a JSON list of what it read or called outside the interpreter, the
installed packages and our own code; `probe.py time FILE` prints five times the seconds above `import airflow.sdk`.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import sysconfig
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CALLS = ("socket.connect", "socket.bind", "socket.sendto", "socket.getaddrinfo", "socket.gethostbyname")
CALLS += ("subprocess.Popen", "os.system", "os.exec", "os.fork", "os.posix_spawn", "sqlite3.connect", "urllib.Request")
READS = ("open", "os.listdir", "os.scandir")


def main() -> None:
    what, file = sys.argv[1], Path(sys.argv[2])
    import airflow.sdk

    if what == "time":
        print(json.dumps([timed(file) for _ in range(5)]))
        return
    # airflow.sdk loads on first use: its own reading of airflow.cfg is not the DAG file's.
    with airflow.sdk.DAG("probe", schedule=None, params={"x": airflow.sdk.Param(1)}):
        airflow.sdk.BaseOperator(task_id="nothing")
        airflow.sdk.task(lambda: None)
    print(json.dumps(audited(file)))


def timed(file: Path) -> float:
    """Execute the file in a fork, which has imported airflow.sdk and nothing that comes after it."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        begun = time.process_time()  # of the processor: what else runs on the machine does not count
        execute(file)
        os.write(writing, str(time.process_time() - begun).encode())
        os._exit(0)
    os.wait()
    os.close(writing)
    with os.fdopen(reading) as told:
        return float(told.read())


def execute(file: Path) -> None:
    spec = importlib.util.spec_from_file_location("probed_dag", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def audited(file: Path) -> list[str]:
    """Return what the file does besides importing."""
    ours = (file.parent, ROOT / "dags", ROOT / "plugins", Path(sys.prefix), Path(sys.base_prefix))
    allowed = [str(place.resolve()) for place in (*ours, *map(Path, sysconfig.get_paths().values()))]
    seen: list[str] = []
    active = True

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if not active:
            return
        if event in CALLS:
            seen.append(f"{event} {arguments}")
        elif event in READS and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not any(path == place or path.startswith(place + os.sep) for place in allowed):
                seen.append(f"{event} {path}")
            elif (
                event == "open"
                and len(arguments) > 1
                and isinstance(arguments[1], str)
                and set(arguments[1]) & set("wax+")
            ):
                seen.append(f"{event} {path} for writing")

    sys.dont_write_bytecode = True
    sys.addaudithook(hook)
    execute(file)
    active = False
    return seen


if __name__ == "__main__":
    main()
