"""The steps of a run over rows staged by hand, without Airflow and without an API."""

from __future__ import annotations

import json
from typing import Any

from tests.support.environment import ROOT
from tests.support.warehouse import Warehouse

SQL = ROOT / "include" / "sql" / "sync"
LOAD = tuple(sorted(path.name for path in SQL.glob("load_*.sql")))


def request_of(run_id: str, mode: str = "incremental") -> Any:
    from partner_center.runs import RunRequest

    return RunRequest(run_id, mode, "Incoming", ("New",), None, dry_run=False)


class Sync:
    """Runs the steps of one run after the other, without Airflow."""

    def __init__(self, warehouse: Warehouse) -> None:
        self.warehouse = warehouse
        self.runs = 0

    def __call__(self, *rows: dict[str, Any] | str, **params: Any) -> dict[str, Any]:
        """Stage rows (objects, or JSON text), run everything, return all counts."""
        from partner_center import runs, warehouse
        from partner_center.domains import DomainExtractor
        from partner_center.staging import StagingWriter, write_domains

        if "run_id" not in params:
            self.runs += 1
        asked = {
            "direction": "Incoming",
            "statuses": '["New", "Active"]',
            "dry_run": "False",
            "mapping_version": 1,
            "filter_version": 1,
        }
        parameters = {**asked, "run_id": f"run-{self.runs}", **params}
        runs.open_run(request_of(parameters["run_id"], mode=parameters.pop("mode", "incremental")))
        texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        with warehouse.connect() as connection, StagingWriter(connection, parameters["run_id"]) as writer:
            writer.add(1, [text.encode() for text in texts])
        found = self.run(parameters, "filter_referrals.sql")
        with warehouse.connect() as connection:
            found |= write_domains(connection, parameters["run_id"], DomainExtractor().extract)
        found |= self.run(parameters, *LOAD)
        return found | self.run(parameters, "verify_counts.sql")

    def run(self, parameters: dict[str, Any], *files: str) -> dict[str, Any]:
        from partner_center import warehouse

        text = "\n".join((SQL / file).read_text() for file in files)
        with warehouse.connect() as connection:
            return warehouse.run_sql(connection, text, parameters)


def referral(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "id": f"id-{number}",
        "status": "New",
        "direction": "Incoming",
        "updatedDateTime": "2026-11-01T00:00:00Z",
    } | more
