"""Alembic's files: one line of revisions, each with its SQL file, in a version table of our own."""

import ast
import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MIGRATIONS = ROOT / "include" / "migrations"
SCHEMA = ROOT / "include" / "sql" / "schema"


def constants(path):
    """Return the constants that a file assigns to plain names."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = ast.literal_eval(node.value)
            except ValueError:
                continue
    return found


FILES = sorted((MIGRATIONS / "versions").glob("*.py"))
REVISIONS = {path.stem: constants(path) for path in FILES}


def test_the_revisions_are_one_line():
    names = [None, *REVISIONS]
    assert len(names) > 1
    assert [each["down_revision"] for each in REVISIONS.values()] == names[:-1]


def test_a_file_is_named_for_its_revision_and_numbered_in_order():
    assert [each["revision"] for each in REVISIONS.values()] == list(REVISIONS)
    assert [name[:5] for name in REVISIONS] == [f"{number:04d}_" for number in range(1, len(REVISIONS) + 1)]
    assert all(re.fullmatch(r"\d{4}_[a-z0-9_]+", name) for name in REVISIONS)


def test_every_revision_has_its_sql_file_and_no_file_is_left_over():
    assert {path.stem for path in SCHEMA.glob("*.sql")} == set(REVISIONS)


def test_a_revision_finds_its_sql_from_its_own_place():
    for path in FILES:
        assert 'Path(__file__).resolve().parents[2] / "sql" / "schema"' in path.read_text()
        assert path.resolve().parents[2] / "sql" / "schema" == SCHEMA


def test_a_schema_file_ends_no_transaction():
    # All revisions of an upgrade and the lock stand in one transaction.
    ending = re.compile(r"^\s*(commit|rollback|begin|start transaction)\s*;|concurrently", re.IGNORECASE | re.MULTILINE)
    assert [path.name for path in SCHEMA.glob("*.sql") if ending.search(path.read_text())] == []


def test_the_version_table_is_not_airflows():
    options = constants(MIGRATIONS / "env.py")["OPTIONS"]
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
