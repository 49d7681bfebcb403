"""The page of a new experiment without a browser: a draft that tells changes from what was only shown, and a start."""

import pytest

from llm_studio import starter
from llm_studio.actions.datasets import import_dataset
from llm_studio.config import all_settings
from llm_studio.errors import UserError
from llm_studio.store import DatasetRecord, Store
from llm_studio.ui.diff import changes, components
from llm_studio.ui.pages import new_state
from tests.support.new_page import Tab


def test_without_a_data_set_the_page_teaches_and_has_one_button_to_the_import(store: Store) -> None:
    tab = Tab(store)
    buttons = [part for dump in tab.cards.values() for kind, part in components(dump) if kind == "button"]
    assert [button["name"] for button in buttons] == ["#import"]


@pytest.mark.parametrize("also", [False, True])
def test_the_estimate_counts_validation_rows_where_they_are_learned(
    store: Store, orders: DatasetRecord, also: bool
) -> None:
    own = {"training.epochs": "1", "training.train_validation_data": also}
    tab = Tab(store, orders.id, draft={new_state.OWN: own})
    assert tab.data.estimate is not None
    learned = orders.train_rows + (orders.validation_rows if also else 0)
    assert any(reason.startswith(f"Training: {learned:,} rows") for reason in tab.data.estimate.reasons)


