"""A new experiment from what is there, in its page without a browser: YAML, another experiment, its weights."""

from typing import Any

import pytest

from llm_studio.actions.datasets import import_dataset
from llm_studio.config import settings_by_path, to_yaml
from llm_studio.errors import UserError
from llm_studio.modeling.origin import Origin, write_origin
from llm_studio.store import DatasetRecord, ExperimentRecord, Store
from llm_studio.ui.page import Context, Event
from llm_studio.ui.pages import new, new_state
from tests.support.new_page import Tab


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


def test_a_draft_that_is_carried_over_is_used_once(store: Store, orders: DatasetRecord) -> None:
    context = Context(store=store, home=store.home, route="new", args=(orders.id,), draft={"own": {"a": 1}})
    new_state.carry(context, orders.id)
    assert context.draft == {}
    assert not new_state.begin(context, "") and context.draft["own"] == {"a": 1}
    other = Context(store=store, home=store.home, route="new", args=(orders.id,))
    assert not new_state.begin(other, "") and other.draft == {}


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
