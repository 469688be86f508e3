"""The kept cache: written when it changed, never replaced by a poorer one, every secret masked."""

import json

import pytest
from msal import SerializableTokenCache

from partner_center.errors import ConfigurationError, SignInRequired, VariableUnreadable
from partner_center.token_cache import CACHE_PATH_ENVIRONMENT, StoredTokenCache
from tests.support.memory_store import MemoryStore


def filled(cache, number=1, *, refresh=True):
    """Put into a cache what MSAL puts there after a sign-in."""
    answer = {
        "access_token": f"access-{number}",
        "id_token_claims": {"oid": "o-1", "preferred_username": "sync@partner.example"},
        "id_token": f"id-{number}",
        "expires_in": 3600,
        "token_type": "Bearer",
        "client_info": "eyJ1aWQiOiJvLTEiLCJ1dGlkIjoidC0xIn0",
    }
    if refresh:
        answer["refresh_token"] = f"refresh-{number}"
    event = {"client_id": "c-1", "scope": ["s"], "token_endpoint": "https://login.example/t-1/oauth2/v2.0/token"}
    cache.add(event | {"response": answer})
    return cache


def serialized(number=1, *, refresh=True):
    return filled(SerializableTokenCache(), number, refresh=refresh).serialize()


def refresh_tokens(text):
    return [entry["secret"] for entry in json.loads(text).get("RefreshToken", {}).values()]


@pytest.fixture(autouse=True)
def no_old_file(monkeypatch):
    monkeypatch.delenv(CACHE_PATH_ENVIRONMENT, raising=False)


# Loading


def test_nothing_kept_is_an_empty_cache():
    cache = StoredTokenCache(MemoryStore()).load()
    assert list(cache.search(cache.CredentialType.REFRESH_TOKEN)) == []
    assert not cache.has_state_changed


def test_what_is_kept_comes_back_unchanged():
    cache = StoredTokenCache(MemoryStore(serialized())).load()
    assert [token["secret"] for token in cache.search(cache.CredentialType.REFRESH_TOKEN)] == ["refresh-1"]
    assert not cache.has_state_changed


@pytest.mark.parametrize("text", ["{", "not json", "<html>", "gAAAAABl", "\x00"])
def test_broken_text_is_told_with_the_way_out(text):
    with pytest.raises(ConfigurationError) as caught:
        StoredTokenCache(MemoryStore(text)).load()
    assert "partner_center_token_cache" in str(caught.value)
    assert "sign in again" in str(caught.value)


@pytest.mark.parametrize(
    "text", ["[]", "7", '"text"', '{"RefreshToken": []}', '{"RefreshToken": {"a": {}}}', '{"AccessToken": 3}']
)
def test_json_that_is_no_cache_is_told_alike(text):
    with pytest.raises(ConfigurationError):
        StoredTokenCache(MemoryStore(text)).load()


def test_broken_text_is_not_quoted():
    with pytest.raises(ConfigurationError) as caught:
        StoredTokenCache(MemoryStore('{"RefreshToken": "0.Asecret')).load()
    assert "0.Asecret" not in str(caught.value)


# Masking


def test_every_secret_is_masked_when_it_is_loaded():
    store = MemoryStore(serialized())
    StoredTokenCache(store).load()
    assert store.masked == {"access-1", "refresh-1", "id-1"}


def test_every_secret_is_masked_before_it_is_written():
    store = MemoryStore()
    StoredTokenCache(store).save(filled(SerializableTokenCache(), 2))
    assert store.masked == {"access-2", "refresh-2", "id-2"}


def test_a_secret_is_masked_even_if_it_is_not_kept():
    store = MemoryStore(serialized())
    with pytest.raises(SignInRequired):
        StoredTokenCache(store).save(filled(SerializableTokenCache(), 2, refresh=False))
    assert {"access-2", "id-2"} <= store.masked


# Saving


def test_an_unchanged_cache_is_not_written():
    store = MemoryStore(serialized())
    stored = StoredTokenCache(store)
    assert stored.save(stored.load()) is False
    assert stored.save(SerializableTokenCache()) is False
    assert store.writes == []


def test_a_changed_cache_is_written_once():
    store = MemoryStore(serialized())
    stored = StoredTokenCache(store)
    cache = filled(stored.load(), 2)
    assert stored.save(cache) is True
    assert stored.save(cache) is False
    assert [refresh_tokens(text) for text in store.writes] == [["refresh-2"]]


def test_the_first_sign_in_is_written():
    store = MemoryStore()
    assert StoredTokenCache(store).save(filled(SerializableTokenCache())) is True
    assert refresh_tokens(store.text) == ["refresh-1"]


