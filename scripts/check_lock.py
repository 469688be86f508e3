"""Check, without a network, that the locks hold every direct pin, each with its hashes, and agree with each other."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def pins(path: Path) -> dict[str, str]:
    """Return name to version for every `name==version` at the start of a line."""
    found = PIN.findall(path.read_text(encoding="utf-8"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in found}


def differences(wanted: dict[str, str], locked: dict[str, str], where: str) -> list[str]:
    """Say for each wanted pin that the lock holds otherwise what it holds."""
    return [
        f"{where}: {name} is {locked.get(name, 'missing')}, wanted {version}"
        for name, version in sorted(wanted.items())
        if locked.get(name) != version
    ]


def unhashed(path: Path) -> list[str]:
    """Name the entries of a lock that have no hash: pip would refuse them, and anybody could serve another file."""
    entries = re.split(r"\n(?=[A-Za-z0-9])", path.read_text(encoding="utf-8"))
    return [
        f"{path.name}: {entry.split()[0]} has no hash"
        for entry in entries
        if PIN.match(entry) and not re.search(r"--hash=sha256:[0-9a-f]{64}\b", entry)
    ]


def build_pins() -> dict[str, str]:
    """Return the pins of the build system."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        requires = tomllib.load(file)["build-system"]["requires"]
    return dict(item.split("==") for item in requires)


def main() -> int:
    """Print what differs; 0 when nothing does."""
    runtime, dev = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements-dev.lock")
    direct = pins(ROOT / "requirements.txt")
    problems = [
        *differences(direct, runtime, "requirements.lock"),
        *differences(direct | pins(ROOT / "requirements-dev.txt"), dev, "requirements-dev.lock"),
        *differences(runtime, dev, "requirements-dev.lock against requirements.lock"),
        *differences(build_pins(), runtime, "pyproject.toml's build-system against requirements.lock"),
        *unhashed(ROOT / "requirements.lock"),
        *unhashed(ROOT / "requirements-dev.lock"),
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        print("The locks are behind the pins. Run `make lock` and commit both locks.", file=sys.stderr)
        return 1
    print(f"Locks in step: {len(dev)} packages, each with its hashes.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
