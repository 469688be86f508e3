"""What a full read no longer finds, versions and history, earlier states, companies and people's own links."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.support.sync import LOAD, Sync, referral
from tests.support.warehouse import Warehouse

NEWER = {"updatedDateTime": "2026-11-02T00:00:00Z"}
NEWEST = {"updatedDateTime": "2026-11-03T00:00:00Z"}
STATE = "select missing_since is not null as missing from partner_center_referrals where referral_id = 'id-{}'"
LOAD_AGAIN = {"dry_run": "False", "mapping_version": 1, "filter_version": 1}


@pytest.fixture(params=["postgres18", "postgres15"])
def sync(make_migrated: Any, request: pytest.FixtureRequest) -> Sync:
    return Sync(make_migrated(request.getfixturevalue(request.param)))


def mail(email: str, **more: Any) -> dict[str, Any]:
    return {"customerProfile": {"name": "Contoso", "team": [{"email": email}], **more}}


def missing(sync: Sync) -> set[str]:
    rows = sync.warehouse.rows("select referral_id from partner_center_referrals where missing_since is not null")
    return {row["referral_id"] for row in rows}


def as_of(sync: Sync, run_id: str) -> dict[str, Any]:
    rows = sync.warehouse.rows("select * from partner_center_referrals_as_of_run(%s)", (run_id,))
    return {row["referral_id"]: row for row in rows}


def table(warehouse: Warehouse) -> dict[str, Any]:
    return {row["referral_id"]: row for row in warehouse.rows("select * from partner_center_referrals")}


# --- what vanished ---------------------------------------------------------------------------------------------------


def test_a_full_read_notes_what_is_gone_and_an_incremental_one_does_not(sync: Sync) -> None:
    sync(*map(referral, range(1, 6)))
    assert sync(referral(1))["vanished"] == 0
    assert missing(sync) == set()
    counts = sync(*map(referral, range(1, 5)), mode="full")
    assert (counts["vanished"], counts["present"], counts["unchanged"]) == (1, 4, 4)
    assert missing(sync) == {"id-5"}
    ((referral_id, field, old, new),) = sync.warehouse.history()
    assert (referral_id, field, old) == ("id-5", "missing_since", None)
    assert new.startswith("20")
    # Once: the next full read has nothing to add, and writes nothing.
    before = sync.warehouse.versions()
    assert sync(*map(referral, range(1, 5)), mode="full")["vanished"] == 0
    assert sync.warehouse.versions() == before


def test_what_comes_back_is_missing_no_more(sync: Sync) -> None:
    sync(referral(1), referral(2))
    sync(referral(1), mode="full")
    counts = sync(referral(1), referral(2))
    assert (counts["updated"], counts["unchanged"]) == (1, 1)
    assert missing(sync) == set()
    assert [field for _, field, _, _ in sync.warehouse.history()] == ["missing_since", "missing_since"]
    assert sync.warehouse.value(
        "select string_agg(event, ' ' order by at) from partner_center_referral_timeline where referral_id = 'id-2'"
    ) == ("first_synced went_missing came_back")


def test_a_second_load_of_the_sweep_counts_the_same_and_writes_nothing(sync: Sync) -> None:
    sync(*map(referral, range(1, 6)))
    counts = sync(referral(1), referral(6), mode="full")
    before, history = sync.warehouse.versions(), sync.warehouse.history()
    again = sync.run({**LOAD_AGAIN, "run_id": "run-2"}, *LOAD)
    names = ("vanished", "present", "inserted", "updated", "unchanged")
    # The new one was none of those that could vanish; by now it stands there like the others.
    assert {name: again[name] for name in names} == {name: counts[name] for name in names} | {"present": 2}
    assert (sync.warehouse.versions(), sync.warehouse.history()) == (before, history)


def test_a_dry_sweep_counts_and_changes_nothing(sync: Sync) -> None:
    sync(*map(referral, range(1, 6)))
    before = sync.warehouse.versions()
    counts = sync(referral(1), referral(6), mode="full", dry_run="True")
    assert (counts["vanished"], counts["present"]) == (4, 1)
    assert (sync.warehouse.versions(), sync.warehouse.history()) == (before, [])


def test_an_old_sweep_proves_nothing_about_what_was_read_since(sync: Sync) -> None:
    sync(referral(1), referral(2), mode="full")
    sync(referral(1), referral(2), referral(3))
    parameters = {**LOAD_AGAIN, "run_id": "run-1"}
    assert sync.run(parameters, *LOAD)["vanished"] == 0
    assert missing(sync) == set()
    sync(referral(1), mode="full")
    assert missing(sync) == {"id-2", "id-3"}
    before = sync.warehouse.versions()
    sync.run(parameters, *LOAD)  # it had seen id-2
    assert sync.warehouse.versions() == before
    sync(referral(1), referral(2), referral(3), mode="full")
    before = sync.warehouse.versions()
    sync.run({**LOAD_AGAIN, "run_id": "run-3"}, *LOAD)  # it had not
    assert sync.warehouse.versions() == before


def test_a_newer_version_from_an_earlier_read_leaves_it_missing(sync: Sync) -> None:
    sync(referral(1), referral(2))
    sync(referral(1), referral(2, name="newer", **NEWER), dry_run="True")
    sync(referral(1), mode="full")
    counts = sync.run({**LOAD_AGAIN, "run_id": "run-2"}, *LOAD)
    assert counts["updated"] == 1
    assert missing(sync) == {"id-2"}
    assert table(sync.warehouse)["id-2"]["name"] == "newer"


# --- versions, history and the way back ------------------------------------------------------------------------------


def test_the_table_of_any_earlier_run_can_be_seen_whole(sync: Sync) -> None:
    stood = {}
    for rows in (
        [referral(1, name="a"), referral(2)],
        [referral(1, name="b", details={"dealValue": 1.50, "currency": "EUR"}, **NEWER), referral(2)],
        [referral(1, name="c", **NEWEST), referral(3, **mail("a@contoso.com"))],
    ):
        sync(*rows, mode="full")
        stood[f"run-{sync.runs}"] = table(sync.warehouse)
    assert {run_id: as_of(sync, run_id) for run_id in stood} == stood
    assert missing(sync) == {"id-2"}
    assert sync.warehouse.rows("select * from partner_center_referrals_as_of('2020-01-01')") == []
    assert sync.warehouse.value("select count(*) from partner_center_referral_versions") == 3


def test_what_the_database_swallows_leaves_no_version_and_no_history(sync: Sync) -> None:
    sync(referral(name="old"), referral(2))
    sync.warehouse.execute(
        """
        create function swallow() returns trigger language plpgsql as $$ begin return null; end $$;
        create trigger swallow before update on partner_center_referrals for each row execute function swallow()
        """
    )
    # One is renamed, the other has vanished; the database lets neither be written.
    counts = sync(referral(name="new", **NEWER), mode="full")
    assert (counts["vanished"], counts["unmarked"]) == (0, 1)
    assert sync.warehouse.value("select count(*) from partner_center_referral_versions") == 0
    assert sync.warehouse.history() == []
    assert as_of(sync, "run-2") == table(sync.warehouse)


def test_an_earlier_state_is_written_back_and_can_be_taken_back_itself(sync: Sync) -> None:
    sync(referral(1, name="a"), referral(2))
    first = table(sync.warehouse)
    sync(referral(1, name="b", **NEWER), referral(2), referral(3))
    second = table(sync.warehouse)
    when = sync.warehouse.value("select loaded_at from partner_center_sync_runs where run_id = 'run-1'")
    (done,) = sync.warehouse.rows("select * from partner_center_restore(%s)", (when,))
    assert (done["restored"], done["removed"]) == (1, 1)
    unsteady = ("synced_at", "last_run_id")

    def content(rows: dict[str, Any]) -> dict[str, Any]:
        return {key: {k: v for k, v in row.items() if k not in unsteady} for key, row in rows.items()}

    assert content(table(sync.warehouse)) == content(first)
    assert ("id-1", "name", "b", "a") in sync.warehouse.history()
    assert sync.warehouse.run(done["restore_run_id"])["mode"] == "restore"
    # What stood before is not lost: it can be seen, and written back as well.
    assert as_of(sync, "run-2") == second
    when = sync.warehouse.value("select loaded_at from partner_center_sync_runs where run_id = 'run-2'")
    sync.warehouse.rows("select * from partner_center_restore(%s)", (when,))
    assert content(table(sync.warehouse)) == content(second)
    # The next sync brings the newest in, as ever.
    sync(referral(1, name="c", **NEWEST))
    assert table(sync.warehouse)["id-1"]["name"] == "c"


def test_a_time_to_come_cannot_be_restored(sync: Sync) -> None:
    with pytest.raises(psycopg.errors.RaiseException, match="does not lie in the past"):
        sync.warehouse.rows("select * from partner_center_restore(now() + interval '1 day')")


STATUS_CHANGES = [
    (("New", "Pending"), ("Active", "Accepted"), set()),
    (("Active", "Accepted"), ("Closed", "Won"), set()),
    (("new", "pending"), ("CLOSED", "declined"), set()),
    (("Closed", "Won"), ("Active", "Accepted"), {"status"}),
    (("Active", "Accepted"), ("New", "Received"), {"status"}),
    (("New", "Pending"), ("Active", "Won"), {"substatus"}),
    (("New", "Pending"), ("Paused", "Pending"), {"status"}),
    (("Closed", "Won"), ("Closed", "Lost"), set()),
    (("Active", "Accepted"), (None, None), {"status", "substatus"}),
]


@pytest.mark.parametrize(("before", "after", "unexpected"), STATUS_CHANGES)
def test_jumps_that_the_status_machine_does_not_know_are_flagged_and_stored(
    sync: Sync, before: tuple[str, str], after: tuple[str, str], unexpected: set[str]
) -> None:
    statuses = '["New", "Active", "Closed"]'
    sync(referral(status=before[0], substatus=before[1]), statuses=statuses)
    counts = sync(referral(status=after[0], substatus=after[1], **NEWER), statuses=statuses)
    rows = sync.warehouse.rows("select field from partner_center_referral_history where unexpected")
    assert {row["field"] for row in rows} == unexpected
    assert counts["unexpected"] == len(unexpected)
    row = table(sync.warehouse)["id-1"]
    assert (row["status"], row["substatus"]) == after


# --- companies and people's own links --------------------------------------------------------------------------------


def test_a_company_keeps_every_name_and_country_it_was_seen_with(sync: Sync) -> None:
    finland = {"address": {"country": "FI"}}
    sync(
        referral(1, createdDateTime="2026-10-01T00:00:00Z", **mail("a@contoso.com", **finland)),
        referral(2, createdDateTime="2026-09-01T00:00:00Z", **mail("b@mail.contoso.com", name="Contoso Oy")),
        referral(3, **mail("c@gmail.com")),
    )
    sync(referral(1, **NEWER, **mail("a@contoso.com", name="Contoso AG", address={"country": "CH"})))
    (company,) = sync.warehouse.rows("select * from partner_center_companies")
    assert company["domain"] == "contoso.com"
    assert company["names"] == ["Contoso", "Contoso AG", "Contoso Oy"]
    assert company["countries"] == ["CH", "FI"]
    assert f"{company['first_seen_at']:%Y-%m-%d} {company['last_seen_at']:%Y-%m-%d}" == "2026-09-01 2026-11-02"


def test_the_view_of_domains_adds_up_what_is_open(sync: Sync) -> None:
    def deal(number: int, value: Any, currency: str | None, **more: Any) -> dict[str, Any]:
        details = {"details": {"dealValue": value, "currency": currency}}
        return referral(number, updatedDateTime=f"2026-11-0{number}T00:00:00Z", **details, **more)

    sync(
        deal(1, 10.5, "EUR", **mail("a@contoso.com")),
        deal(2, 20, "EUR", status="Active", **mail("b@contoso.com")),
        deal(3, 5, "USD", **mail("b@contoso.com")),
        deal(4, 7, None, **mail("b@contoso.com")),
        deal(5, None, "EUR", **mail("b@contoso.com")),
        deal(6, 99, "EUR", **mail("b@fabrikam.com")),
        deal(7, 1, "EUR"),
    )
    sync(deal(6, 99, "EUR", status="Closed", **mail("b@fabrikam.com")), statuses='["Closed"]')
    contoso, fabrikam = sync.warehouse.rows("select * from partner_center_domains order by domain")
    assert (contoso["referrals"], contoso["referral_ids"]) == (5, [f"id-{number}" for number in (5, 4, 3, 2, 1)])
    assert {key: float(value) for key, value in contoso["open_deal_value"].items()} == {"EUR": 30.5, "USD": 5, "": 7}
    assert (contoso["names"], contoso["referral_types"]) == (["Contoso"], ["unclassified"])
    assert (fabrikam["referrals"], fabrikam["open_deal_value"]) == (1, {})


def link(sync: Sync, domain: str | None, number: int = 1) -> None:
    sync.warehouse.rows(
        "insert into partner_center_link_overrides (referral_id, domain, set_by) values (%s, %s, 'ann') "
        "on conflict (referral_id) do update set domain = excluded.domain returning 1",
        (f"id-{number}", domain),
    )


def linked(sync: Sync, number: int = 1) -> tuple[Any, ...]:
    row = table(sync.warehouse)[f"id-{number}"]
    return row["domain"], row["domain_source"], row["link_status"]


@pytest.mark.parametrize(
    ("domain", "standing"), [("own.com", ("own.com", "override", "linked")), (None, (None, "override", "unlinked"))]
)
def test_a_persons_link_takes_effect_at_once_and_no_sync_undoes_it(
    sync: Sync, domain: str | None, standing: tuple[Any, ...]
) -> None:
    sync(referral(**mail("a@contoso.com")))
    link(sync, domain)
    assert linked(sync) == standing
    before = sync.warehouse.versions()
    counts = sync(referral(**mail("a@contoso.com")), mode="full")
    assert (counts["unchanged"], counts["missing"], counts["persisted"]) == (1, 0, 1)
    assert sync.warehouse.versions() == before
    assert (counts["with_domain"], counts["without_domain"]) == ((1, 0) if domain else (0, 1))
    counts = sync(referral(name="renamed", **NEWER, **mail("a@fabrikam.com")))
    assert (counts["updated"], counts["missing"], counts["persisted"]) == (1, 0, 1)
    assert linked(sync) == standing
    # Taken back, extraction has the word again: what the newest version says.
    sync.warehouse.execute("delete from partner_center_link_overrides")
    assert linked(sync) == ("fabrikam.com", "email", "linked")
    assert sync(referral(name="renamed", **NEWER, **mail("a@fabrikam.com")))["unchanged"] == 1
    assert {entry for entry in sync.warehouse.history() if entry[1] == "domain"} == {
        ("id-1", "domain", "contoso.com", domain),
        ("id-1", "domain", domain, "fabrikam.com"),
    }


def test_a_link_is_history_and_an_earlier_version_like_any_change(sync: Sync) -> None:
    sync(referral(**mail("a@contoso.com")))
    first = table(sync.warehouse)
    link(sync, "own.com")
    assert as_of(sync, "run-1") == first
    (entry,) = sync.warehouse.rows("select * from partner_center_referral_history")
    assert (entry["field"], entry["new_value"], entry["run_id"]) == ("domain", "own.com", "link override by ann")
    assert sync.warehouse.value("select last_run_id from partner_center_referrals") == "run-1"


def test_a_link_for_several_candidates_and_for_none(sync: Sync) -> None:
    team = {"customerProfile": {"team": [{"email": "a@contoso.com"}, {"email": "b@fabrikam.com"}]}}
    sync(referral(1, **team), referral(2))
    link(sync, "fabrikam.com")
    link(sync, "own.com", 2)
    assert (linked(sync), linked(sync, 2)) == (
        ("fabrikam.com", "override", "linked"),
        ("own.com", "override", "linked"),
    )
    sync.warehouse.execute("delete from partner_center_link_overrides")
    assert (linked(sync), linked(sync, 2)) == (
        ("contoso.com", "email", "multi_candidate"),
        (None, None, "unlinked"),
    )
    assert table(sync.warehouse)["id-2"]["domain_missing_reason"] == "no_email"


def test_a_link_can_come_before_the_referral_and_move_to_another(sync: Sync) -> None:
    link(sync, "own.com")
    sync(referral(1), referral(2))
    assert linked(sync) == ("own.com", "override", "linked")
    sync.warehouse.execute("update partner_center_link_overrides set referral_id = 'id-2'")
    assert linked(sync) == (None, None, "unlinked")
    assert linked(sync, 2) == ("own.com", "override", "linked")


@pytest.mark.parametrize("domain", ["Own.com", "own", "https://own.com", "own.com.", "own .com", "", "ö.de"])
def test_what_is_no_domain_is_no_link(sync: Sync, domain: str) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        link(sync, domain)


# --- one writer ------------------------------------------------------------------------------------------------------


def test_a_second_load_waits_for_the_first_and_sees_what_it_wrote(sync: Sync) -> None:
    sync(referral(name="first"))
    sync(referral(name="second", **NEWER), dry_run="True")
    sync(referral(name="third", **NEWEST), dry_run="True")
    loads = {run_id: {**LOAD_AGAIN, "run_id": run_id} for run_id in ("run-2", "run-3")}
    waiting = "select count(*) from pg_locks where locktype = 'advisory' and not granted"
    with sync.warehouse.connect() as other, ThreadPoolExecutor(2) as pool:
        other.execute("select pg_advisory_lock(hashtextextended('partner_center_referrals', 0))")
        done = {run_id: pool.submit(sync.run, parameters, *LOAD) for run_id, parameters in loads.items()}
        deadline = time.monotonic() + 20
        while sync.warehouse.value(waiting) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert not any(each.done() for each in done.values())
        other.execute("select pg_advisory_unlock_all()")
        assert done["run-3"].result(20)["updated"] == 1
        assert done["run-2"].result(20)["updated"] in (0, 1)  # whichever came first
    assert table(sync.warehouse)["id-1"]["name"] == "third"
    at = sync.warehouse.rows("select run_id, loaded_at from partner_center_sync_runs where run_id <> 'run-1'")
    times = [row["loaded_at"] for row in at]
    assert len(set(times)) == 2
    # Whatever the order, each version's time ends where the next one's begins.
    rows = sync.warehouse.rows("select synced_at, superseded_at from partner_center_referral_versions order by 1")
    chain = [moment for row in rows for moment in (row["synced_at"], row["superseded_at"])]
    chain.append(table(sync.warehouse)["id-1"]["synced_at"])
    assert chain == sorted(chain)
    assert all(earlier == later for earlier, later in zip(chain[1::2], chain[2::2], strict=True))


# --- skipped ---------------------------------------------------------------------------------------------------------


def skipped(sync: Sync) -> dict[str, tuple[Any, ...]]:
    rows = sync.warehouse.rows("select * from partner_center_skipped")
    return {row["referral_id"]: (row["reason"], row["status"], row["last_run_id"]) for row in rows}


def test_why_a_referral_is_not_there(sync: Sync) -> None:
    sync(referral(1), referral(2, status="Closed"), referral(3, direction="Outgoing"))
    assert skipped(sync) == {"id-2": ("status", "Closed", "run-1"), "id-3": ("direction", "New", "run-1")}
    sync(referral(2, status="None", **NEWER), referral(3, direction="Outgoing"))
    assert skipped(sync) == {"id-2": ("status", "None", "run-2"), "id-3": ("direction", "New", "run-2")}
    first, last = (
        sync.warehouse.value(f"select {name}_seen_at from partner_center_skipped where referral_id = 'id-2'")
        for name in ("first", "last")
    )
    assert first < last
    # Once it is stored, it is skipped no more; and an old run that skipped it does not bring that back.
    sync(referral(2, **NEWEST))
    assert set(skipped(sync)) == {"id-3"}
    sync.run({**LOAD_AGAIN, "run_id": "run-2"}, *LOAD)
    assert set(skipped(sync)) == {"id-3"}


def test_a_dry_run_remembers_nothing_of_what_it_skips(sync: Sync) -> None:
    assert sync(referral(1), statuses='["Active"]', dry_run="True")["skipped"] == {"status": 1}
    assert skipped(sync) == {}
