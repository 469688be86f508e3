"""Who may import whom, and that Airflow loads nothing of the library by itself."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = ROOT / "plugins"
LIBRARY = PLUGINS / "partner_center"
MODULES = {
    ".".join(path.relative_to(LIBRARY).with_suffix("").parts): path
    for path in sorted(LIBRARY.rglob("*.py"))
    if path.name != "__init__.py"
}

# No Airflow, database, login or HTTP: rules that a unit test can call with nothing around them.
PURE = {"referral", "pages", "domains", "report", "errors", "redaction", "settings", "retrying", "provider"}
PURE |= {"contract", "listing", "read_plan", "rules", "accounts", "reasons", "token_claims", "findings"}
PURE |= {"personal", "mail_addresses", "exact_json", "erased_people", "erasure_request"}
PURE |= {"alerts", "alert_texts"}
KNOW_AIRFLOW = {"hook", "operators", "retry_policy", "airflow_store", "warehouse", "steps", "token_cache"}
KNOW_AIRFLOW |= {"sign_in", "sign_in_operator", "sign_in_trigger", "airflow_setup", "account_checks"}
KNOW_AIRFLOW |= {"notifying", "watching", "measures", "lineage"}
KNOW_AIRFLOW_LAZILY = {"airflow_store", "warehouse", "steps", "token_cache", "airflow_setup", "account_checks"}
KNOW_AIRFLOW_LAZILY |= {"notifying", "watching", "measures", "lineage"}
KNOW_POSTGRES = {"warehouse", "staging", "runs", "cache_lock", "measures"}
KNOW_MSAL = {"auth", "login", "token_cache", "sign_in"}
KNOW_HTTP = {"auth", "login", "client", "answers", "transport", "hook", "account_checks"}
WORLDS = ("airflow", "psycopg", "sqlalchemy", "alembic", "msal", "requests", "urllib3", "fastapi", "jinja2")
SQL_WORDS = ("select ", "insert into ", "update ", "delete from ", "copy ", "create ", "truncate ")


@functools.cache
def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def imports(path, *, lazy=True):
    """Return what a module imports, by its full dotted name; without `lazy`, only what is imported with it."""
    found = set()

    def walk(node):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.update(alias.name for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}: a relative import"
                found.update(f"{child.module}.{alias.name}" for alias in child.names)
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if lazy or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                walk(child)

    walk(tree_of(path))
    return found


def knows(path, world, *, lazy=True):
    return any(name == world or name.startswith(f"{world}.") for name in imports(path, lazy=lazy))


def ours(path):
    """Return the library's modules that a module imports."""
    names = {name.removeprefix("partner_center.") for name in imports(path) if name.startswith("partner_center.")}
    return {name if name in MODULES else name.rpartition(".")[0] for name in names}


def test_the_reading_of_imports_sees_all_forms(tmp_path):
    source = "import a.b\nfrom c import d\nif TYPE_CHECKING:\n    import e\ndef f():\n    from g.h import i\n"
    (tmp_path / "m.py").write_text(source)
    assert imports(tmp_path / "m.py") == {"a.b", "c.d", "g.h.i"}
    assert imports(tmp_path / "m.py", lazy=False) == {"a.b", "c.d"}


def test_the_named_modules_exist():
    assert set(MODULES) >= PURE | KNOW_AIRFLOW | KNOW_POSTGRES | KNOW_MSAL | KNOW_HTTP


def test_a_pure_module_knows_nothing_of_the_world():
    known = {name: [world for world in WORLDS if knows(MODULES[name], world)] for name in PURE}
    assert {name: worlds for name, worlds in known.items() if worlds} == {}
    assert {name: ours(MODULES[name]) - PURE for name in PURE if ours(MODULES[name]) - PURE} == {}


def test_each_outside_world_has_its_modules():
    for world, knowing in (
        ("airflow", KNOW_AIRFLOW),
        ("psycopg", KNOW_POSTGRES),
        ("alembic", {"warehouse"}),
        ("sqlalchemy", {"warehouse", "airflow_store", "airflow_setup"}),
        ("msal", KNOW_MSAL),
        ("requests", KNOW_HTTP),
        ("urllib3", {"transport"}),
    ):
        found = {name for name, path in MODULES.items() if not name.startswith("ui.") and knows(path, world)}
        assert found <= knowing, world


