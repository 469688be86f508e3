"""A setting comes from the connection, then the environment, then a default; what is unsafe is refused."""

import dataclasses

import pytest

from partner_center.errors import ConfigurationError
from partner_center.settings import ENVIRONMENT_PREFIX, Settings, parse_flag, parse_number, resolve

REQUIRED = {"tenant_id": "t-1", "client_id": "c-1"}


def resolved(extra=None, *, host=None, port=None, schema=None, env=None, **more) -> Settings:
    extra = {**REQUIRED, **(extra or {}), **more}
    extra = {name: value for name, value in extra.items() if value is not ...}
    return resolve(host=host, port=port, schema=schema, extra=extra, env=env or {})


def refused(**given):
    with pytest.raises(ConfigurationError) as caught:
        resolved(**given)
    return str(caught.value)


# The order: connection, environment, default


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("tenant_id", None),
        ("client_id", None),
        ("scope", "https://api.partner.microsoft.com/.default"),
        ("api_version", "v1.0"),
        ("authority", "https://login.microsoftonline.com/t-1"),
    ],
)
def test_connection_wins_over_environment_over_default(name, default):
    prefix = "https://" if name == "authority" else ""
    suffix = "/t-2" if name == "authority" else ""
    connection, environment = f"{prefix}connection{suffix}", f"{prefix}environment{suffix}"
    env = {ENVIRONMENT_PREFIX + name.upper(): environment}
    assert getattr(resolved({name: connection}, env=env), name) == connection
    for empty in (..., None, ""):
        assert getattr(resolved({name: empty}, env=env), name) == environment
        if default is not None:
            assert getattr(resolved({name: empty}), name) == default


def test_the_address_comes_from_host_then_environment_then_default():
    env = {f"{ENVIRONMENT_PREFIX}API_URL": "https://environment.example/"}
    assert resolved(host="https://connection.example", env=env).api_url == "https://connection.example"
    assert resolved(host="", env=env).api_url == "https://environment.example"
    assert resolved(host=None, env=env).api_url == "https://environment.example"
    assert resolved().api_url == "https://api.partner.microsoft.com"


def test_the_environment_alone_is_enough():
    env = {f"{ENVIRONMENT_PREFIX}{name.upper()}": value for name, value in REQUIRED.items()}
    found = resolve(host=None, port=None, schema=None, extra={}, env=env)
    assert found == Settings(
        api_url="https://api.partner.microsoft.com",
        api_version="v1.0",
        tenant_id="t-1",
        client_id="c-1",
        scope="https://api.partner.microsoft.com/.default",
        authority="https://login.microsoftonline.com/t-1",
        instance_discovery=True,
        verify=True,
    )


def test_an_empty_environment_name_counts_as_not_set():
    assert resolved(env={f"{ENVIRONMENT_PREFIX}SCOPE": ""}).scope == "https://api.partner.microsoft.com/.default"


def test_spaces_around_a_value_do_not_count():
    found = resolved(client_id=" c-2\n", tenant_id=" t-2 ", host=" https://a.example ")
    assert (found.client_id, found.tenant_id, found.api_url) == ("c-2", "t-2", "https://a.example")


def test_a_name_of_the_environment_without_the_prefix_is_not_read():
    assert resolved(env={"SCOPE": "x", "API_URL": "https://x.example"}) == resolved()


# The address


@pytest.mark.parametrize(
    ("host", "port", "schema", "expected"),
    [
        ("https://api.example", None, None, "https://api.example"),
        ("https://api.example/", None, None, "https://api.example"),
        ("https://api.example:8443", None, None, "https://api.example:8443"),
        ("https://api.example", 8443, None, "https://api.example:8443"),
        ("https://api.example:8443", 9443, None, "https://api.example:8443"),
        ("https://api.example/base", 8443, None, "https://api.example:8443/base"),
        ("api.example", None, None, "https://api.example"),
        ("api.example", None, "https", "https://api.example"),
        ("api.example", 8443, "https", "https://api.example:8443"),
        ("api.example:8443", None, None, "https://api.example:8443"),
        ("https://[::1]:8443", None, None, "https://[::1]:8443"),
        (None, 8443, None, "https://api.partner.microsoft.com"),
        ("https://api.example", None, "http", "https://api.example"),
        ("https://api.example/v1.0", None, None, "https://api.example"),
        ("https://api.example/v1.0/", 8443, None, "https://api.example:8443"),
        ("https://api.example/v1.0/engagements/referrals", None, None, "https://api.example"),
        ("https://api.example/base/v1.0", None, None, "https://api.example/base"),
        ("https://api.example/v2.0", None, None, "https://api.example/v2.0"),
    ],
)
def test_host_port_and_schema_make_the_address(host, port, schema, expected):
    assert resolved(host=host, port=port, schema=schema).api_url == expected


