"""From nothing to production and back, as an operator does it: one story, each test begins where the last ended."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.compose.stack import COUNT, IMAGE, PROJECT, Stack, compose_blocks, until

pytestmark = pytest.mark.timeout(1800)

SECRETS = (
    "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__API_AUTH__JWT_SECRET",
    "AIRFLOW__API__SECRET_KEY",
    "METADATA_PASSWORD",
    "WAREHOUSE_PASSWORD",
    "ADMIN_PASSWORD",
)
INSTALL, UPGRADE = "docs/runbooks/install.md", "docs/runbooks/upgrade-and-roll-back.md"
# Of the smoke test; what it reads is only what may have changed.
STILL = "88 referrals in the table"
NOTE = "create table partner_center_note (note text);\ninsert into partner_center_note values ('kept');\n"
REVISION = '''"""{title}."""

from pathlib import Path

from alembic import op

revision = "{name}"
down_revision = "{before}"

SQL = Path(__file__).resolve().parents[2] / "sql" / "schema"


def upgrade() -> None:
    op.get_bind().connection.cursor().execute((SQL / f"{{revision}}.sql").read_text(encoding="utf-8"))


def downgrade() -> None:
    op.execute("alter table if exists partner_center_note rename to partner_center_note_before_{name}")
'''


def revision(name: str, before: str, sql: str) -> dict[str, str]:
    """Return the files of a new revision."""
    return {
        f"include/migrations/versions/{name}.py": REVISION.format(title=name, name=name, before=before),
        f"include/sql/schema/{name}.sql": sql,
    }


def newest(stack: Stack) -> str:
    """Return the newest revision that the clone's code knows."""
    return max(path.stem for path in (stack.folder / "include" / "migrations" / "versions").glob("0*.py"))


# ---- the compose file itself ------------------------------------------------------------------------------
@pytest.mark.parametrize("name", SECRETS)
def test_each_secret_is_demanded(stack: Stack, name: str) -> None:
    stack.configure(**{name: ""})
    told = stack.run("docker", "compose", "config", "--quiet", check=False)
    stack.configure()
    assert told.returncode != 0
    assert name in told.stdout
    assert ".env" in told.stdout


def test_both_generations_of_compose_take_the_file(stack: Stack) -> None:
    assert stack.run("docker", "compose", "config", "--quiet", COMPOSE_FILE="docker-compose.yaml").stdout == ""
    if stack.run("sh", "-c", "command -v docker-compose", check=False).returncode == 0:
        assert stack.run("docker-compose", "config", "--quiet", COMPOSE_FILE="docker-compose.yaml").stdout == ""


def test_a_new_env_has_all_that_is_demanded_and_is_made_once(stack: Stack) -> None:
    (stack.folder / ".env").unlink()
    stack.runbook(INSTALL, "new_env.sh")
    assert (stack.folder / ".env").stat().st_mode & 0o777 == 0o600
    assert stack.run("docker", "compose", "config", "--quiet").stdout == ""
    text = (stack.folder / ".env").read_text(encoding="utf-8")
    assert stack.runbook(INSTALL, "new_env.sh", check=False).returncode == 1
    assert (stack.folder / ".env").read_text(encoding="utf-8") == text
    stack.configure()


# ---- the first deployment ---------------------------------------------------------------------------------
def test_nothing_is_deployed_without_being_told(stack: Stack) -> None:
    before = stack.traces()
    done = stack.run("scripts/deploy_production.sh", check=False)
    assert done.returncode == 1
    assert "FORCE_PRODUCTION=yes" in done.stdout
    assert stack.traces() == before


def test_a_dry_run_before_the_first_deployment_leaves_no_trace(stack: Stack) -> None:
    before = stack.traces()
    told = stack.runbook(INSTALL, "--dry-run").stdout
    assert "first deployment" in told
    assert stack.traces() == before


def test_the_first_deployment_brings_everything_up(stack: Stack) -> None:
    done = stack.runbook(INSTALL, "FORCE_PRODUCTION")
    assert "NOT TESTED" in done.stdout  # nobody is signed in
    assert stack.unhealthy() == []
    assert stack.health()["status"] == "sign_in_required"
    assert stack.revision() == newest(stack)


