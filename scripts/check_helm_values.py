"""Check deploy/helm against a copy of the official chart: its schema, keys that it does not know, `helm template`.

The chart is not part of this repository:

    helm repo add apache-airflow https://airflow.apache.org
    helm pull apache-airflow/airflow --version 1.22.0 --untar --untardir build
    make check-helm CHART=build/airflow
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft7Validator

ROOT = Path(__file__).resolve().parents[1]
HELM = ROOT / "deploy" / "helm"
CHART_VERSION = "1.22.0"
COMBINATIONS = (
    ("values.yaml",),
    ("values.yaml", "values-celery.yaml"),
    ("values.yaml", "values-git-sync.yaml"),
    ("values.yaml", "values-celery.yaml", "values-git-sync.yaml"),
)


def load(path: Path) -> dict[str, Any]:
    """Read a file of values.

    Raises:
        TypeError: the file holds something else than an object.
    """
    values = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(values, dict):
        raise TypeError(f"{path} holds no values: it has to be an object. Look at its first lines.")
    return values


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay values over others as Helm does: objects are merged, all else is replaced, null takes a key away."""
    result = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(result.get(key), Mapping):
            result[key] = merged(result[key], value)
        elif value is None:
            result.pop(key, None)
        else:
            result[key] = value
    return result


def combined(names: tuple[str, ...]) -> dict[str, Any]:
    """Return the values of these files, each laid over those before it."""
    result: dict[str, Any] = {}
    for name in names:
        result = merged(result, load(HELM / name))
    return result


def refused(values: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """Say what the chart's schema refuses."""
    for error in Draft7Validator(schema).iter_errors(values):
        yield f"{'.'.join(map(str, error.absolute_path)) or 'values'}: {error.message[:300]}"


def unknown(values: Mapping[str, Any], schema: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """Name the keys that the schema does not list: where it lets others pass, a typing error passes, too."""
    known = schema.get("properties")
    if not known or isinstance(schema.get("additionalProperties"), Mapping):
        return
    for key, value in values.items():
        where = f"{path}.{key}" if path else key
        if key not in known:
            yield f"{where}: the chart does not know this key"
        elif isinstance(value, Mapping):
            yield from unknown(value, known[key], where)


def rendered(helm: str, chart: Path, names: tuple[str, ...]) -> Iterator[str]:
    """Render the chart; say what Helm says where it cannot."""
    files = [part for name in names for part in ("--values", str(HELM / name))]
    command = [helm, "template", "partner-center", str(chart), "--namespace", "partner-center", *files]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        yield f"helm template: {done.stderr.strip()[-1000:]}"


def problems(chart: Path, helm: str | None) -> Iterator[str]:
    """Say all that is wrong with the values over this chart."""
    version = load(chart / "Chart.yaml").get("version")
    if version != CHART_VERSION:
        yield f"{chart} is version {version}; the values are written for {CHART_VERSION}. Pull that one."
    schema = json.loads((chart / "values.schema.json").read_text(encoding="utf-8"))
    for names in COMBINATIONS:
        values, where = combined(names), " + ".join(names)
        found = [*refused(values, schema), *unknown(values, schema)]
        yield from (f"{where}: {text}" for text in found)
        if helm:
            yield from (f"{where}: {text}" for text in rendered(helm, chart, names))


def main() -> int:
    """Print what is wrong; 0 when nothing is, 2 without a chart."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("chart", nargs="?", type=Path, help="the chart's directory")
    chart = parser.parse_args().chart
    if chart is None or not (chart / "values.schema.json").is_file():
        print(f"No chart at {chart}: no values.schema.json there. Pull it first:\n{__doc__}", file=sys.stderr)
        return 2
    helm = shutil.which("helm")
    found = list(problems(chart, helm))
    for text in found:
        print(text, file=sys.stderr)
    if not found:
        what = (
            "schema, keys and helm template" if helm else "schema and keys (no helm on PATH, so nothing was rendered)"
        )
        print(f"Helm values fit chart {CHART_VERSION}: {len(COMBINATIONS)} combinations, {what}.")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
