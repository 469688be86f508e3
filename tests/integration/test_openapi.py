"""Every route, asked at random within and beyond what its description allows, with a log-in: none breaks."""

from __future__ import annotations

import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.support.environment import ROOT as REPOSITORY
from tests.support.pages import ROOT
from tests.support.sync import Sync, referral

EXAMPLES = 10


def test_the_description_is_for_whoever_is_logged_in(client_of, variables, simulator, warehouse):
    described = client_of("vic", "VIEWER").get(f"{ROOT}/openapi.json").json()
    assert described["servers"] == [{"url": ROOT}]
    operations = {(method, path): each for path, found in described["paths"].items() for method, each in found.items()}
    contract = {("get", f"/api/v1/referrals{rest}") for rest in ("", "/{referral_id}", "/export.csv")}
    contract |= {("post", "/api/v1/referrals/sync"), ("get", "/healthz"), ("get", "/metrics")}
    assert set(operations) == contract
    assert [place for place, each in operations.items() if not (each.get("summary") and each.get("description"))] == []


def test_no_route_breaks_whatever_it_is_asked(client_of, variables, simulator, warehouse, monkeypatch):
    from partner_center.ui.app import create_app
    from partner_center.warehouse import ensure_schema

    monkeypatch.setenv("AIRFLOW_VAR_PARTNER_CENTER_ENABLED", "true")
    ensure_schema(REPOSITORY / "include" / "migrations", auto_migrate=True)
    Sync(warehouse)(referral(1), referral(2, status="Closed"), "no JSON")
    token = client_of("admin", "ADMIN").cookies["_token"]
    app = create_app()
    for route in app.routes:
        route.include_in_schema = True  # the pages for people, too
    schema = schemathesis.openapi.from_dict(app.openapi())
    schema.app = app
    asked = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        ask(operation, {"authorization": f"Bearer {token}"})
        asked.add(operation.path)
    assert len(asked) > 20


def ask(operation, headers):
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy())
    def asked(case):
        answer = case.call(headers=headers)
        # Nobody is signed in to Partner Center, which the health tells by 503.
        is_red = operation.path == "/healthz" and answer.status_code == 503
        assert answer.status_code < 500 or is_red, (
            f"{case.method} {case.formatted_path} {case.query}: {answer.text[:500]}"
        )

    asked()
