"""What Airflow shows of the connection type fits the distribution, the hook and the settings."""

import dataclasses
import json
from importlib.metadata import entry_points

import pytest

from partner_center.provider import get_provider_info
from partner_center.settings import Settings

INFO = get_provider_info()
(CONNECTION,) = INFO["connection-types"]


def test_the_description_is_json():
    assert json.loads(json.dumps(INFO)) == INFO


def test_the_installed_distribution_names_the_description():
    (found,) = [
        each for each in entry_points(group="apache_airflow_provider") if each.module.startswith("partner_center")
    ]
    assert found.value == "partner_center.provider:get_provider_info"
    # Airflow leaves out a provider whose name is not that of its distribution.
    assert found.dist.name == INFO["package-name"]


def test_the_form_has_every_field_of_the_contract():
    assert list(CONNECTION["conn-fields"]) == [
        "tenant_id",
        "client_id",
        "scope",
        "authority",
        "instance_discovery",
        "api_version",
        "verify",
    ]


def test_every_field_of_the_form_is_a_setting():
    assert set(CONNECTION["conn-fields"]) == {field.name for field in dataclasses.fields(Settings)} - {
        "api_url",
        "client_secret",
        "proxies",
        "trust_env",
    }


@pytest.mark.parametrize("name", CONNECTION["conn-fields"])
def test_every_field_may_stay_empty_and_is_explained(name):
    field = CONNECTION["conn-fields"][name]
    assert "null" in field["schema"]["type"]
    assert field["label"]
    assert field["description"].endswith((".", ".default", "v1.0", "<tenant id>"))


def test_the_one_secret_of_a_connection_is_its_password():
    behaviour = CONNECTION["ui-field-behaviour"]
    assert "login" in behaviour["hidden-fields"]
    assert not {"host", "password"} & set(behaviour["hidden-fields"])
    assert behaviour["relabeling"]["password"] == "Client secret"
    assert not any("secret" in name for name in CONNECTION["conn-fields"])


def test_the_hook_class_is_named_once():
    assert INFO["hook-class-names"] == [CONNECTION["hook-class-name"]] == ["partner_center.hook.PartnerCenterHook"]
    assert CONNECTION["connection-type"] == "partner_center"