def test_a_cache_without_refresh_token_never_replaces_one_that_has_it():
    store = MemoryStore(serialized())
    with pytest.raises(SignInRequired) as caught:
        StoredTokenCache(store).save(filled(SerializableTokenCache(), 2, refresh=False))
    assert caught.value.reason == "no_refresh_token"
    assert store.writes == []


def test_a_cache_with_fewer_accounts_but_a_refresh_token_is_written():
    # Signing in anew is the way out of two accounts in one cache.
    both = filled(SerializableTokenCache())
    other = {"client_id": "c-2", "scope": ["s"], "token_endpoint": "https://login.example/t-2/oauth2/v2.0/token"}
    both.add(other | {"response": {"access_token": "a", "refresh_token": "refresh-other", "expires_in": 9}})
    store = MemoryStore(both.serialize())
    assert len(refresh_tokens(store.text)) == 2
    assert StoredTokenCache(store).save(filled(SerializableTokenCache(), 3)) is True
    assert refresh_tokens(store.text) == ["refresh-3"]


def test_access_tokens_may_be_dropped():
    store = MemoryStore(serialized())
    stored = StoredTokenCache(store)
    cache = stored.load()
    for token in list(cache.search(cache.CredentialType.ACCESS_TOKEN)):
        cache.remove_at(token)
    assert stored.save(cache) is True
    assert refresh_tokens(store.text) == ["refresh-1"]
    assert "access-1" not in store.text


def test_a_broken_kept_text_is_replaced_by_a_sign_in():
    store = MemoryStore("not json")
    assert StoredTokenCache(store).save(filled(SerializableTokenCache())) is True


# A look-up that fails


def test_a_failed_look_up_never_leads_to_a_write():
    store = MemoryStore(serialized())
    stored = StoredTokenCache(store)
    cache = filled(stored.load(), 2)
    store.failing = True
    with pytest.raises(VariableUnreadable):
        stored.save(cache)
    assert store.writes == []
    store.failing = False
    assert refresh_tokens(store.text) == ["refresh-1"]


def test_a_failed_look_up_never_looks_like_an_empty_cache():
    store = MemoryStore(serialized())
    store.failing = True
    with pytest.raises(VariableUnreadable):
        StoredTokenCache(store).load()


# The old cache file


@pytest.fixture
def old_file(tmp_path, monkeypatch):
    path = tmp_path / "cache.json"
    path.write_text(serialized(7))
    monkeypatch.setenv(CACHE_PATH_ENVIRONMENT, str(path))
    return path


def test_an_old_file_is_imported_once(old_file, caplog):
    store = MemoryStore()
    stored = StoredTokenCache(store)
    for _ in range(2):
        cache = stored.load()
        assert [token["secret"] for token in cache.search(cache.CredentialType.REFRESH_TOKEN)] == ["refresh-7"]
    assert len(store.writes) == 1
    assert store.masked == {"access-7", "refresh-7", "id-7"}
    (message,) = caplog.messages
    assert CACHE_PATH_ENVIRONMENT in message
    assert "obsolete" in message


def test_an_old_file_does_not_replace_what_is_kept(old_file):
    store = MemoryStore(serialized(1))
    assert refresh_tokens(StoredTokenCache(store).load().serialize()) == ["refresh-1"]
    assert store.writes == []


def test_an_old_file_is_not_imported_over_a_failed_look_up(old_file):
    store = MemoryStore(serialized(1))
    store.failing = True
    with pytest.raises(VariableUnreadable):
        StoredTokenCache(store).load()
    assert store.writes == []


@pytest.mark.parametrize("text", ["", "{}", "not json", "[]", '{"RefreshToken": {}}'])
def test_an_old_file_without_a_refresh_token_is_not_imported(old_file, text):
    old_file.write_text(text)
    store = MemoryStore()
    StoredTokenCache(store).load()
    assert store.writes == []


def test_an_old_file_that_is_no_text_does_not_stop_the_run(old_file):
    old_file.write_bytes(b"\xff\xfe\x00")
    store = MemoryStore()
    StoredTokenCache(store).load()
    assert store.writes == []


def test_an_old_path_that_leads_nowhere_is_passed_over(monkeypatch, tmp_path):
    monkeypatch.setenv(CACHE_PATH_ENVIRONMENT, str(tmp_path / "none.json"))
    store = MemoryStore()
    StoredTokenCache(store).load()
    assert store.writes == []


def test_a_failed_save_can_be_tried_again():
    store = MemoryStore()
    store.failing = True
    cache = filled(SerializableTokenCache())
    with pytest.raises(VariableUnreadable):
        StoredTokenCache(store).save(cache)
    store.failing = False
    assert StoredTokenCache(store).save(cache)
    assert store.secrets("RefreshToken")