def test_nothing_runs_as_root_or_may_write_where_it_need_not(stack: Stack) -> None:
    for container in stack.compose("ps", "--all", "--quiet").split():
        told = json.loads(stack.run("docker", "inspect", container).stdout)[0]
        name, host = told["Name"], told["HostConfig"]
        if "simulator" in name:
            continue
        assert told["Config"]["User"].split(":")[0] not in {"", "0", "root"}, name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert host["Memory"] > 0, name
        assert host["PidsLimit"] > 0, name
        assert host["LogConfig"]["Config"]["max-size"], name
        bindings = [each["HostIp"] for ports in (host["PortBindings"] or {}).values() for each in ports]
        assert set(bindings) <= {"127.0.0.1"}, name
        assert all(not mount["RW"] for mount in told["Mounts"] if mount["Type"] == "bind"), name


def test_signed_in_it_stores_the_88(stack: Stack) -> None:
    assert "Signed in" in stack.sign_in()
    told = stack.runbook(INSTALL, "flag on").stdout
    assert "fetched 250, eligible 88, inserted 88" in told
    told = stack.runbook(INSTALL, "select count(*)").stdout
    assert stack.sql(COUNT) == "88"
    assert " 88\n" in told
    assert stack.health()["status"] == "ok"


def test_the_connection_has_its_form(stack: Stack) -> None:
    told = stack.compose("exec", "-T", "scheduler", "airflow", "providers", "list", "--output", "plain")
    assert "partner" in told.lower()


# ---- what goes wrong in a life ----------------------------------------------------------------------------
def test_after_a_restart_of_everything_it_is_still_signed_in(stack: Stack) -> None:
    services = stack.compose("config", "--services").split()
    # All but the simulator, which keeps its sign-ins in memory.
    stack.compose("restart", "--timeout", "20", *(each for each in services if each not in {"simulator", "init"}))
    stack.wait_for_health()
    assert STILL in stack.helper("smoke")


def test_a_task_whose_scheduler_is_killed_is_tried_again_and_heals(stack: Stack) -> None:
    killed_in_fetch(stack, "scheduler")


def killed_in_fetch(stack: Stack, service: str) -> None:
    """Kill what runs a task while it reads pages; the next try has to make the run whole."""
    stack.simulate("faults", [{"kind": "latency", "on": "referrals", "times": 1, "options": {"seconds": 60}}])
    run = stack.trigger(mode="full")
    until(lambda: stack.task(run, "fetch_pages")["state"] == "running", 180)
    stack.compose("kill", "--signal", "KILL", service)
    stack.simulate("faults", [])
    stack.compose("up", "-d", "--no-build", *stack.scale)
    until(lambda: stack.airflow(run)["state"] in {"success", "failed"}, 600)
    fetched = stack.task(run, "fetch_pages")
    assert (stack.airflow(run)["state"], fetched["try_number"]) == ("success", 2)
    assert stack.sql(COUNT) == "88"
    stack.wait_for_health()


# ---- upgrades, and the ways back --------------------------------------------------------------------------
def test_a_dry_run_on_the_running_stack_leaves_no_trace(stack: Stack) -> None:
    name = "9001_note"
    stack.commit("a revision", **revision(name, newest(stack), NOTE))
    before = stack.traces()
    told = stack.run("scripts/deploy_production.sh", "--dry-run").stdout
    assert f"pending {name}" in told
    assert "| create table partner_center_note" in told
    assert "would run: docker compose up -d" in told
    assert stack.traces() == before


def test_an_upgrade_is_backed_up_migrated_tested_and_told(stack: Stack) -> None:
    before = stack.image()
    done = stack.runbook("README.md", "deploy_production")
    assert "restored elsewhere and counted" in done.stdout
    assert STILL in done.stdout
    assert stack.revision() == "9001_note"
    assert stack.image() != before
    assert len(list((stack.folder / "backups").glob("*.dump"))) == 1


def test_a_failing_migration_goes_back_by_itself(stack: Stack) -> None:
    image = stack.image()
    stack.commit("a migration that fails", **revision("9002_broken", "9001_note", "select 1 / 0;\n"))
    done = stack.deploy()
    assert done.returncode == 1, done.stdout
    assert "division by zero" in done.stdout
    assert "Gone back" in done.stdout
    assert (stack.image(), stack.revision(), stack.sql(COUNT)) == (image, "9001_note", "88")
    assert stack.unhealthy() == []
    assert stack.health()["status"] == "ok"
    stack.run("git", "reset", "--quiet", "--hard", "HEAD~1")


