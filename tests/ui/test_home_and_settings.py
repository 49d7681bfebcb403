"""Home and Settings on real records: what they say, and that a secret never comes back."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_studio.actions.judging import ADDRESS, DEFAULT_ADDRESS, KEY, address_of
from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.ui.page import Context, Event, Page
from llm_studio.ui.pages import home as home_page
from llm_studio.ui.pages import settings as settings_page
from llm_studio.ui.pages import settings_secrets as secrets_cards
from tests.support.judge import graded, running_judge

SECRET = "sk-abcdefghijklmnop"
TOKEN = "hf_abcdefghijklmnop"


JUDGES = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "LLM_STUDIO_JUDGE_KEY", "LLM_STUDIO_JUDGE_ADDRESS")


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "LLM_STUDIO_HUGGINGFACE_TOKEN", *JUDGES):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    home = Home(tmp_path / "home")
    home.create()
    return Store.open(home)


def context(store: Store, page: Page, **draft: Any) -> Context:
    return Context(store=store, home=store.home, route=page.route, draft=dict(draft))


def shown(store: Store, page: Page, **draft: Any) -> str:
    return cards_of(context(store, page, **draft), page)


def cards_of(ctx: Context, page: Page) -> str:
    return json.dumps([card.item.dump() for card in page.cards(page.load(ctx, ()))])


def experiment(store: Store, name: str, status: str) -> str:
    if not store.datasets.list():
        store.datasets.create(
            name="Answers", settings={}, row_count=10, train_rows=8, validation_rows=2, fingerprint="f", source="s",
            size_bytes=1, problem_type="causal_lm",
        )  # fmt: skip
    record = store.experiments.create(
        "problem_type: causal_lm\n", name=name, dataset_id=store.datasets.list()[0].id, backbone="starter",
        problem_type="causal_lm", device="cpu",
    )  # fmt: skip
    if status != "queued":
        store.experiments.claim(record.id)
        store.experiments.update(
            record.id, progress=0.42, eta_seconds=170, phase="Training",
            scores={"before": {"bleu": 3.2}, "best": {"bleu": 61}},
        )  # fmt: skip
    if status not in ("queued", "running"):
        store.experiments.finish(record.id, status)
    return record.id


def test_an_empty_home_offers_the_import_and_the_first_steps(store: Store) -> None:
    words = shown(store, home_page.PAGE)
    assert "Import data" in words and "First steps" in words and "Recent experiments" not in words


def test_home_shows_what_runs_what_waits_and_what_was_done(store: Store) -> None:
    for name, status in (("Alpha", "finished"), ("Beta", "running"), ("Gamma", "queued")):
        experiment(store, name, status)
    words = shown(store, home_page.PAGE)
    assert "Running now" in words and "about 3 min left" in words and "42 %" in words
    assert "Recent experiments" in words and "3.2 \\u2192 61.0" in words and "Gamma" in words
    assert "New experiment" in words


def test_home_warns_when_no_worker_runs(store: Store) -> None:
    assert "The worker is not running" in shown(store, home_page.PAGE)


def test_the_token_is_kept_and_never_comes_back(store: Store) -> None:
    page = settings_page.PAGE
    ctx = context(store, page, token=TOKEN)
    assert page.actions["save_token"](ctx, (), Event("save_token"))
    assert store.secrets.get(secrets_cards.TOKEN) == TOKEN and "token" not in ctx.draft
    words = shown(store, page)
    assert "A token is set" in words and TOKEN not in words
    page.actions["remove_token"](ctx, (), Event("remove_token"))
    assert store.secrets.get(secrets_cards.TOKEN) is None and "No token is set" in shown(store, page)


def test_a_typed_token_is_not_echoed_either(store: Store) -> None:
    assert TOKEN not in shown(store, settings_page.PAGE, token=TOKEN)


@pytest.mark.parametrize("token", ["", "  ", "hf_a b", "hf_ä"])
def test_a_token_that_cannot_be_one_is_refused(store: Store, token: str) -> None:
    with pytest.raises(UserError, match="token"):
        secrets_cards.save_token(context(store, settings_page.PAGE, token=token), (), Event("save_token"))


def test_a_token_of_the_environment_is_said_to_come_from_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    words = shown(store, settings_page.PAGE)
    assert "in the environment" in words and "save_token" not in words and TOKEN not in words


def test_the_judges_address_and_key_are_kept_and_tried_and_the_key_never_comes_back(store: Store) -> None:
    page = settings_page.PAGE
    with running_judge(graded("x"), models=("grader",)) as server:
        ctx = context(store, page, judge_address=server.url, judge_key=SECRET)
        page.actions["try_judge"](ctx, (), Event("try_judge"))
        assert "Models: grader." in cards_of(ctx, page)
        assert server.keys == [f"Bearer {SECRET}"] and not ctx.draft
    words = shown(store, page)
    assert server.url in words and "A key is set" in words and SECRET not in words
    assert SECRET not in shown(store, page, judge_key=SECRET)
    page.actions["try_judge"](ctx, (), Event("try_judge"))
    assert "the connection failed" in cards_of(ctx, page) and "Check that it runs" in cards_of(ctx, page)
    page.actions["remove_judge_key"](ctx, (), Event("remove_judge_key"))
    assert store.secrets.get(KEY) is None and "No key is set" in shown(store, page)


@pytest.mark.parametrize("fields", [{"judge_address": "localhost"}, {"judge_key": "sk 1"}])
def test_an_address_or_a_key_that_cannot_be_one_is_refused_and_not_kept(store: Store, fields: dict[str, str]) -> None:
    ctx = context(store, settings_page.PAGE, **fields)
    secrets_cards.try_judge(ctx, (), Event("try_judge"))
    assert "Where: " in cards_of(ctx, settings_page.PAGE)
    assert store.secrets.get(KEY) is None and address_of(store) == DEFAULT_ADDRESS


def test_an_endpoint_of_the_environment_is_only_tried(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with running_judge(graded("x")) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        monkeypatch.setenv("OPENAI_API_KEY", SECRET)
        words = shown(store, settings_page.PAGE)
        assert server.url in words and SECRET not in words
        assert '"label": "Test"' in words and "remove_judge_key" not in words
        ctx = context(store, settings_page.PAGE, judge_address="http://elsewhere/v1")
        secrets_cards.try_judge(ctx, (), Event("try_judge"))
        assert "Models: grader." in cards_of(ctx, settings_page.PAGE) and store.preferences.get(ADDRESS) is None


def test_server_folders_are_added_once_and_removed(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    for _ in range(2):
        settings_page.add_folder(context(store, settings_page.PAGE, folder=str(folder)), (), Event("add_folder"))
    assert store.preferences.get("allowed_folders") == [str(folder.resolve())]
    settings_page.remove_folder(context(store, settings_page.PAGE), (), Event("remove_folder", "0"))
    assert store.preferences.get("allowed_folders") == []
    settings_page.remove_folder(context(store, settings_page.PAGE), (), Event("remove_folder", "7"))


def test_a_folder_that_is_none_or_holds_the_studio_is_refused(store: Store) -> None:
    for typed in (
        "",
        "data",
        "/no/such/folder",
        str(store.home.path),
        str(store.home.path.parent),
        "/",
        str(store.home.run),
    ):
        with pytest.raises(UserError) as refused:
            settings_page.add_folder(context(store, settings_page.PAGE, folder=typed), (), Event("add_folder"))
        assert refused.value.fix
    assert store.preferences.get("allowed_folders", []) == []


def test_the_theme_is_chosen(store: Store) -> None:
    chosen = settings_page.choose_theme(context(store, settings_page.PAGE, theme="dark"), (), Event("theme"))
    assert chosen.theme == "dark"