def test_a_beginner_can_press_start_at_once(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    name = tab.field("experiment_name")["value"]
    assert tab.data.errors == () and tab.data.estimate is not None and "Estimate:" in tab.parts["estimate"]["content"]
    outcome = tab.press("start")
    record = store.experiments.list()[0]
    assert outcome is not None and outcome.address == f"#experiment/{record.id}"
    assert (record.name, record.dataset_id, record.backbone, record.status) == (name, orders.id, "starter", "queued")
    assert Tab(store, orders.id, draft=tab.context.draft).field("experiment_name")["value"] != name


def test_without_an_id_the_newest_data_set_is_chosen(store: Store, orders: DatasetRecord) -> None:
    letters = import_dataset(store, {"kind": "starter", "name": "polite_letters"})
    tab = Tab(store)
    assert tab.field("dataset_id")["value"] == letters.id
    assert {choice["name"] for choice in tab.field("dataset_id")["choices"]} == {orders.id, letters.id}


def test_every_setting_of_an_experiment_has_one_field_with_label_and_tooltip(
    store: Store, orders: DatasetRecord
) -> None:
    tab = Tab(store, orders.id)
    tab.choose("level", "expert")
    for info in all_settings():
        if info.scope == "experiment":
            field = tab.field(info.path)
            assert info.title in field["label"] and field["tooltip"].startswith(info.help), info.path
            assert field["trigger"], f"{info.path} is not looked at while it is typed"
            if info.status == "coming":
                assert field["disabled"] and "coming" in field["label"], info.path


def test_fields_that_were_only_shown_are_no_changes(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.choose("level", "expert")
    tab.press("level")
    assert tab.changed == set()
    tab.choose("preset", "quality")
    assert tab.changed == set()


def test_a_change_is_marked_and_can_be_taken_back(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    before = tab.field("training.epochs")["value"]
    tab.enter("training.epochs", "7")
    assert tab.changed == {"training.epochs"} and tab.values["training.epochs"] == 7
    reset = tab.parts["reset/training.epochs"]
    assert reset["visible"] and before in reset["label"]
    tab.press("reset/training.epochs")
    assert tab.field("training.epochs")["value"] == before and tab.changed == set()
    assert not tab.parts["reset/training.epochs"]["visible"]


def test_a_value_typed_back_to_what_it_was_is_no_change(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.enter("training.learning_rate", "1e-3")
    assert tab.changed == {"training.learning_rate"}
    tab.enter("training.learning_rate", "4e-3")
    assert tab.values["training.learning_rate"] == starter.RECOMMENDED["training.learning_rate"]
    assert tab.changed == set()


def test_all_changes_can_be_taken_back_at_once(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.enter("experiment_name", "kept")
    tab.enter("training.epochs", "7")
    tab.enter("environment.seed", "1")
    tab.press("reset_all")
    assert tab.changed == {"experiment_name"} and tab.values["experiment_name"] == "kept"


def test_what_the_backbone_recommends_is_said(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    for path, value in starter.RECOMMENDED.items():
        assert tab.values[path] == value
    assert "recommended by this model" in tab.parts["note/training.learning_rate"]["content"]
    tab.choose("preset", "quick")
    assert "Quick try" in tab.parts["note/training.epochs"]["content"]
    tab.enter("training.epochs", "9")
    assert not tab.parts["note/training.epochs"]["visible"]


def test_a_preset_changes_what_the_user_left_alone_only(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    epochs = tab.values["training.epochs"]
    tab.enter("training.lora_r", "5")
    tab.choose("preset", "quality")
    assert tab.values["training.epochs"] == 2 * epochs and tab.values["training.lora_r"] == 5


@pytest.mark.parametrize("typed", ["abc", "0", "-3", "2", "1e99", "", "nan"])
def test_a_wrong_value_is_said_at_its_field_and_stops_the_start(
    store: Store, orders: DatasetRecord, typed: str
) -> None:
    tab = Tab(store, orders.id)
    tab.enter("training.learning_rate", typed)
    field = tab.field("training.learning_rate")
    assert field["value"] == typed and "number" in field["error"]
    with pytest.raises(UserError, match="cannot start") as caught:
        tab.press("start")
    assert "Learning rate" in caught.value.where and caught.value.fix
    assert store.experiments.list() == [] or store.experiments.list() == ()


def test_all_wrong_values_are_listed_at_once(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.press("search", training__epochs="many", training__batch_size="0", environment__seed="x")
    assert {remark.where for remark in tab.data.errors} == {"Epochs", "Batch size", "Seed"}
    assert "3 errors" in tab.parts["page_title"]["content"]
    assert {"environment.seed"} <= tab.visible(), "a wrong setting is shown at every level"


def test_text_typed_just_before_start_counts(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.press("start", experiment_name="typed last", training__epochs="4")
    record = store.experiments.list()[0]
    config = (store.home.experiment(record.id) / "config.yaml").read_text()
    assert record.name == "typed last" and "epochs: 4\n" in config


def test_levels_show_more_and_more_and_are_remembered(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    shown = {}
    for level in ("basic", "advanced", "expert"):
        tab.choose("level", level)
        shown[level] = tab.visible()
    assert shown["basic"] < shown["advanced"] < shown["expert"]
    assert Tab(store, orders.id).visible() == shown["expert"]


def test_search_finds_settings_of_every_level_and_shows_nothing_else(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.choose("search", "LoRA drop")
    assert tab.visible() - {"experiment_name"} == {"training.lora_dropout"}
    tab.choose("search", "no such words")
    assert tab.visible() == {"experiment_name"} and "No setting matches" in tab.parts["section_list"]["content"]


def test_settings_appear_with_their_condition(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.choose("level", "expert")
    assert "training.lora_r" in tab.visible() and "prediction.temperature" not in tab.visible()
    tab.enter("training.lora", False)
    tab.enter("prediction.do_sample", True)
    assert "training.lora_r" not in tab.visible() and "prediction.temperature" in tab.visible()


def test_a_wrong_value_behind_a_condition_that_does_not_hold_stops_nothing(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.enter("training.lora_r", "x")
    assert tab.data.errors
    tab.enter("training.lora", False)
    assert not tab.data.errors


def test_showing_and_hiding_sends_properties_not_whole_forms(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.choose("level", "advanced")
    before = dict(tab.cards)
    tab.enter("training.lora", False)
    change = changes(before, tab.cards)
    assert not change.created and not change.deleted
    assert all(path[-1] != "items" for _, path, _ in change.updates)
