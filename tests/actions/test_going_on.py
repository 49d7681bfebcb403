"""More epochs and starts from another experiment: what is refused, and what is put into place before anything runs."""

from pathlib import Path

import pytest

from llm_studio.actions.experiments import (
    can_continue,
    config_of,
    continue_experiment,
    delete_experiment,
    leavings,
    new_from,
    restart_experiment,
    start_experiment,
    stop_experiment,
)
from llm_studio.actions.going_on import can_train_more, more_epochs, schedule_words
from llm_studio.actions.starting_from import Start, offers, start_findings
from llm_studio.config import make_config
from llm_studio.errors import UserError
from llm_studio.modeling.origin import Origin, write_origin
from llm_studio.store import ExperimentRecord, Store
from llm_studio.store.rounds import Round, read_rounds
from tests.support.tuned import make_backbone, make_experiment

SHAPE = {"training.lora_r": 4, "training.lora_alpha": 8}
HERE = {"environment.gpus": "cpu", "tokenizer.max_length": 256}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture
def source(store: Store, backbone: Path) -> ExperimentRecord:
    record = make_experiment(store, backbone, name="first", changes={**SHAPE, "training.epochs": 2})
    write_origin(checkpoint(store, record), Origin(step=24, epoch=2.0, backbone="starter", fingerprint="ab"))
    return record


def checkpoint(store: Store, record: ExperimentRecord, which: str = "last") -> Path:
    return store.home.experiment(record.id) / "checkpoints" / which


def test_more_epochs_queue_it_with_a_round_from_its_last_step(store: Store, source: ExperimentRecord) -> None:
    (checkpoint(store, source, "resume")).mkdir()
    found = more_epochs(store, source.id, 3)
    assert (found.status, found.phase, found.progress) == ("queued", "Adds 3 epochs.", 0.4)
    folder = store.home.experiment(source.id)
    assert read_rounds(folder) == (Round(step=24, epoch=2.0, epochs=3),)
    assert config_of(store, source.id).training.epochs == 5
    assert not checkpoint(store, source, "resume").exists() and checkpoint(store, source).exists()


def test_epochs_that_were_never_begun_are_replaced_and_a_part_of_one_counts(
    store: Store, source: ExperimentRecord
) -> None:
    more_epochs(store, source.id, 3)
    stop_experiment(store, source.id)
    assert can_continue(store, store.experiments.get(source.id))
    more_epochs(store, source.id, 1)
    stop_experiment(store, source.id)
    write_origin(checkpoint(store, source), Origin(30, 2.5, "starter", "ab"))
    more_epochs(store, source.id, 1)
    assert read_rounds(store.home.experiment(source.id)) == (Round(24, 2.0, 1), Round(30, 2.5, 1))
    assert config_of(store, source.id).training.epochs == 4


def test_added_epochs_that_failed_go_on_from_the_last_weights(store: Store, source: ExperimentRecord) -> None:
    more_epochs(store, source.id, 1)
    store.experiments.claim(source.id)
    store.experiments.finish(source.id, "failed", {"what": "x"})
    assert continue_experiment(store, source.id).status == "queued"


def test_a_restart_forgets_the_rounds(store: Store, source: ExperimentRecord) -> None:
    more_epochs(store, source.id, 1)
    stop_experiment(store, source.id)
    restart_experiment(store, source.id)
    assert read_rounds(store.home.experiment(source.id)) == ()


@pytest.mark.parametrize(("epochs", "words"), [(0, "0 epochs cannot be added"), (999, "it would be 1001")])
def test_refuses_too_few_and_too_many_epochs(store: Store, source: ExperimentRecord, epochs: int, words: str) -> None:
    with pytest.raises(UserError, match=words):
        more_epochs(store, source.id, epochs)
    assert store.experiments.get(source.id).status == "finished"


def test_only_one_that_has_ended_in_good_order_gets_more_epochs(store: Store, source: ExperimentRecord) -> None:
    assert can_train_more(store, source)
    more_epochs(store, source.id, 1)
    with pytest.raises(UserError, match="waiting already"):
        more_epochs(store, source.id, 1)


def test_says_what_the_learning_rate_does() -> None:
    words = schedule_words(make_config({"training.learning_rate": 1e-3}), 2)
    assert "planned anew over 2 epochs: it rises to 0.001 over the first 0.05 of an epoch, then falls (cosine)" in words
    constant = schedule_words(make_config({"training.schedule": "Constant", "training.warmup_epochs": 0}), 1)
    assert "over 1 epoch: it begins at 0.0002, then stays there" in constant


