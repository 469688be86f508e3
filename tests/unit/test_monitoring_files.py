"""Dashboard, alert rules and scrape configuration fit the metrics that docs/monitoring.md lists, and each other.

That the list is what the route and the run really tell is tested in test_ui_health.py and test_scheduler.py.
"""

import json
import re
import shutil
import subprocess

import promql_parser as promql
import pytest
import yaml

from tests.support.environment import ROOT
from tests.support.monitored import DOCUMENT, documented

FOLDER = ROOT / "deploy" / "monitoring"
DASHBOARD = json.loads((FOLDER / "grafana-dashboard.json").read_text(encoding="utf-8"))
PANELS = DASHBOARD["panels"]
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "prometheus-rules.yml").read_text(encoding="utf-8"))["groups"]
    for rule in group["rules"]
]
SCRAPES = {
    job["job_name"]: job
    for job in yaml.safe_load((FOLDER / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
}
# By metric, the labels; Prometheus and the blackbox exporter add the last two themselves.
METRICS = {name: labels | {"connection"} for name, labels in documented("The Prometheus route").items()}
METRICS |= {"up": {"job", "connection"}, "probe_success": {"job", "connection"}}
HEALTH = {"ok", "disabled", "sign_in_required", "failing", "stale"}

DASHBOARD_QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
QUERIES = [*DASHBOARD_QUERIES, *(rule["expr"] for rule in RULES)]


def selectors(node):
    """Return the selectors of a query, as pairs of a metric's name and its matchers."""
    if isinstance(node, promql.VectorSelector):
        return [(node.name, node.matchers.matchers)]
    parts = [getattr(node, name, None) for name in ("lhs", "rhs", "expr", "vector_selector")]
    parts += getattr(node, "args", None) or []
    return [found for part in parts if part is not None for found in selectors(part)]


def grouping(query):
    """Return the labels by which a query matches and adds up."""
    return {
        label.strip()
        for group in re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query)
        for label in group.split(",")
        if label
    }


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_asks_for_what_is_told(query):
    found = selectors(promql.parse(query))
    assert found
    for name, matchers in found:
        assert {matcher.name for matcher in matchers} <= METRICS[name]
        for matcher in matchers:
            if (name, matcher.name) == ("partner_center_health", "status"):
                assert set(matcher.value.split("|")) <= HEALTH
    assert grouping(query) <= set.union(*(METRICS[name] for name, _ in found))


def test_the_search_finds_each_selector():
    query = 'sum by (a) (x{l="1"} offset 1h) > on (a) (rate(y[5m]) or -z) unless absent(w)'
    assert {name for name, _ in selectors(promql.parse(query))} == {"w", "x", "y", "z"}
    assert grouping(query) == {"a"}


def test_the_dashboard_shows_what_the_route_tells():
    shown = {name for query in DASHBOARD_QUERIES for name, _ in selectors(promql.parse(query))}
    beside = {
        "enabled", "signed_in", "last_run_timestamp_seconds", "last_run_succeeded", "last_run_skipped_referrals",
        "quarantine_oldest_timestamp_seconds",
    }  # fmt: skip
    assert {name for name in METRICS if name.startswith("partner_center_")} - shown == {
        f"partner_center_{name}" for name in beside
    }


def test_each_panel_asks_the_chosen_prometheus_for_the_chosen_accounts():
    for panel in PANELS:
        for source in (panel, *panel["targets"]):
            assert source["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        for target in panel["targets"]:
            for _, matchers in selectors(promql.parse(target["expr"])):
                assert ("connection", "$connection") in {(each.name, each.value) for each in matchers}
            assert set(re.findall(r"{{(\w+)}}", target["legendFormat"])) <= set.union(*METRICS.values())


def test_the_panels_stand_beside_each_other():
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    taken = [
        (x, y)
        for place in (panel["gridPos"] for panel in PANELS)
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24


def test_the_dashboard_chooses_prometheus_and_accounts():
    assert DASHBOARD["schemaVersion"] >= 39  # Grafana 11
    by_name = {each["name"]: each for each in DASHBOARD["templating"]["list"]}
    assert (by_name["datasource"]["type"], by_name["datasource"]["query"]) == ("datasource", "prometheus")
    chosen = re.fullmatch(r"label_values\((\w+), (\w+)\)", by_name["connection"]["query"]["query"])
    assert chosen[2] in METRICS[chosen[1]]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_rule_says_what_it_means_and_leads_to_what_to_do(rule):
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert page == "docs/monitoring.md"
    assert anchor == rule["alert"].lower()
    assert f"\n### {rule['alert']}\n" in DOCUMENT.read_text(encoding="utf-8")
    used = set(re.findall(r"\$labels\.(\w+)", json.dumps(rule["annotations"])))
    assert used <= {"connection"}


def test_each_rule_is_documented_and_the_other_way_round():
    told = re.findall(r"^### (PartnerCenter\w+)$", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert told == [rule["alert"] for rule in RULES]


def test_the_scrape_configuration_has_the_jobs_that_the_rules_name():
    jobs = {
        matcher.value
        for rule in RULES
        for _, matchers in selectors(promql.parse(rule["expr"]))
        for matcher in matchers
        if matcher.name == "job"
    }
    assert jobs == set(SCRAPES)
    (target,) = SCRAPES["partner-center"]["static_configs"]
    assert target["labels"] == {"__param_connection": "partner_center_default"}
    assert SCRAPES["partner-center"]["metrics_path"] == "/partner-center/metrics"
    (probed,) = SCRAPES["partner-center-health"]["static_configs"]
    assert "/partner-center/healthz?connection=partner_center_default" in probed["targets"][0]


def test_promtool_agrees():
    """Only where Prometheus is installed: the rules' own test tells which alert speaks when."""
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not on PATH")
    for command in (
        ["check", "config", "--syntax-only", "prometheus.yml"],
        ["check", "rules", "prometheus-rules.yml"],
        ["test", "rules", "prometheus-rules.test.yml"],
    ):
        done = subprocess.run([promtool, *command], cwd=FOLDER, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_promtools_test_has_each_alert_speak():
    tested = {
        each["alertname"]
        for case in yaml.safe_load((FOLDER / "prometheus-rules.test.yml").read_text(encoding="utf-8"))["tests"]
        for each in case["alert_rule_test"]
        if "exp_alerts" in each
    }
    assert tested == {rule["alert"] for rule in RULES}
