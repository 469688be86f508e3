"""Ask for known vulnerabilities of what requirements.lock pins, with pip-audit. A finding fails.

Where neither PyPI's data nor OSV's can be reached, it says so and passes: nothing was checked then.
What is let pass, and why, stands in .ci/audit-ignore.toml.
"""

from __future__ import annotations

import argparse
import datetime
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parents[1]
IGNORED = ROOT / ".ci" / "audit-ignore.toml"
PYPI_URL = "https://pypi.org/pypi/{name}/{version}/json"
OSV_URL = "https://api.osv.dev/v1/query"
PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
PATIENCE = (3.05, 5)
"""Seconds to connect and to wait for a first answer, which tells whether there is a network at all."""


def ignored(path: Path, today: datetime.date) -> tuple[list[str], list[str]]:
    """Return the ids that may pass today, and those whose day is over.

    Raises:
        ValueError: an entry lacks its id, package, reason or day.
    """
    with path.open("rb") as file:
        entries = tomllib.load(file)["ignore"]
    valid: list[str] = []
    over: list[str] = []
    for entry in entries:
        missing = {"id", "package", "reason", "until"} - {key for key, value in entry.items() if value}
        if missing or not isinstance(entry["until"], datetime.date):
            raise ValueError(
                f"{path.name}: {entry.get('id', 'an entry')} needs {', '.join(sorted(missing)) or 'a date'}."
            )
        (valid if entry["until"] >= today else over).append(entry["id"])
    return valid, over


def has_answer(method: str, url: str, key: str, **asked: Any) -> bool:
    """Whether a service answers with its own kind of data: a mirror or a portal may answer with something else."""
    try:
        answer = requests.request(method, url, timeout=PATIENCE, **asked)
        return answer.status_code == requests.codes.ok and key in answer.json()
    except requests.RequestException:  # also a body that is no JSON
        return False


def reachable(lock: Path, osv_url: str) -> str | None:
    """Name the service to ask: `pypi`, `osv`, or none."""
    found = PIN.search(lock.read_text(encoding="utf-8"))
    if not found:
        raise ValueError(f"{lock} pins nothing. Is it the lock?")
    name, version = found.groups()
    if osv_url == OSV_URL and has_answer("GET", PYPI_URL.format(name=name, version=version), "vulnerabilities"):
        return "pypi"
    # This one is known to be vulnerable, so that the answer is not empty.
    known = {"package": {"name": "requests", "ecosystem": "PyPI"}, "version": "2.19.0"}
    return "osv" if has_answer("POST", osv_url, "vulns", json=known) else None


def audited(lock: Path, service: str, osv_url: str, pass_over: list[str]) -> list[dict[str, Any]]:
    """Run pip-audit; return its entries, one for each pinned package.

    Raises:
        RuntimeError: it broke off.
    """
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(lock), "--require-hashes", "--disable-pip"]
    command += [
        "--vulnerability-service",
        service,
        "--osv-url",
        osv_url,
        "--format",
        "json",
        "--progress-spinner",
        "off",
    ]
    command += [part for name in pass_over for part in ("--ignore-vuln", name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        entries: list[dict[str, Any]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        raise RuntimeError(f"pip-audit broke off, so nothing is known. Call it again. {done.stderr[-500:]}") from None
    return entries


def findings(entries: list[dict[str, Any]]) -> Iterator[str]:
    """Say each finding, with the versions that mend it."""
    for entry in entries:
        for found in entry.get("vulns", ()):
            mended = ", ".join(found["fix_versions"]) or "no version yet"
            names = ", ".join((found["id"], *found.get("aliases", ())))
            yield f"{entry['name']} {entry['version']}: {names}; mended by {mended}. {found['description'][:200]}"


def verdict(entries: list[dict[str, Any]], service: str) -> int:
    """Print what an audit found; 0 where nothing was found."""
    unknown = [entry["name"] for entry in entries if "skip_reason" in entry]
    found = list(findings(entries))
    for text in found:
        print(text, file=sys.stderr)
    if unknown:
        print(f"NOT CHECKED, because {service} does not know them: {', '.join(unknown)}.")
    if found:
        print("Raise the pins (UPGRADE=1 make lock), or say in .ci/audit-ignore.toml why it does not concern us.")
        return 1
    print(f"No known vulnerabilities in {len(entries) - len(unknown)} of {len(entries)} packages, as {service} has it.")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Print what was found; 0 where nothing was found or nobody could be asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, default=ROOT / "requirements.lock")
    parser.add_argument("--osv-url", default=OSV_URL, help="another OSV service, for example a mirror of your own")
    options = parser.parse_args(arguments)
    pass_over, over = ignored(IGNORED, datetime.datetime.now(datetime.UTC).date())
    service = reachable(options.lock, options.osv_url)
    if service is None:
        print("NOT CHECKED for known vulnerabilities: neither pypi.org nor OSV gave an answer. Call it where they do.")
        return 0
    entries = audited(options.lock, service, options.osv_url, pass_over)
    if over:
        print(f"Their day in .ci/audit-ignore.toml is over, so they count again: {', '.join(over)}.")
    return verdict(entries, service)


if __name__ == "__main__":
    sys.exit(main())
