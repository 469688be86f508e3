"""The operators that run SQL files and return the counts that the last statement selects.

In what a reader sees they are Airflow's `SQLExecuteQueryOperator`: the statements in the rendered view, bound
parameters, one transaction. Why not that one itself: docs/adr/0003.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import BaseOperator

from partner_center.accounts import DEFAULT, Account


class SqlCountsOperator(BaseOperator):
    """Run the statements of a SQL file in one transaction on ``partner_center_db``.

    Args:
        sql: the file, found through the DAG's template_searchpath.
        parameters: bound to every statement.
        account: in whose tables.
    """

    template_fields: Sequence[str] = ("sql", "parameters")
    template_ext: Sequence[str] = (".sql",)
    template_fields_renderers: ClassVar[dict[str, str]] = {"sql": "sql", "parameters": "json"}
    ui_color = "#cdaaed"

    def __init__(
        self, *, parameters: Mapping[str, Any], sql: str = "", account: Account = DEFAULT, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.sql = sql
        self.parameters = parameters
        self.account = account

    def execute(self, context: Any) -> dict[str, Any]:
        """Run, log and return the counts."""
        from partner_center import log_fields, warehouse
        from partner_center.read_plan import REPLAY

        asked_mode = context["params"].get("mode", REPLAY)
        with log_fields.of(self.account.connection_id, asked_mode=asked_mode), warehouse.tables_of(self.account):
            counts = self._run(context["run_id"])
            with log_fields.counted(counts):
                self.log.info("%s", ", ".join(f"{name} {value}" for name, value in counts.items()))
        return counts

    def _run(self, run_id: str) -> dict[str, Any]:
        from partner_center import runs, warehouse

        with runs.failures_recorded(run_id), warehouse.connect() as connection:
            counts = warehouse.run_sql(connection, self.statements(), self.parameters)
            # An error here takes back what the statements did.
            self.check(counts)
            self.tell_lineage(connection)
        return counts

    def check(self, counts: dict[str, Any]) -> None:
        """Refuse counts that cannot be right; nothing by default."""

    def tell_lineage(self, connection: Any) -> None:
        """Tell which tables were written, for lineage; none but the run's own by default."""

    def statements(self) -> str:
        """Return the SQL to run."""
        return self.sql


class LoadReferralsOperator(SqlCountsOperator):
    """Run the load's files, one after the other, in one transaction.

    Each has a field of its own, since Airflow's rendered view cuts a field at 4,096 characters.

    Args:
        parameters: bound to every statement.
        account: in whose tables.
    """

    FILES: ClassVar[dict[str, str]] = {
        "find_changes": "load_10_find_changes.sql",
        "keep_versions": "load_20_keep_versions.sql",
        "mark_missing": "load_30_mark_missing.sql",
        "write_referrals": "load_40_write_referrals.sql",
        "write_history": "load_50_write_history.sql",
        "keep_accounts": "load_60_keep_accounts.sql",
        "count": "load_70_count.sql",
    }
    template_fields: Sequence[str] = (*FILES, "parameters")
    template_fields_renderers: ClassVar[dict[str, str]] = {**dict.fromkeys(FILES, "sql"), "parameters": "json"}

    def __init__(  # noqa: PLR0913 - Airflow wants each template field among the arguments
        self,
        *,
        parameters: Mapping[str, Any],
        find_changes: str = FILES["find_changes"],
        keep_versions: str = FILES["keep_versions"],
        mark_missing: str = FILES["mark_missing"],
        write_referrals: str = FILES["write_referrals"],
        write_history: str = FILES["write_history"],
        keep_accounts: str = FILES["keep_accounts"],
        count: str = FILES["count"],
        **kwargs: Any,
    ) -> None:
        super().__init__(parameters=parameters, **kwargs)
        self.find_changes = find_changes
        self.keep_versions = keep_versions
        self.mark_missing = mark_missing
        self.write_referrals = write_referrals
        self.write_history = write_history
        self.keep_accounts = keep_accounts
        self.count = count

    def statements(self) -> str:
        """Return the files' SQL."""
        return "\n".join(getattr(self, name) for name in self.FILES)

    def check(self, counts: dict[str, Any]) -> None:
        """Refuse a full read that no longer found too many of the stored referrals.

        Raises:
            ImplausibleSweep: nothing was changed.
            CountMismatch: a task before this one has to run first; nothing was changed.
        """
        from partner_center import airflow_store, report, settings

        report.check_decided(counts)
        if counts["unexpected"]:
            self.log.warning(
                "%d change(s) of status that the documented status machine does not know: see "
                "partner_center_referral_history where unexpected.",
                counts["unexpected"],
            )
        if counts["vanished"]:
            max_share = airflow_store.number(settings.VANISHED_SHARE_VARIABLE, 0.2)
            report.check_sweep(counts["vanished"], counts["present"], max_share)

    def tell_lineage(self, connection: Any) -> None:
        """Tell that the table of referrals was written from the staged rows, unless in a dry run."""
        from partner_center import lineage

        lineage.read_table(connection, self.account, lineage.STAGED)
        if str(self.parameters["dry_run"]) != "True":
            lineage.wrote_table(connection, self.account, lineage.REFERRALS)
