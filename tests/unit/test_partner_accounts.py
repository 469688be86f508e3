"""Partner accounts: which the setting lists, and that no two of them share a name of anything."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from partner_center.accounts import DEFAULT, Account, connections, is_valid, listed
from partner_center.errors import ConfigurationError
from partner_center.settings import resolve

SETTING = "HUNTER_PARTNER_CENTER_CONNECTIONS"
EMEA = Account("partner_center_emea")


def names_of(account):
    return {
        "suffix": account.suffix,
        "title": account.title,
        "schema": account.schema,
        "token cache": account.token_cache_variable,
        "flag": account.enabled_variable,
        "lock": account.lock("lock"),
    }


def test_the_default_account_has_the_names_of_the_contract():
    assert names_of(DEFAULT) == {
        "suffix": "",
        "title": "",
        "schema": "public",
        "token cache": "partner_center_token_cache",
        "flag": "partner_center_enabled",
        "lock": "lock",
    }
    assert (DEFAULT.tags, DEFAULT.about) == ([], "")


@pytest.mark.parametrize(("connection_id", "name"), [("partner_center_emea", "emea"), ("fabrikam", "fabrikam")])
def test_another_account_has_its_own(connection_id, name):
    account = Account(connection_id)
    assert names_of(account) == {
        "suffix": f"__{name}",
        "title": f" ({name})",
        "schema": connection_id,
        "token cache": f"partner_center_token_cache__{name}",
        "flag": f"partner_center_enabled__{name}",
        "lock": f"lock {connection_id}",
    }
    assert account.tags == [f"account:{name}"]
    for part in (f"`{connection_id}`", f"`partner_center_token_cache__{name}`", f"`partner_center_enabled__{name}`"):
        assert part in account.about


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        (None, []),
        ("", []),
        (" , ,", []),
        ("partner_center_default", []),
        ("emea", ["emea"]),
        ("emea,partner_center_apac", ["emea", "partner_center_apac"]),
        (" emea , apac,emea , partner_center_default", ["emea", "apac"]),
    ],
)
def test_the_default_account_is_always_there_and_first(text, ids):
    env = {} if text is None else {SETTING: text}
    assert connections(env) == ["partner_center_default", *ids]


@pytest.mark.parametrize(
    "connection_id",
    [
        "Emea",
        "1emea",
        "_emea",
        "e-mea",
        "e mea",
        "emea;drop",
        "émea",
        "a" * 52,
        "public",
        "information_schema",
        "pg_emea",
        "partner_center_db",
        "partner_center_",
        "emea\n",
    ],
)
def test_what_cannot_name_an_account_is_refused_by_name(connection_id):
    assert not is_valid(connection_id)
    with pytest.raises(ConfigurationError, match="cannot be the connection of a partner account") as raised:
        Account(connection_id)
    assert repr(connection_id) in str(raised.value)
    if connection_id == connection_id.strip():
        with pytest.raises(ConfigurationError, match=SETTING):
            listed({SETTING: f"fine,{connection_id}"})


@pytest.mark.parametrize("text", ["emea,partner_center_emea", "default"])
def test_two_connections_of_one_name_are_refused(text):
    with pytest.raises(ConfigurationError, match=r"so one DAG and one token cache\. Give one of the connections"):
        listed({SETTING: text})


@given(
    st.lists(st.from_regex(r"(partner_center_)?[a-z][a-z0-9_]{0,5}", fullmatch=True).filter(is_valid), max_size=6),
    st.sampled_from([",", " , ", ",,"]),
)
def test_no_two_accounts_share_a_name_of_anything(ids, comma):
    try:
        found = listed({SETTING: comma.join(ids)})
    except ConfigurationError:
        return
    assert found[0] == DEFAULT
    assert {account.connection_id for account in found} == {*ids, "partner_center_default"}
    for kind in names_of(DEFAULT):
        assert len({names_of(account)[kind] for account in found}) == len(found), kind


# The environment


def test_the_tenant_of_the_environment_is_the_default_accounts():
    env = {
        f"HUNTER_PARTNER_CENTER_{name}": name.lower() for name in ("TENANT_ID", "CLIENT_ID", "API_URL", "SCOPE", "X")
    }
    assert DEFAULT.environment(env) == env
    assert EMEA.environment(env) == {name: value for name, value in env.items() if "TENANT" not in name}


def test_what_is_missing_is_to_be_set_in_the_accounts_own_connection():
    def message(account, extra):
        with pytest.raises(ConfigurationError) as raised:
            resolve(connection_id=account.connection_id, host=None, port=None, schema=None, extra=extra, env={})
        return str(raised.value)

    assert "partner_center_default or as HUNTER_PARTNER_CENTER_TENANT_ID" in message(DEFAULT, {"client_id": "c"})
    assert "in the connection partner_center_emea:" in message(EMEA, {"client_id": "c"})
    assert "HUNTER" not in message(EMEA, {"client_id": "c"})
    assert "in the connection partner_center_emea or as HUNTER_PARTNER_CENTER_CLIENT_ID" in message(EMEA, {})
