"""What Prometheus asks for: the state of one account, taken when it asks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from partner_center.accounts import Account
from partner_center.auth import SignIn
from partner_center.errors import PartnerCenterError, SchemaBehind
from partner_center.hook import PartnerCenterHook
from partner_center.settings import sync_interval
from partner_center.ui.health import STATUSES, health
from partner_center.ui.reading import Reader, reading
from partner_center.ui.totals import totals

_SECONDS = 10
_COUNTS = (
    "fetched", "duplicates", "quarantined", "eligible", "closed", "with_domain", "without_domain", "inserted",
    "updated", "unchanged", "persisted", "vanished",
)  # fmt: skip
_STATES = ("success", "failed", "skipped", "running")


def exposition(account: Account) -> bytes:
    """Return an account's metrics in Prometheus' text format."""
    registry = CollectorRegistry()
    registry.register(AccountCollector(account))
    return generate_latest(registry)


class AccountCollector(Collector):
    """Gathers the metrics of an account; what cannot be read is left out, and ``partner_center_warehouse_up`` says so.

    Args:
        account: whose.
    """

    def __init__(self, account: Account) -> None:
        self._account = account

    def describe(self) -> list[Metric]:
        """Return nothing: to register the collector must not gather."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics."""
        found = health(self._account)
        yield self._one("enabled", "Whether the feature flag is on.", found.is_enabled)
        yield self._many("health", "1 for the status that holds.", {s: s == found.status for s in STATUSES}, "status")
        if (succeeded_at := found.last_success_at) is not None:
            told = "End of the last run that succeeded."
            yield self._one("last_success_timestamp_seconds", told, succeeded_at.timestamp())
        yield from self._interval()
        yield from self._sign_in()
        is_up = True
        try:
            with reading(self._account, _SECONDS) as reader:
                yield from self._warehouse(reader)
        except SchemaBehind:
            pass  # no run has made the tables yet
        except PartnerCenterError:
            is_up = False
        yield self._one("warehouse_up", "Whether the warehouse could be read.", is_up)

    def _interval(self) -> Iterator[Metric]:
        try:
            seconds = sync_interval(os.environ).total_seconds()
        except PartnerCenterError:
            return
        yield self._one("sync_interval_seconds", "How often the sync is to run.", seconds)

    def _sign_in(self) -> Iterator[Metric]:
        kept: SignIn | None = None
        try:
            kept = PartnerCenterHook(self._account.connection_id).tokens.signed_in()
        except PartnerCenterError:
            return
        yield self._one("signed_in", "Whether somebody is signed in.", kept is not None)
        if kept is not None and kept.ends_at is not None:
            told = "When the sign-in ends, unless a run uses it before."
            yield self._one("sign_in_end_timestamp_seconds", told, kept.ends_at.timestamp())

    def _warehouse(self, reader: Reader) -> Iterator[Metric]:
        runs = {row["state"]: row["runs"] for row in reader.rows("metrics_runs")}
        told = "Runs, of the sync and of replays, that began within the last 24 hours."
        yield self._many("runs_last_24_hours", told, dict.fromkeys(_STATES, 0) | runs, "state")
        last = reader.row("metrics_last_run")
        if last is not None:
            yield from self._last_run(last)
        yield from self._watermark(reader)
        yield from self._referrals(reader)
        yield from self._quarantine(reader)

    def _last_run(self, last: Mapping[str, Any]) -> Iterator[Metric]:
        yield self._one("last_run_timestamp_seconds", "End of the last run, however it ended.", last["finished_at"])
        yield self._one("last_run_succeeded", "Whether the last run was verified.", last["state"] == "success")
        yield self._one("last_run_duration_seconds", "How long the last run took.", last["seconds"])
        counts = {name: last[name] for name in _COUNTS if last[name] is not None}
        yield self._many("last_run_referrals", "What the last run counted, as far as it came.", counts, "count")
        skipped = last["skipped"] or {}
        yield self._many("last_run_skipped_referrals", "What the last run skipped as not eligible.", skipped, "reason")

    def _watermark(self, reader: Reader) -> Iterator[Metric]:
        found = reader.row("metrics_watermark")
        if found is not None:
            told = "Newest change at the API that a verified run has brought in."
            yield self._one("watermark_timestamp_seconds", told, found["watermark"])

    def _quarantine(self, reader: Reader) -> Iterator[Metric]:
        rows = reader.rows("metrics_quarantine")
        told = "Rows in quarantine that were not stored since."
        yield self._many("quarantine_open_rows", told, {row["reason"]: row["open_rows"] for row in rows}, "reason")
        told = "When the oldest of these rows came."
        oldest = {row["reason"]: row["oldest"] for row in rows}
        yield self._many("quarantine_oldest_timestamp_seconds", told, oldest, "reason")

    def _referrals(self, reader: Reader) -> Iterator[Metric]:
        stored = GaugeMetricFamily(
            "partner_center_referrals", "Referrals that are stored.", labels=["connection", "status", "referral_type"]
        )
        found = totals(reader)
        for (status, referral_type), count in found.by_status_and_type.items():
            stored.add_metric([self._name, status, referral_type], count)
        yield stored
        yield self._one(
            "referrals_missing", "Stored referrals that a full read no longer found at the API.", found.missing
        )

    @property
    def _name(self) -> str:
        return self._account.connection_id

    def _one(self, name: str, told: str, value: float) -> Metric:
        gauge = GaugeMetricFamily(f"partner_center_{name}", told, labels=["connection"])
        gauge.add_metric([self._name], float(value))
        return gauge

    def _many(self, name: str, told: str, values: Mapping[str, float], label: str) -> Metric:
        gauge = GaugeMetricFamily(f"partner_center_{name}", told, labels=["connection", label])
        for key, value in sorted(values.items()):
            gauge.add_metric([self._name, key], float(value))
        return gauge