def test_airflow_is_imported_late_where_scripts_import_first():
    assert [name for name in KNOW_AIRFLOW_LAZILY if knows(MODULES[name], "airflow", lazy=False)] == []


def test_nothing_imports_the_steps_but_the_dag():
    assert [name for name, path in MODULES.items() if "steps" in ours(path)] == []


def test_modules_do_not_import_each_other_in_a_circle():
    graph = {name: ours(path) & set(MODULES) for name, path in MODULES.items()}
    while leaves := {name for name, needs in graph.items() if not needs & set(graph)}:
        graph = {name: needs for name, needs in graph.items() if name not in leaves}
    assert graph == {}


def test_the_pure_modules_load_where_the_world_is_missing():
    script = f"""
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(WORLDS)!r}:
            raise ImportError(f"blocked: {{name}}")

sys.meta_path.insert(0, Blocked())
for name in {sorted(PURE)!r}:
    __import__(f"partner_center.{{name}}")
from partner_center.domains import DomainExtractor, Hint
from partner_center.pages import split_page
from partner_center.referral import parse
print(parse(split_page(b'{{"value":[{{"id":"1"}}]}}').rows[0]).referral_id)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(PLUGINS)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.stdout.strip(), done.stderr) == ("1", "")


def test_the_dag_file_imports_no_world_but_airflow_at_parse_time():
    for path in (ROOT / "dags").glob("*.py"):
        assert [world for world in WORLDS[1:] if knows(path, world, lazy=False)] == []
        assert ours(path) <= set(MODULES)


# What Airflow's plugin loader sees


def test_airflow_does_not_load_the_library_as_plugins():
    patterns = [line for line in (PLUGINS / ".airflowignore").read_text().splitlines() if line.strip()]
    assert patterns == ["partner_center/"]


def test_the_dags_folder_has_its_ignore_file():
    assert (ROOT / "dags" / ".airflowignore").is_file()


def test_no_file_is_named_like_a_module_of_python():
    # Airflow would put it into sys.modules under its stem, in the other's place.
    stems = {path.stem for path in PLUGINS.rglob("*.py")} - {"__init__"}
    assert stems & sys.stdlib_module_names == set()


def test_no_file_is_a_drawer():
    stems = {path.stem for path in PLUGINS.rglob("*.py")}
    assert stems & {"utils", "util", "helpers", "common", "manager", "base", "misc"} == set()


# SQL


def test_every_sql_file_says_what_it_does_and_why_twice_is_safe():
    paths = sorted((ROOT / "include" / "sql").rglob("*.sql"))
    assert paths
    for path in paths:
        lines = path.read_text(encoding="utf-8").splitlines()
        comments = lines[: next(number for number, line in enumerate(lines) if not line.startswith("--"))]
        text = " ".join(comment.removeprefix("-- ") for comment in comments)
        assert text.startswith("What: "), path
        assert " Why " in text, path
        assert lines[len(comments)] == "", path


def strings(path):
    """Return the texts of a module that are no docstrings."""
    tree = tree_of(path)
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    texts = [
        n for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in docs
    ]
    return [node.value.strip() for node in texts]


def sql_in(path):
    return [text for text in strings(path) if text.lower().startswith(SQL_WORDS) and text[:6].islower()]


def test_sql_stands_in_its_modules_only():
    found = {name for name, path in MODULES.items() if not name.startswith("ui.") and sql_in(path)}
    assert found == KNOW_POSTGRES  # so the search finds it, too


def test_no_sql_is_put_together_from_parts():
    for name in KNOW_POSTGRES:
        built = [ast.unparse(node) for node in ast.walk(tree_of(MODULES[name])) if isinstance(node, ast.JoinedStr)]
        assert [text for text in built if text[2:].lstrip("'\"\n ").lower().startswith(SQL_WORDS)] == []
