"""The judge's endpoint: which addresses are taken, what the environment sets, what is told before a start."""

import pytest

from llm_studio.actions.judging import (
    ADDRESS,
    DEFAULT_ADDRESS,
    KEY,
    address_of,
    checked_address,
    endpoint_of,
    judge_findings,
    judge_identity,
    judge_of,
    try_endpoint,
)
from llm_studio.config import make_config
from llm_studio.errors import UserError
from llm_studio.store import Store
from tests.support.judge import graded, running_judge

PLAIN = make_config({})
JUDGED = make_config({"prediction.metric": "gpt", "prediction.metric_gpt_model": " grader "})


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLM_STUDIO_JUDGE_KEY", "LLM_STUDIO_JUDGE_ADDRESS"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" https://api.openai.com/v1/ ", "https://api.openai.com/v1"),
        ("http://localhost:11434/v1/chat/completions", "http://localhost:11434/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
    ],
)
def test_an_address_is_kept_without_what_clients_add(typed: str, kept: str) -> None:
    assert checked_address(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "localhost:8000",
        "ftp://a/v1",
        "http://",
        "http://a:x/v1",
        "http://a b/v1",
        "https://k:s@a/v1",
        "https://a/v1?k=s",
    ],
)
def test_what_is_no_address_or_holds_a_secret_is_refused(typed: str) -> None:
    with pytest.raises(UserError) as refused:
        checked_address(typed)
    assert refused.value.where == "Judge, Address" and refused.value.fix


def test_the_environment_wins_over_settings(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint_of(store).url == DEFAULT_ADDRESS and endpoint_of(store).key == ""
    store.preferences.set(ADDRESS, "http://a/v1")
    store.secrets.set(KEY, "sk-kept")
    assert (endpoint_of(store).url, endpoint_of(store).key) == ("http://a/v1", "sk-kept")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://b/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-outside")
    assert (endpoint_of(store).url, endpoint_of(store).key) == ("http://b/v1", "sk-outside")
    assert "sk-outside" not in repr(endpoint_of(store))


def test_only_the_metric_gpt_has_a_judge(store: Store) -> None:
    assert judge_of(store, PLAIN) is None and judge_identity(store, PLAIN) == "" and not [*judge_findings(store, PLAIN)]
    judge = judge_of(store, JUDGED)
    assert judge is not None and judge.model == "grader"
    assert address_of(store) in judge_identity(store, JUDGED)


def test_a_missing_key_stops_a_start_at_openai_and_a_server_of_ones_own_needs_none(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert [one.level for one in judge_findings(store, JUDGED)] == ["error"]
    store.preferences.set(ADDRESS, "http://10.0.0.7:8000/v1")
    (note,) = judge_findings(store, JUDGED)
    assert note.level == "note" and "are sent to 10.0.0.7:8000" in note.what
    store.preferences.set(ADDRESS, "http://localhost:8000/v1")
    assert not [*judge_findings(store, JUDGED)]
    monkeypatch.setenv("OPENAI_BASE_URL", "nonsense")
    (error,) = judge_findings(store, JUDGED)
    assert error.level == "error" and "'nonsense' is no address" in error.what


def test_the_endpoint_is_tried_by_its_list_of_models(store: Store) -> None:
    store.secrets.set(KEY, "sk-1")
    with running_judge(graded("x"), models=tuple("abcdefg")) as server:
        store.preferences.set(ADDRESS, server.url)
        assert try_endpoint(store).endswith("answers. Models: a, b, c, d, e and 2 more.")
        assert server.keys == ["Bearer sk-1"] and not server.asked
        store.preferences.set(ADDRESS, server.url.removesuffix("/v1"))
        with pytest.raises(UserError, match="HTTP 404") as refused:
            try_endpoint(store)
        assert "/v1" in refused.value.fix
    with pytest.raises(UserError, match="the connection failed"):
        try_endpoint(store)