def test_the_collection_stands_below_address_and_version():
    found = resolved(host="https://api.example/base/", api_version="/v2.0/")
    assert found.collection_url == "https://api.example/base/v2.0/engagements/referrals"


@pytest.mark.parametrize(
    "given",
    [
        {"host": "http://api.example"},
        {"host": "api.example", "schema": "http"},
        {"host": "ftp://api.example"},
        {"host": "file:///etc/passwd"},
        {"host": "https:///path"},
        {"env": {f"{ENVIRONMENT_PREFIX}API_URL": "http://api.example"}},
        {"authority": "http://login.example/t-1"},
        {"authority": "login.example/t-1"},
        {"env": {f"{ENVIRONMENT_PREFIX}AUTHORITY": "http://login.example/t-1"}},
    ],
)
def test_what_is_not_https_is_refused(given):
    assert "https" in refused(**given)


@pytest.mark.parametrize("given", [{"host": "https://api.example:port"}, {"host": "https://[::1"}])
def test_an_address_that_is_none_is_refused_like_a_wrong_one(given):
    assert refused(**given)


# The tenant


def test_the_tenant_is_read_from_the_authority_where_only_that_is_set():
    found = resolved(tenant_id=..., authority="https://login.example:8443/t-9/")
    assert (found.tenant_id, found.authority) == ("t-9", "https://login.example:8443/t-9")


def test_a_tenant_beside_an_authority_stays():
    found = resolved(tenant_id="t-1", authority="https://login.example/t-9")
    assert (found.tenant_id, found.authority) == ("t-1", "https://login.example/t-9")


@pytest.mark.parametrize("name", ["client_id", "tenant_id"])
@pytest.mark.parametrize("empty", [..., None, "", "  "])
def test_a_missing_name_is_told_with_both_places_to_set_it(name, empty):
    message = refused(extra={name: empty})
    assert name in message
    assert "partner_center_default" in message
    assert ENVIRONMENT_PREFIX + name.upper() in message


# Switches


@pytest.mark.parametrize("value", [True, "true", "TRUE", " Yes ", "y", "t", "on", 1, "1", "enabled"])
def test_a_yes_is_true(value):
    assert parse_flag(value, "x") is True


@pytest.mark.parametrize("value", [False, "false", "False", "no", "n", "f", "off", 0, "0", "", None, "disabled", " "])
def test_a_no_is_false(value):
    assert parse_flag(value, "x") is False


@pytest.mark.parametrize("value", ["maybe", "2", 2, "truee", "nein", [], {}, "true false"])
def test_what_is_neither_is_refused_by_name(value):
    with pytest.raises(ConfigurationError, match="the_switch"):
        parse_flag(value, "the_switch")


@pytest.mark.parametrize(
    ("value", "expected"), [(False, False), ("false", False), (True, True), ("1", True), (..., True)]
)
def test_instance_discovery_is_a_switch_and_on_by_default(value, expected):
    assert resolved(instance_discovery=value).instance_discovery is expected


@pytest.mark.parametrize("value", [True, "true", "1", "", "  ", "True", ...])
def test_verify_is_on_unless_a_bundle_is_named(value):
    assert resolved(verify=value).verify is True


def test_verify_may_name_a_bundle():
    assert resolved(verify=" /etc/ssl/own.pem ").verify == "/etc/ssl/own.pem"


@pytest.mark.parametrize("value", [False, "false", "0", "no", "off", 0])
def test_verify_cannot_be_switched_off(value):
    assert "access token" in refused(verify=value)


@pytest.mark.parametrize("name", ["instance_discovery", "verify"])
def test_a_null_is_as_if_the_switch_were_not_set(name):
    # What Airflow's form stores for a field that was left empty.
    assert resolved({name: None}) == resolved()


def test_settings_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        resolved().api_url = "https://other.example"


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 15 ", 15), ("0.2", 0.2), ("1e2", 100)])
def test_a_number_is_read_as_people_write_it(text, number):
    assert parse_number(text, "x") == number


@pytest.mark.parametrize("text", ["", "-1", "many", "nan", "inf", "1e30", "0x10", "1,5"])
def test_what_is_no_number_is_refused_by_name(text):
    with pytest.raises(ConfigurationError, match="the_limit is no number"):
        parse_number(text, "the_limit")
