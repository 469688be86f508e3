"""What is deployed: the Helm values and the Astro project name what the code knows, and hold nothing secret."""

import re
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from partner_center.provider import get_provider_info
from partner_center.settings import CONNECTION_ID, ENABLED_VARIABLE, ENVIRONMENT_PREFIX, WAREHOUSE_CONNECTION_ID
from scripts.check_helm_values import (
    CHART_VERSION,
    COMBINATIONS,
    HELM,
    combined,
    load,
    merged,
    refused,
    rendered,
    unknown,
)

ROOT = Path(__file__).resolve().parents[2]
EVERYTHING = COMBINATIONS[-1]
SECRET_KEY = re.compile(r"(pass(word)?|secret|token|fernet_?key|(jwt|api)secret(key)?|connection)$", re.IGNORECASE)
CREDENTIALS_IN_URL = re.compile(r"://[^/\s:@]*:[^@\s]+@")
GENERATED = re.compile(r"(?![0-9a-f-]{36}$)[A-Za-z0-9_-]{32,}={0,2}$")


def text(*names):
    return ROOT.joinpath(*names).read_text(encoding="utf-8")


def leaves(value, path=()):
    """Yield each text and number of nested values with the keys that lead to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, value


def secrets_in(values):
    """Name the places that hold a secret itself rather than the name of one."""
    return [
        ".".join(path)
        for path, value in leaves(values)
        if isinstance(value, str)
        and value
        and (SECRET_KEY.search(path[-1]) or CREDENTIALS_IN_URL.search(value) or GENERATED.match(value))
    ]


def secret_names(values):
    return {
        value
        for path, value in leaves(values)
        if path[-1].lower().endswith("secretname") and path[0] != "ingress" and isinstance(value, str)
    }


@pytest.mark.parametrize("name", [*EVERYTHING, "airflow_settings.example.yaml"])
def test_no_file_holds_a_secret(name):
    assert secrets_in(load((HELM if name in EVERYTHING else ROOT) / name)) == []


@pytest.mark.parametrize(
    "values",
    [
        {"redis": {"password": "x"}},
        {"data": {"brokerUrl": "redis://:x@redis:6379/0"}},
        {"data": {"metadataConnection": {"pass": "x"}}},
        {"fernetKey": "x"},
        {"env": [{"name": "A", "value": "d6Vefz3G9UynXB3cr7yAk35tAHkEGAVxuzBAjzWw8a0="}]},
    ],
)
def test_a_secret_would_be_found(values):
    assert len(secrets_in(values)) == 1


@pytest.mark.parametrize("names", COMBINATIONS)
def test_the_image_is_this_version_over_the_pinned_airflow(names):
    values = combined(names)
    version = tomllib.loads(text("pyproject.toml"))["project"]["version"]
    airflow = re.search(r"^apache-airflow==(\S+)", text("requirements.txt"), re.MULTILINE).group(1)
    assert values["defaultAirflowTag"] == version
    assert values["airflowVersion"] == airflow
    assert f"apache/airflow:{airflow}" in text("Dockerfile")
    # It would leave the pods of KubernetesExecutor on the chart's own image.
    assert "airflow" not in values.get("images", {})


def test_environment_names_are_those_that_the_code_reads():
    values = combined(EVERYTHING)
    known = set(re.findall(r"^([A-Z][A-Z0-9_]+)=", text(".env.example"), re.MULTILINE))
    (config_map,) = values["extraConfigMaps"].values()
    given = yaml.safe_load(config_map["data"])
    assert set(given) <= known
    assert all(name.startswith(ENVIRONMENT_PREFIX) and isinstance(value, str) for name, value in given.items())
    assert given[f"{ENVIRONMENT_PREFIX}ENABLED"] == "false"
    assert [item["envName"] for item in values["secret"]] == [f"AIRFLOW_CONN_{WAREHOUSE_CONNECTION_ID.upper()}"]


def test_every_component_has_a_memory_limit_and_none_is_root():
    values = combined(EVERYTHING)
    sized = [values[name] for name in ("apiServer", "scheduler", "dagProcessor", "triggerer", "redis", "statsd")]
    sized += [*values["workers"].values(), values["migrateDatabaseJob"], values["dags"]["gitSync"]]
    assert all({"requests", "limits"} <= set(part["resources"]) for part in sized)
    assert all("memory" in part["resources"]["limits"] for part in sized)
    assert values["securityContexts"]["pod"]["runAsNonRoot"] is True
    assert values["securityContexts"]["containers"]["allowPrivilegeEscalation"] is False
    # The chart's first user has the password "admin", its database "postgres".
    assert values["createUserJob"]["enabled"] is False
    assert values["postgresql"]["enabled"] is False


def test_the_address_that_the_browser_sign_in_comes_back_to_is_the_ingress_by_https():
    values = combined(("values.yaml",))
    address = urlsplit(values["config"]["api"]["base_url"])
    (host,) = values["ingress"]["apiServer"]["hosts"]
    assert (address.scheme, address.hostname) == ("https", host["name"])
    assert host["tls"]["enabled"] is True


def test_an_overlay_adds_and_takes_nothing_away():
    base, celery = combined(("values.yaml",)), combined(EVERYTHING)
    assert (base["executor"], celery["executor"]) == ("KubernetesExecutor", "CeleryExecutor")
    assert celery["data"]["metadataSecretName"] == base["data"]["metadataSecretName"]
    assert celery["dagProcessor"]["resources"] == base["dagProcessor"]["resources"]
    assert secret_names(base) < secret_names(celery)


def test_values_are_merged_as_helm_does():
    assert merged({"a": {"b": 1, "c": [1]}, "d": 1}, {"a": {"c": [2]}, "d": None}) == {"a": {"b": 1, "c": [2]}}


def test_git_sync_gives_dags_plugins_and_include_from_the_same_commit():
    values = combined(EVERYTHING)
    (bundle,) = values["dagProcessor"]["dagBundleConfigList"]
    repository, _, folder = bundle["kwargs"]["path"].rpartition("/")
    assert folder == values["dags"]["gitSync"]["subPath"]
    parts = (values["dagProcessor"], values["triggerer"], *values["workers"].values())
    for env in ([(item["name"], item["value"]) for item in part["env"]] for part in parts):
        assert dict(env) == dict.fromkeys(("PYTHONPATH", "AIRFLOW__CORE__PLUGINS_FOLDER"), f"{repository}/plugins")
    assert all((ROOT / name).is_dir() for name in (folder, "plugins", "include"))


def test_the_guide_makes_every_secret_that_the_values_name():
    guide = text("docs", "kubernetes.md")
    made = set(re.findall(r"create secret generic ([a-z-]+)", guide))
    assert made == secret_names(combined(EVERYTHING))
    assert f"--version {CHART_VERSION}" in guide


SCHEMA = {
    "additionalProperties": False,
    "properties": {"scheduler": {"type": "object", "properties": {"replicas": {"type": "integer"}}}},
}


def test_what_the_chart_refuses_is_named_with_its_place():
    (problem,) = refused({"scheduler": {"replicas": "two"}}, SCHEMA)
    assert problem.startswith("scheduler.replicas: ")
    assert list(refused({"scheduler": {"replicas": 2}}, SCHEMA)) == []


def test_a_key_that_the_chart_does_not_know_is_named_even_where_its_schema_lets_it_pass():
    values = {"scheduler": {"replica": 2}}
    assert list(refused(values, SCHEMA)) == []
    assert list(unknown(values, SCHEMA)) == ["scheduler.replica: the chart does not know this key"]


def test_what_helm_cannot_render_is_said(tmp_path):
    helm = tmp_path / "helm"
    helm.write_text('#!/bin/sh\n[ "$#" = 7 ] && exit 0\necho "Error: $*" >&2\nexit 1\n', encoding="utf-8")
    helm.chmod(0o755)
    assert list(rendered(str(helm), tmp_path, ("values.yaml",))) == []
    (problem,) = rendered(str(helm), tmp_path, ("values.yaml", "values-celery.yaml"))
    assert problem.startswith("helm template: Error: template partner-center")
    assert problem.endswith(f"--values {HELM / 'values.yaml'} --values {HELM / 'values-celery.yaml'}")


def test_astro_settings_make_the_connections_and_the_flag_of_the_contract():
    settings = load(ROOT / "airflow_settings.example.yaml")["airflow"]
    connections = {item["conn_id"]: item for item in settings["connections"]}
    (offered,) = get_provider_info()["connection-types"]
    assert {name: item["conn_type"] for name, item in connections.items()} == {
        CONNECTION_ID: offered["connection-type"],
        WAREHOUSE_CONNECTION_ID: "postgres",
    }
    assert set(connections[CONNECTION_ID]["conn_extra"]) <= set(offered["conn-fields"])
    assert settings["variables"] == [{"variable_name": ENABLED_VARIABLE, "variable_value": "false"}]
    assert settings["pools"] == []


def test_the_astro_cli_takes_this_repository_for_a_project_and_leaves_its_pins_alone():
    assert load(ROOT / ".astro" / "config.yaml")["disable_astro_run"] is True
    let_through = text(".dockerignore").splitlines()
    assert {"!packages.txt", "!requirements.txt", "!requirements.lock"} <= set(let_through)
    assert text("packages.txt").strip() == ""
    assert "/airflow_settings.yaml" in text(".gitignore").splitlines()
