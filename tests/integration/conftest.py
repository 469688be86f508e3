"""Browsers of the pages, over Airflow's own API server app: real log-in, guards, access log and metadata."""

from __future__ import annotations

import warnings

import pytest

from tests.support import environment
from tests.support.pages import AIRFLOW, HTML


@pytest.fixture(scope="session")
def api_server(airflow_home):
    """Airflow's API server app with our plugin, as Airflow loads it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Airflow warns of when it is put together
        from airflow.api_fastapi.app import create_app

        return create_app("core")


@pytest.fixture
def client_of(api_server, monkeypatch):
    """Give a browser's client: of nobody, or of somebody who is logged in, by the cookie that Airflow's log-in sets."""
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from fastapi.testclient import TestClient

    monkeypatch.setenv("AIRFLOW__API__BASE_URL", AIRFLOW)

    def make(user=None, role="USER", **options):
        client = TestClient(api_server, AIRFLOW, headers=HTML, follow_redirects=False, **options)
        if user is not None:
            token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=user, role=role))
            client.cookies.set("_token", token)
        return client

    return make


@pytest.fixture
def ann(client_of, variables, simulator, warehouse):
    """Ann's browser, who may trigger DAGs; nobody is signed in to Partner Center."""
    return client_of("ann")


@pytest.fixture(scope="session")
def dags_in_metadata(airflow_home):
    """Airflow knows our DAGs; use `known_dags`."""
    from tests.support.metadata import make_dags_known

    make_dags_known(environment.ROOT / "dags")


@pytest.fixture
def known_dags(dags_in_metadata):
    """Airflow knows our DAGs, and no run of them."""
    from tests.support.metadata import forget_runs, is_known, make_dags_known

    # A run of a test in between has told Airflow of its own DAG alone, which makes the others stale.
    if not is_known("partner_center_referral_sync", "partner_center_replay_quarantine", "partner_center_watch"):
        make_dags_known(environment.ROOT / "dags")
    forget_runs()
    yield
    forget_runs()
