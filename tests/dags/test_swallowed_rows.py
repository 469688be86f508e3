"""The disaster that this package exists to end: a database that swallows rows must fail the run and name them."""

from __future__ import annotations

from typing import Any

from tests.support.runs import Runner
from tests.support.warehouse import Warehouse

# For some rows only, so that a count of rows alone would not tell which; 16 hex digits begin a guid.
SWALLOWING = """
create function swallow() returns trigger language plpgsql as $$
begin
    return case when hashtext(new.referral_id) % {share} = 0 then null else new end;
end
$$;
create trigger swallow before insert or update on partner_center_referrals
for each row execute function swallow()
"""


def made_ready(run_sync: Runner, warehouse: Warehouse, share: int) -> list[str]:
    """Let the schema come, empty the table, and have a trigger swallow a share of the rows; return their ids."""
    assert run_sync({"dry_run": True}).state == "success"
    warehouse.execute(SWALLOWING.format(share=share))
    rows = warehouse.rows(
        f"select distinct referral_id from partner_center_staged "
        f"where outcome = 'eligible' and hashtext(referral_id) % {share} = 0 order by referral_id"
    )
    return [row["referral_id"] for row in rows]


def test_the_run_fails_and_names_how_many_and_which(run_sync: Runner, warehouse: Warehouse) -> None:
    swallowed = made_ready(run_sync, warehouse, share=8)
    assert 3 < len(swallowed) <= 20
    run = run_sync()
    assert run.failed_in("verify_counts")
    assert warehouse.value("select count(*) from partner_center_referrals") == 88 - len(swallowed)
    entry = warehouse.run(run.run_id)
    assert (entry["state"], entry["eligible"], entry["persisted"]) == ("failed", 88, 88 - len(swallowed))
    for told in (entry["reason"], run.log):
        assert f"{len(swallowed)} of 88 eligible referrals do not stand" in told
        assert all(referral_id in told for referral_id in swallowed)
    # A swallowed row is neither inserted nor updated nor unchanged.
    assert (entry["inserted"], entry["updated"], entry["unchanged"]) == (88 - len(swallowed), 0, 0)


def test_only_the_first_twenty_are_named(run_sync: Runner, warehouse: Warehouse) -> None:
    swallowed = made_ready(run_sync, warehouse, share=1)
    assert len(swallowed) == 88
    run = run_sync()
    reason = warehouse.run(run.run_id)["reason"]
    assert "88 of 88 eligible" in reason
    assert [referral_id for referral_id in swallowed if referral_id in reason] == swallowed[:20]
    assert "and more" in reason


def test_the_trigger_gone_the_next_run_heals_it(run_sync: Runner, warehouse: Warehouse) -> None:
    swallowed = made_ready(run_sync, warehouse, share=8)
    assert run_sync().state == "failed"
    warehouse.execute("drop trigger swallow on partner_center_referrals")
    healed = run_sync({"mode": "full"})
    assert healed.state == "success"
    assert (healed.counts["inserted"], healed.counts["unchanged"]) == (len(swallowed), 88 - len(swallowed))
    assert healed.counts["persisted"] == 88


def test_the_trigger_gone_clearing_the_load_heals_it_too(run_sync: Runner, warehouse: Warehouse) -> None:
    made_ready(run_sync, warehouse, share=8)
    failed = run_sync()
    warehouse.execute("drop trigger swallow on partner_center_referrals")
    healed = run_sync.clear(failed, "load_referrals", downstream=True)
    assert healed.state == "success"
    assert (healed.counts["inserted"], healed.counts["persisted"]) == (88, 88)
    assert warehouse.run(failed.run_id)["state"] == "success"


def test_an_update_that_the_database_holds_back_is_missed_as_well(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    assert run_sync().state == "success"
    referral_id = warehouse.value("select min(referral_id) from partner_center_referrals")
    simulator.control.patch(referral_id, {"name": "renamed"})
    warehouse.execute(SWALLOWING.format(share=1))
    run = run_sync()
    assert run.failed_in("verify_counts")
    assert "1 of " in run.log
    assert "eligible referrals do not stand" in run.log
    assert referral_id in warehouse.run(run.run_id)["reason"]


def test_a_closed_referral_that_the_database_keeps_open_fails_the_run_too(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    assert run_sync().state == "success"
    referral_id = warehouse.value("select min(referral_id) from partner_center_referrals")
    simulator.control.patch(referral_id, {"status": "Closed", "substatus": "Won"})
    warehouse.execute(SWALLOWING.format(share=1))
    run = run_sync()
    assert run.failed_in("verify_counts")
    assert "1 referrals that are no longer eligible" in run.log
    assert referral_id in warehouse.run(run.run_id)["reason"]


def test_a_row_that_the_database_changes_behind_our_back_is_missed(run_sync: Runner, warehouse: Warehouse) -> None:
    assert run_sync({"dry_run": True}).state == "success"
    warehouse.execute(
        """
        create function spoil() returns trigger language plpgsql as $$
        begin new.deal_value := coalesce(new.deal_value, 0) + 1; return new; end $$;
        create trigger spoil before insert on partner_center_referrals for each row execute function spoil()
        """
    )
    assert run_sync().failed_in("verify_counts")
    assert run_sync().failed_in("verify_counts")  # an insert that turns out to be an update fires it as well
    warehouse.execute("drop trigger spoil on partner_center_referrals")
    assert run_sync().counts["updated"] == 88


def test_a_referral_that_the_database_does_not_let_go_missing_fails_the_run_too(
    run_sync: Runner, simulator: Any, warehouse: Warehouse
) -> None:
    assert run_sync().state == "success"
    simulator.control.delete(warehouse.value("select min(referral_id) from partner_center_referrals"))
    warehouse.execute(SWALLOWING.format(share=1))
    run = run_sync({"mode": "full"})
    assert run.failed_in("verify_counts")
    assert "1 referrals that are gone from the API stand in" in warehouse.run(run.run_id)["reason"]
    warehouse.execute("drop trigger swallow on partner_center_referrals")
    assert run_sync({"mode": "full"}).state == "success"
    assert len(warehouse.history()) == 1
