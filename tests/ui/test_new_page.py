"""The page of a new experiment without a browser: a draft that tells changes from what was only shown, and a start."""

import functools
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llm_studio import starter
from llm_studio.actions.datasets import import_dataset
from llm_studio.config import ExperimentConfig, all_settings, settings_by_path, to_yaml
from llm_studio.errors import UserError
from llm_studio.modeling import backbones
from llm_studio.modeling.backbones import check_backbone
from llm_studio.modeling.origin import Origin, write_origin
from llm_studio.store import DatasetRecord, ExperimentRecord, Home, Store
from llm_studio.ui.diff import INPUTS, changes, components
from llm_studio.ui.page import Context, Event, Outcome
from llm_studio.ui.pages import new, new_state
from llm_studio.ui.pages.new_backbone import Looked, Lookups
from llm_studio.ui.pages.new_data import Data
from llm_studio.ui.pages.new_names import two_words
from tests.support.hub import Repository, running_hub

HOSTILE = "<img src=x onerror=\"window.hacked=1\"> 'q'"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store in a new home."""
    home = Home(tmp_path / "home")
    home.create()
    opened = Store.open(home)
    yield opened
    opened.close()


@pytest.fixture
def orders(store: Store) -> DatasetRecord:
    """The first sample data set."""
    return import_dataset(store, {"kind": "starter", "name": "orders_to_json"})


class Tab:
    """A browser tab that holds every field it was shown, and sends all of them with every submission."""

    def __init__(self, store: Store, *args: str, draft: dict[str, Any] | None = None, **query: str) -> None:
        self.context = Context(
            store=store, home=store.home, route="new", args=args, query=query, draft={} if draft is None else draft
        )
        self.show()

    def show(self) -> None:
        """Draw the page, as the router does after everything that happened."""
        self.data = new.load(self.context, self.context.args)
        self.cards = {card.name: card.item.dump() for card in new.cards(self.data)}
        self.parts = {
            part["name"]: part for dump in self.cards.values() for _, part in components(dump) if part.get("name")
        }
        named = [part["name"] for dump in self.cards.values() for _, part in components(dump) if part.get("name")]
        assert len(named) == len(set(named)), sorted(name for name in named if named.count(name) > 1)

    def press(self, name: str, **fields: Any) -> Outcome | None:
        """Use a component while other fields hold something else; `fields` by path, "__" for a dot."""
        held = {
            part["name"]: part.get("value")
            for dump in self.cards.values()
            for kind, part in components(dump)
            if kind in INPUTS and part.get("value") is not None
        }
        self.context.draft.update(held)
        self.context.draft.update({f"cfg/{path.replace('__', '.')}": value for path, value in fields.items()})
        head, _, argument = name.partition("/")
        try:
            return new.PAGE.actions[head](self.context, self.context.args, Event(head, argument, True))
        finally:
            if head != "start":
                self.show()

    def enter(self, path: str, value: Any) -> None:
        """Change one field."""
        self.press(f"cfg/{path}", **{path.replace(".", "__"): value})

    def choose(self, name: str, value: str) -> None:
        """Use a field of the bar."""
        self.context.draft[name] = value
        if name in new.PAGE.actions:
            new.PAGE.actions[name](self.context, self.context.args, Event(name, value=value))
        self.show()

    def field(self, path: str) -> dict[str, Any]:
        return self.parts[f"cfg/{path}"]

    def visible(self) -> set[str]:
        """Paths of the settings that can be seen."""
        return {
            name.removeprefix("cfg/")
            for name, part in self.parts.items()
            if name.startswith("cfg/") and part.get("visible", True)
        }

    @property
    def values(self) -> dict[str, Any]:
        assert self.data.chosen is not None
        return dict(self.data.chosen.form.values)

    @property
    def changed(self) -> set[str]:
        assert self.data.chosen is not None
        return set(self.data.chosen.form.entered)


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


def test_new_from_an_experiment_takes_its_settings_over(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.press("start", experiment_name="first", training__epochs="4", training__lora_r="3")
    first = store.experiments.list()[0]
    draft: dict[str, Any] = {}
    copy = Tab(store, orders.id, draft=draft, **{"from": first.id})
    assert copy.values["training.lora_r"] == 3 and copy.values["training.epochs"] == 4
    assert copy.values["experiment_name"] not in ("first", "") and "first" in copy.parts["page_title"]["content"]
    assert {"training.epochs", "training.lora_r"} <= copy.changed
    copy.enter("training.lora_r", "6")
    copy.show()
    assert copy.values["training.lora_r"] == 6, "drawing again takes nothing over anew"
    plain = Tab(store, orders.id, draft=draft)
    assert plain.changed == set(), "without ?from= the page begins anew"


def test_settings_as_yaml_are_shown_and_downloaded(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    tab.enter("training.epochs", "4")
    opened = tab.press("yaml")
    assert opened is not None and opened.panel is not None
    handed = tab.press("yaml_download")
    assert handed is not None and handed.download is not None
    assert handed.download.filename == f"{tab.values['experiment_name']}.yaml"
    text = handed.download.path.read_text()
    assert tab.data.chosen is not None and text == to_yaml(tab.data.chosen.config) and "epochs: 4" in text


def test_pasted_yaml_replaces_the_changes_and_says_what_became_of_each_line(
    store: Store, orders: DatasetRecord
) -> None:
    tab = Tab(store, orders.id)
    tab.enter("environment.seed", "7")
    tab.context.draft["yaml_text"] = (
        "problem_type: text_causal_language_modeling\nexperiment_name: theirs\n"
        "training:\n  epochs: 5\n  lora_r: 9\nenvironment:\n  use_deepspeed: true\nfoo: <b>3</b>\n"
    )
    name = tab.values["experiment_name"]
    outcome = tab.press("use_yaml")
    assert outcome is not None and outcome.closes
    assert (tab.values["training.epochs"], tab.values["training.lora_r"]) == (5, 9)
    assert tab.values["environment.seed"] == settings_by_path()["environment.seed"].default
    assert tab.values["experiment_name"] == name and tab.values["dataset_id"] == orders.id
    lines = tab.parts["report_lines"]["content"]
    assert "use_deepspeed" in lines and "foo" in lines and "<b>" not in lines
    tab.press("hide_report")
    assert "report_lines" not in tab.parts


def test_an_uploaded_yaml_is_read_and_does_not_stay_behind(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id)
    upload = "01234567-0123-0123-0123-0123456789ab"
    folder = store.home.wave / "f" / upload
    folder.mkdir(parents=True)
    (folder / "cfg.yaml").write_text("training:\n  epochs: 6\n")
    tab.context.draft["yaml_file"] = [f"/_f/{upload}/cfg.yaml"]
    tab.press("use_yaml")
    assert tab.values["training.epochs"] == 6 and "cfg.yaml" in str(tab.context.draft["report"])
    assert not [path for path in store.home.uploads.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    ("text", "said"), [("", "no YAML yet"), ("a: [", "no YAML"), ("training:\n  epochs: x", "Epochs")]
)
def test_a_wrong_yaml_changes_nothing(store: Store, orders: DatasetRecord, text: str, said: str) -> None:
    tab = Tab(store, orders.id)
    tab.enter("environment.seed", "7")
    tab.context.draft["yaml_text"] = text
    with pytest.raises(UserError, match=said) as caught:
        tab.press("use_yaml")
    assert caught.value.fix and tab.values["environment.seed"] == 7


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


def test_a_draft_that_is_carried_over_is_used_once(store: Store, orders: DatasetRecord) -> None:
    context = Context(store=store, home=store.home, route="new", args=(orders.id,), draft={"own": {"a": 1}})
    new_state.carry(context, orders.id)
    assert context.draft == {}
    assert not new_state.begin(context, "") and context.draft["own"] == {"a": 1}
    other = Context(store=store, home=store.home, route="new", args=(orders.id,))
    assert not new_state.begin(other, "") and other.draft == {}


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


def trained(store: Store, orders: DatasetRecord) -> ExperimentRecord:
    """A finished experiment with an adapter, best and last."""
    source = Tab(store, orders.id)
    source.press("start")
    record = store.experiments.list()[0]
    for which, step in (("best", 40), ("last", 60)):
        folder = store.home.experiment(record.id) / "checkpoints" / which
        folder.mkdir(parents=True)
        (folder / "adapter_config.json").write_text('{"r": 16, "lora_alpha": 32}')
        write_origin(folder, Origin(step, step / 30, "starter", ""))
    store.experiments.claim(record.id)
    store.experiments.finish(record.id, "finished")
    return store.experiments.get(record.id)


def test_a_page_from_a_trained_experiment_offers_its_weights(store: Store, orders: DatasetRecord) -> None:
    source = trained(store, orders)
    tab = Tab(store, orders.id, **{"from": source.id})
    field = tab.parts["start_from"]
    assert field["value"] == "backbone" and "Only the settings come from" in tab.parts["start_meaning"]["content"]
    assert [choice["label"] for choice in field["choices"]] == [
        "The backbone: starter",
        f"The adapter of {source.name}, best checkpoint (step 40)",
        f"The adapter of {source.name}, last checkpoint (step 60)",
        f"{source.name} merged into the backbone, best checkpoint (step 40)",
        f"{source.name} merged into the backbone, last checkpoint (step 60)",
    ]
    tab.choose("start_from", "adapter/last")
    assert "is trained further" in tab.parts["start_meaning"]["content"] and tab.data.errors == ()
    tab.press("start")
    record = store.experiments.list()[0]
    assert (record.continued_from, record.continued_what, record.continued_which) == (source.id, "adapter", "last")


def test_settings_that_do_not_fit_the_adapter_are_named_until_it_is_merged(store: Store, orders: DatasetRecord) -> None:
    tab = Tab(store, orders.id, **{"from": trained(store, orders).id})
    tab.choose("start_from", "adapter/best")
    tab.enter("training.lora_r", "8")
    assert [error.where for error in tab.data.errors] == ["LoRA rank"]
    assert "has LoRA rank 16, this experiment 8" in tab.data.errors[0].what
    with pytest.raises(UserError, match="cannot start"):
        tab.press("start")
    tab.choose("start_from", "merged/best")
    assert tab.data.errors == () and "keeps a copy of it" in tab.parts["start_meaning"]["content"]


def test_the_start_stays_with_another_data_set_and_is_not_offered_without_weights(
    store: Store, orders: DatasetRecord
) -> None:
    source = trained(store, orders)
    letters = import_dataset(store, {"kind": "starter", "name": "polite_letters"})
    tab = Tab(store, orders.id, **{"from": source.id})
    tab.choose("start_from", "merged/best")
    tab.context.draft["cfg/dataset_id"] = letters.id
    new.PAGE.actions["cfg"](tab.context, tab.context.args, Event("cfg", "dataset_id", letters.id))
    assert Tab(store, letters.id, **{"from": source.id}).parts["start_from"]["value"] == "merged/best"
    assert "start_from" not in Tab(store, orders.id).parts
