"""What a new experiment is made of, chosen in its page without a browser: backbone, name, data set; findings."""

import functools
import time
from pathlib import Path

import pytest

from llm_studio import starter
from llm_studio.actions.datasets import import_dataset
from llm_studio.config import ExperimentConfig
from llm_studio.errors import UserError
from llm_studio.modeling import backbones
from llm_studio.modeling.backbones import check_backbone
from llm_studio.store import DatasetRecord, Store
from llm_studio.ui.diff import components
from llm_studio.ui.pages import new
from llm_studio.ui.pages.new_backbone import Looked, Lookups
from llm_studio.ui.pages.new_data import Data
from llm_studio.ui.pages.new_names import two_words
from tests.support.hub import Repository, running_hub
from tests.support.new_page import Tab

HOSTILE = "<img src=x onerror=\"window.hacked=1\"> 'q'"


def test_a_backbone_that_cannot_be_used_is_said_at_the_choice(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.enter("llm_backbone", "/no/such/folder")
    assert "/no/such/folder" in tab.field("llm_backbone")["error"]
    assert [remark.where for remark in tab.data.errors] == ["Backbone"] and tab.data.errors[0].fix
    assert tab.parts["look_again"]["visible"] and tab.data.estimate is None
    with pytest.raises(UserError, match="cannot start"):
        tab.press("start")
    tab.enter("llm_backbone", "starter")
    assert not tab.data.errors


def test_a_name_that_is_taken_or_empty_is_said_before_the_start(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.press("start", experiment_name="one")
    again = Tab(store, orders.id)
    again.enter("experiment_name", "one")
    assert "already" in again.field("experiment_name")["error"]
    again.enter("experiment_name", "  ")
    assert again.data.errors and again.field("experiment_name")["error"]


def test_findings_block_or_warn(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.press("search", architecture__backbone_dtype="int4", training__lora=False)
    assert [remark.level for remark in tab.data.remarks][:1] == ["error"]
    tab.press("search", architecture__backbone_dtype="auto", training__lora=True, tokenizer__max_length="100000")
    assert any("context" in remark.what for remark in tab.data.errors)


def test_another_data_set_has_its_own_address_and_keeps_the_draft(store: Store, orders: DatasetRecord) -> None:
    letters = import_dataset(store, {"kind": "starter", "name": "polite_letters"})
    tab = Tab(store, orders.id)
    tab.enter("training.epochs", "8")
    name = tab.values["experiment_name"]
    outcome = tab.press("cfg/dataset_id", dataset_id=letters.id)
    assert outcome is not None and outcome.address == f"#new/{letters.id}"
    other = Tab(store, letters.id)
    assert (other.values["training.epochs"], other.values["experiment_name"]) == (8, name)
    assert other.data.dataset is not None and other.data.dataset.id == letters.id
    assert Tab(store, orders.id, draft=tab.context.draft).changed == set()


def test_the_data_set_is_shown_to_read_with_a_link(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    assert f'href="#dataset/{orders.id}"' in tab.parts["data_link"]["content"]
    content = tab.parts["data_settings"]["content"]
    assert "Prompt columns" in content and "order" in content and "held out" in content


def test_a_data_set_that_is_gone_leaves_the_choice_to_the_user(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, "0123456789")
    assert "gone" in tab.data.errors[0].what
    with pytest.raises(UserError):
        tab.press("start")


def test_a_hostile_name_stays_inert(store: Store) -> None:
    record = import_dataset(store, {"kind": "starter", "name": "orders_to_json"}, name=HOSTILE)
    tab = Tab(store, record.id)
    tab.enter("experiment_name", HOSTILE)
    tab.press("start")
    copy = Tab(store, record.id, **{"from": store.experiments.list()[0].id})
    for shown in (tab, copy):
        for dump in shown.cards.values():
            for kind, part in components(dump):
                assert kind != "markup" or "<img" not in part["content"], part["name"]


def test_names_of_two_words_differ() -> None:
    names = {two_words() for _ in range(50)}
    assert len(names) > 30 and all(len(name.split("-")) == 2 for name in names)


def test_a_slow_hub_never_holds_the_page_up_and_its_answer_is_shown(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    backbones.forget_answers()
    llama = {path.name: path.read_bytes() for path in starter.BACKBONE.iterdir() if path.is_file()}
    config = ExperimentConfig(llm_backbone="good/llama")
    with running_hub(
        good__llama=Repository(llama, parameters=3_400_000), closed__one=Repository(llama, gated=True)
    ) as hub:
        lookups = Lookups(functools.partial(check_backbone, endpoint=hub.address), patience_seconds=0.0)
        assert lookups.ask(store, config).pending
        assert new.refresh_seconds(Data(looked=Looked(), chosen=None)) is None
        deadline = time.monotonic() + 20
        while (looked := lookups.ask(store, config)).pending:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert looked.facts is not None and looked.facts.source == "hub"
        assert "to download" in looked.sentence and "3.4 M parameters" in looked.sentence
        patient = Lookups(functools.partial(check_backbone, endpoint=hub.address), patience_seconds=20)
        closed = patient.ask(store, ExperimentConfig(llm_backbone="closed/one"))
        assert closed.problem is not None and "token" in closed.problem.fix
        hub.repositories["closed/one"].gated = False
        patient.forget()
        assert patient.ask(store, ExperimentConfig(llm_backbone="closed/one")).facts is not None