def test_a_failing_smoke_test_goes_back_by_itself_and_keeps_what_the_migration_made(stack: Stack) -> None:
    image = stack.image()
    steps = (stack.folder / "plugins/partner_center/steps.py").read_text(encoding="utf-8")
    broken = steps + "\n\ndef _plan(*_: Any) -> Any:\n    raise ConfigurationError('broken on purpose')\n"
    assert "ConfigurationError" in steps
    more = revision("9003_more", "9001_note", "alter table partner_center_note add column more text;\n")
    stack.commit("code that fails", **more, **{"plugins/partner_center/steps.py": broken})
    done = stack.deploy()
    assert done.returncode == 1, done.stdout
    assert "broken on purpose" in done.stdout
    assert "Gone back" in done.stdout
    assert (stack.image(), stack.revision(), stack.sql(COUNT)) == (image, "9001_note", "88")
    assert stack.sql("select note from partner_center_note_before_9003_more") == "kept"
    assert stack.unhealthy() == []
    stack.sql("alter table partner_center_note_before_9003_more rename to partner_center_note")
    stack.run("git", "reset", "--quiet", "--hard", "HEAD~1")
    assert STILL in stack.helper("smoke")


def test_back_to_an_earlier_revision_by_hand_and_forward_again(stack: Stack) -> None:
    first, second = (stack.run("git", "rev-parse", "--short=12", name).stdout.strip() for name in ("HEAD~1", "HEAD"))
    newer = stack.image()
    stack.runbook(UPGRADE, "--to", first)
    assert stack.revision() < "9001"
    assert stack.sql("select note from partner_center_note_before_9001_note") == "kept"
    assert stack.image() != newer
    assert STILL in stack.helper("smoke")
    stack.sql("drop table partner_center_note_before_9001_note")
    stack.run("scripts/rollback.sh", "--to", second)
    assert (stack.revision(), stack.image(), stack.sql(COUNT)) == ("9001_note", newer, "88")


def test_a_backup_brings_deleted_rows_back(stack: Stack) -> None:
    backup = str(min((stack.folder / "backups").glob("*.dump")))
    stack.sql("delete from partner_center_referrals where domain is null")
    assert stack.sql(COUNT) == "38"
    stack.runbook(UPGRADE, "--restore", backup)
    assert (stack.sql(COUNT), stack.revision()) == ("88", "9001_note")
    assert STILL in stack.helper("smoke")


def test_the_flag_switches_off_at_once_and_on_again(stack: Stack) -> None:
    stack.run("scripts/rollback.sh")
    assert stack.health()["status"] == "disabled"
    run = stack.trigger()
    until(lambda: stack.airflow(run)["state"] in {"success", "failed"}, 120)
    assert stack.task(run, "acquire_token")["state"] == "skipped"
    stack.runbook(UPGRADE, "flag on")
    assert stack.health()["status"] != "disabled"


def test_the_metadata_database_is_backed_up_as_the_runbook_says(stack: Stack) -> None:
    stack.runbook(UPGRADE, "pg_dump")
    assert (stack.folder / "backups" / "metadata.dump").read_bytes().startswith(b"PGDMP")


# ---- with Redis and workers -------------------------------------------------------------------------------
def test_with_celery_it_runs_and_is_still_signed_in(stack: Stack) -> None:
    stack.configure(COMPOSE_PROFILES="celery", AIRFLOW_EXECUTOR="CeleryExecutor", AIRFLOW_UID="50123")
    stack.scale = ["--scale", "worker=2"]
    stack.up(*stack.scale)
    workers = stack.compose("ps", "--format", "{{.Service}}").split().count("worker")
    assert workers == 2
    assert STILL in stack.helper("smoke")


def test_a_task_whose_worker_is_killed_is_tried_again_and_heals(stack: Stack) -> None:
    killed_in_fetch(stack, "worker")


def test_back_to_the_local_executor(stack: Stack) -> None:
    stack.configure()
    stack.scale = []
    stack.compose("--profile", "celery", "rm", "--stop", "--force", "worker", "redis")
    stack.up()
    assert STILL in stack.helper("smoke")


def test_every_command_of_the_runbooks_for_the_stack_was_run(stack: Stack) -> None:
    assert {(block.file, block.line) for block in compose_blocks()} == stack.followed


def test_what_is_removed_leaves_nothing(stack: Stack) -> None:
    stack.remove()
    left = subprocess.run(["docker", "ps", "--all", "--quiet", "--filter", f"name={PROJECT}"], check=True,
                          capture_output=True, text=True).stdout  # fmt: skip
    assert left == ""
    assert not stack.run("docker", "images", "--quiet", IMAGE).stdout