def test_offers_adapter_and_merged_of_best_and_last(store: Store, source: ExperimentRecord, backbone: Path) -> None:
    assert [(one.start.what, one.start.which) for one in offers(store, source.id)] == [
        ("adapter", "last"), ("merged", "last"),
    ]  # fmt: skip
    checkpoint(store, source).rename(checkpoint(store, source, "best"))
    for which, step in (("best", 12), ("last", 24)):
        folder = checkpoint(store, source, which)
        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_text("{}")
        write_origin(folder, Origin(step, step / 12, "starter", "ab"))
    assert [(one.start.what, one.start.which) for one in offers(store, source.id)] == [
        ("adapter", "best"), ("adapter", "last"), ("merged", "best"), ("merged", "last"),
    ]  # fmt: skip
    write_origin(checkpoint(store, source, "best"), Origin(24, 2.0, "starter", "ab"))
    assert [one.start.which for one in offers(store, source.id)] == ["best", "best"]
    full = make_experiment(store, backbone, name="full", lora=False)
    assert [(one.start.what, one.is_adapter) for one in offers(store, full.id)] == [("merged", False)]


def test_a_start_takes_the_weights_along_before_anybody_can_start_it(store: Store, source: ExperimentRecord) -> None:
    config = new_from(store, source.id).with_changes(HERE)
    record = start_experiment(store, config, start=Start(source.id, "adapter", "last"))
    assert (record.continued_from, record.continued_what, record.continued_which) == (source.id, "adapter", "last")
    taken = store.home.experiment(record.id) / "start"
    assert (taken / "config.yaml").is_file()
    assert (taken / "checkpoints" / "last" / "adapter_model.safetensors").stat().st_size > 0


def test_weights_trained_in_full_become_the_backbone_of_the_new_one(store: Store, backbone: Path) -> None:
    full = make_experiment(store, backbone, name="full", lora=False)
    config = new_from(store, full.id).with_changes({**HERE, "training.lora": True})
    record = start_experiment(store, config, start=Start(full.id, "merged", "best"))
    weights = store.home.experiment(record.id) / "backbone" / "model.safetensors"
    assert weights.is_file()
    assert leavings(store, record.id).size_bytes < weights.stat().st_size, "the other experiment holds them too"
    delete_experiment(store, full.id)
    assert leavings(store, record.id).size_bytes > weights.stat().st_size


@pytest.mark.parametrize(
    ("changes", "path", "words"),
    [
        ({"training.lora_r": 32}, "training.lora_r", "has LoRA rank 4, this experiment 32. Set it to 4, or start"),
        ({"training.lora_alpha": 64}, "training.lora_alpha", "has LoRA alpha 8, this experiment 64"),
        ({"training.use_rslora": True}, "training.use_rslora", "has rsLoRA off, this experiment on"),
        ({"training.lora_target_modules": "q_proj, k_proj"}, "training.lora_target_modules", "on k_proj, q_proj"),
        ({"training.lora": False}, "training.lora", "only be trained further with LoRA. Turn LoRA on, or start"),
        ({"llm_backbone": "starter"}, "llm_backbone", "not on starter"),
    ],
)
def test_an_adapter_of_another_shape_is_refused_with_the_setting_that_differs(
    store: Store, source: ExperimentRecord, changes: dict[str, object], path: str, words: str
) -> None:
    config = config_of(store, source.id).with_changes(changes)
    findings = list(start_findings(store, config, Start(source.id, "adapter", "last")))
    assert [(one.level, one.path) for one in findings] == [("error", path)]
    assert words in f"{findings[0].what} {findings[0].fix}"


def test_a_merged_start_takes_any_adapter_and_other_words_are_warned_of(store: Store, source: ExperimentRecord) -> None:
    changed = {"training.lora_r": 64, "training.use_dora": True, "dataset.text_prompt_start": "Q: "}
    config = config_of(store, source.id).with_changes(changed)
    findings = list(start_findings(store, config, Start(source.id, "merged", "last")))
    assert [(one.level, one.path) for one in findings] == [("warning", "dataset.text_prompt_start")]


def test_an_experiment_without_weights_is_no_start(store: Store, source: ExperimentRecord, backbone: Path) -> None:
    config = new_from(store, source.id).with_changes(HERE)
    empty = start_experiment(store, config)
    with pytest.raises(UserError, match="has no checkpoint"):
        start_experiment(store, config.with_changes({"experiment_name": "x"}), start=Start(empty.id, "merged", "best"))
    full = make_experiment(store, backbone, name="full", lora=False)
    with pytest.raises(UserError, match="full was trained in full, so it has no adapter"):
        start_experiment(store, config.with_changes({"experiment_name": "y"}), start=Start(full.id, "adapter", "last"))
