"""The operators that run SQL files and return the counts that the last statement selects.

In what a reader sees they are Airflow's `SQLExecuteQueryOperator`: the statements in the rendered view, bound
parameters, one transaction. Why not that one itself: docs/adr/0003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator


class SqlCountsOperator(BaseOperator):
    """Run the statements of a SQL file in one transaction on ``partner_center_db``.

    Args:
        sql: the file, found through the DAG's template_searchpath.
        parameters: bound to every statement.
    """

    template_fields: Sequence[str] = ("sql", "parameters")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    ui_color = "#cdaaed"

    def __init__(self, *, parameters: Mapping[str, Any], sql: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.parameters = parameters

    def execute(self, context: Any) -> dict[str, Any]:
        """Run, log and return the counts."""
        from partner_center import runs, warehouse

        with runs.failures_recorded(context["run_id"]), warehouse.connect() as connection:
            counts = warehouse.run_sql(connection, self.statements(), self.parameters)
        self.log.info("%s", ", ".join(f"{name} {value}" for name, value in counts.items()))
        return counts

    def statements(self) -> str:
        """Return the SQL to run."""
        return self.sql


class LoadReferralsOperator(SqlCountsOperator):
    """Run the load's four files, one after the other, in one transaction.

    Each has a field of its own, since Airflow's rendered view cuts a field at 4,096 characters.

    Args:
        parameters: bound to every statement.
    """

    template_fields: Sequence[str] = ("find_changes", "write_referrals", "write_history", "count", "parameters")
    template_fields_renderers: ClassVar[dict[str, str]] = {
        "find_changes": "sql",
        "write_referrals": "sql",
        "write_history": "sql",
        "count": "sql",
        "parameters": "json",
    }

    def __init__(
        self,
        *,
        parameters: Mapping[str, Any],
        find_changes: str = "load_10_find_changes.sql",
        write_referrals: str = "load_20_write_referrals.sql",
        write_history: str = "load_30_write_history.sql",
        count: str = "load_40_count.sql",
        **kwargs: Any,
    ) -> None:
        super().__init__(parameters=parameters, **kwargs)
        self.find_changes = find_changes
        self.write_referrals = write_referrals
        self.write_history = write_history
        self.count = count

    def statements(self) -> str:
        """Return the four files' SQL."""
        return "\n".join((self.find_changes, self.write_referrals, self.write_history, self.count))
