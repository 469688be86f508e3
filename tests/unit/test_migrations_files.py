"""Alembic's files: one line of revisions, each with its SQL file, in a version table of our own."""

import ast
import configparser
import re
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = ROOT / "include" / "migrations"
SCHEMA = ROOT / "include" / "sql" / "schema"


def scripts():
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return ScriptDirectory.from_config(config)


REVISIONS = list(scripts().walk_revisions())


def test_there_is_one_head():
    assert len(scripts().get_heads()) == 1


def test_the_line_of_revisions_has_one_beginning_and_no_branch():
    assert [revision.revision for revision in REVISIONS if revision.down_revision is None] == ["0001_initial"]
    assert all(isinstance(revision.down_revision, str | None) for revision in REVISIONS)


def test_every_file_of_the_folder_is_a_revision():
    files = {path.stem for path in (MIGRATIONS / "versions").glob("*.py")}
    assert files == {revision.revision for revision in REVISIONS}


def test_revisions_are_numbered_in_their_order():
    names = [revision.revision for revision in reversed(REVISIONS)]
    assert [name[:4] for name in names] == [f"{number:04d}" for number in range(1, len(names) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+", name) for name in names)


def test_every_revision_has_its_sql_file_and_no_file_is_left_over():
    assert {path.stem for path in SCHEMA.glob("*.sql")} == {revision.revision for revision in REVISIONS}


@pytest.mark.parametrize("revision", REVISIONS, ids=lambda revision: revision.revision)
def test_a_revision_finds_its_sql_from_its_own_place(revision):
    assert revision.module.SQL == SCHEMA
    assert (revision.module.SQL / f"{revision.revision}.sql").is_file()


@pytest.mark.parametrize("path", sorted(SCHEMA.glob("*.sql")), ids=lambda path: path.name)
def test_a_schema_file_ends_no_transaction(path):
    # All revisions of an upgrade and the lock stand in one transaction.
    words = re.findall(
        r"^\s*(commit|rollback|begin|start transaction)\s*;", path.read_text(), re.IGNORECASE | re.MULTILINE
    )
    assert words == []
    assert "concurrently" not in path.read_text().lower()


def test_the_way_back_from_the_first_revision_is_refused():
    with pytest.raises(NotImplementedError, match="drop the referrals"):
        REVISIONS[-1].module.downgrade()


def test_the_version_table_is_not_airflows():
    tree = ast.parse((MIGRATIONS / "env.py").read_text())
    (options,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and node.targets[0].id == "OPTIONS"
    ]
    assert options["version_table"] == "partner_center_alembic_version"
    assert options["transaction_per_migration"] is False


def test_the_ini_file_names_the_scripts_and_no_database():
    ini = configparser.ConfigParser(defaults={"here": str(ROOT)})
    ini.read(ROOT / "alembic.ini")
    assert Path(ini["alembic"]["script_location"]) == MIGRATIONS
    assert Path(ini["alembic"]["prepend_sys_path"]) == ROOT / "plugins"
    assert "sqlalchemy.url" not in ini["alembic"]


def test_a_new_revision_is_made_like_the_first():
    template = (MIGRATIONS / "script.py.mako").read_text()
    assert 'SQL / f"{revision}.sql"' in template
    assert "def upgrade() -> None:" in template
