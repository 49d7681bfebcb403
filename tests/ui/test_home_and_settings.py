"""Home and Settings on real records: what they say, and that a secret never comes back."""

import json
from pathlib import Path
from typing import Any

import pytest

from llm_studio.errors import UserError
from llm_studio.store import Home, Store
from llm_studio.ui.page import Context, Event, Page
from llm_studio.ui.pages import home as home_page
from llm_studio.ui.pages import settings as settings_page

TOKEN = "hf_abcdefghijklmnop"


@pytest.fixture(autouse=True)
def no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "LLM_STUDIO_HUGGINGFACE_TOKEN"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    home = Home(tmp_path / "home")
    home.create()
    return Store.open(home)


def context(store: Store, page: Page, **draft: Any) -> Context:
    return Context(store=store, home=store.home, route=page.route, draft=dict(draft))


def shown(store: Store, page: Page, **draft: Any) -> str:
    ctx = context(store, page, **draft)
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
    assert store.secrets.get(settings_page.TOKEN) == TOKEN and "token" not in ctx.draft
    words = shown(store, page)
    assert "A token is set" in words and TOKEN not in words
    page.actions["remove_token"](ctx, (), Event("remove_token"))
    assert store.secrets.get(settings_page.TOKEN) is None and "No token is set" in shown(store, page)


def test_a_typed_token_is_not_echoed_either(store: Store) -> None:
    assert TOKEN not in shown(store, settings_page.PAGE, token=TOKEN)


@pytest.mark.parametrize("token", ["", "  ", "hf_a b", "hf_ä"])
def test_a_token_that_cannot_be_one_is_refused(store: Store, token: str) -> None:
    with pytest.raises(UserError, match="token"):
        settings_page.save_token(context(store, settings_page.PAGE, token=token), (), Event("save_token"))


def test_a_token_of_the_environment_is_said_to_come_from_there(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    words = shown(store, settings_page.PAGE)
    assert "in the environment" in words and "save_token" not in words and TOKEN not in words


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
