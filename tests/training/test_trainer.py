"""The training loop on a tiny model: right loss, same seed same losses, stop and go on, every number type learns."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import set_seed

from llm_studio.config import ExperimentConfig, make_config
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import Cancelled, UserError
from llm_studio.modeling.adapters import make_trainable
from llm_studio.modeling.loading import QUANTISED, load_model, load_tokenizer, quiet
from llm_studio.tokens.making import make_template
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.template import Template
from llm_studio.training.batches import Collate
from llm_studio.training.events import EvaluationDue, Event, StepDone
from llm_studio.training.schedules import parameter_groups, rate_factor
from llm_studio.training.trainer import ARGUMENTS_FILE, DivergedError, make_plan, train
from tests.support.tuned import make_backbone

ROWS = 12


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


def config_of(backbone: Path, **changes: Any) -> ExperimentConfig:
    settings = {
        "llm_backbone": str(backbone),
        "architecture.backbone_dtype": "float32",
        "environment.mixed_precision": False,
        "training.batch_size": 2,
        "training.epochs": 2,
        "training.learning_rate": 5e-3,
        "training.lora_dropout": 0.1,
    }
    return make_config(settings | changes)


def rows_of(config: ExperimentConfig) -> tuple[Template, list[Sample]]:
    template = make_template(load_tokenizer(config), config)
    words = ["red kite", "blue cup " * 3, "one", "seven green mugs in Oslo", "x", "Anna " * 6]
    samples = [
        template.encode(
            Conversation(row, (Message("user", f"Say {row}"), Message("assistant", words[row % 6] + str(row), True)))
        )
        for row in range(ROWS)
    ]
    return template, samples


def run(
    config: ExperimentConfig,
    folder: Path,
    *,
    stop_after: int | None = None,
    listener: Any = None,
    scored_before: bool = False,
) -> tuple[list[StepDone], Any, bool]:
    set_seed(config.environment.seed)
    template, samples = rows_of(config)
    model, dtype = load_model(config, device="cpu", trains=True)
    if scored_before:
        with torch.inference_mode():
            model.eval()(input_ids=torch.tensor([samples[0].input_ids]))
        set_seed(config.environment.seed)
    model = make_trainable(model, config, quantised=dtype.value in QUANTISED).model
    steps: list[StepDone] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepDone):
            steps.append(event)
        if listener:
            listener(event)

    finished = train(
        model,
        samples,
        config,
        folder=folder,
        device="cpu",
        pad_id=template.pad_id,
        autocast=None,
        listen=listen,
        should_stop=lambda: stop_after is not None and len(steps) >= stop_after,
    )
    return steps, model, finished


def plain_loss(model: Any, samples: list[Sample]) -> float:
    """Sum of nats over learned tokens / their number, one unpadded row at a time."""
    nats = tokens = 0.0
    for sample in samples:
        ids, labels = torch.tensor([sample.input_ids]), torch.tensor([sample.labels])
        with torch.no_grad():
            logits = model(input_ids=ids).logits
        spent = torch.nn.functional.cross_entropy(
            logits[0, :-1], labels[0, 1:], ignore_index=IGNORE_INDEX, reduction="sum"
        )
        nats, tokens = nats + float(spent), tokens + int((labels[0, 1:] != IGNORE_INDEX).sum())
    return nats / tokens


@pytest.mark.parametrize(("batch", "accumulation"), [(4, 1), (2, 2), (1, 4), (3, 2)])
def test_the_loss_of_a_step_is_the_mean_over_the_learned_tokens_of_all_its_rows(
    backbone: Path, tmp_path: Path, batch: int, accumulation: int
) -> None:
    changes = {"training.batch_size": batch, "training.grad_accumulation": accumulation, "training.lora_dropout": 0.0}
    config = config_of(backbone, **changes, **{"training.epochs": 1})
    rows = batch * accumulation
    template, samples = rows_of(config)
    model, _ = load_model(config, device="cpu")
    model = make_trainable(model, config, quantised=False).model
    expected = plain_loss(model, samples[:rows])
    told: list[StepDone] = []

    def listen(event: Event) -> None:
        if isinstance(event, StepDone):
            told.append(event)

    train(
        model,
        samples[:rows],
        config,
        folder=tmp_path,
        device="cpu",
        pad_id=template.pad_id,
        autocast=None,
        listen=listen,
    )
    assert told[0].loss == pytest.approx(expected, abs=2e-5)


def test_the_same_seed_gives_the_same_losses_and_another_seed_others(backbone: Path, tmp_path: Path) -> None:
    first = [step.loss for step in run(config_of(backbone), tmp_path / "a")[0]]
    again = [step.loss for step in run(config_of(backbone), tmp_path / "b")[0]]
    other = [step.loss for step in run(config_of(backbone, **{"environment.seed": 7}), tmp_path / "c")[0]]
    assert first == again
    assert first != other
    assert first[-1] < first[0]


def test_a_stopped_training_goes_on_to_the_same_losses(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.lora_dropout": 0.0})
    whole = [step.loss for step in run(config, tmp_path / "whole")[0]]
    first, _, finished = run(config, tmp_path / "parts", stop_after=5)
    assert not finished
    second, _, finished = run(config, tmp_path / "parts")
    assert finished
    assert [step.step for step in first + second] == list(range(1, len(whole) + 1))
    assert [step.loss for step in first + second] == pytest.approx(whole, abs=1e-6)


def test_a_training_stopped_in_its_last_evaluation_goes_on_with_that_evaluation(backbone: Path, tmp_path: Path) -> None:
    due: list[int] = []
    config = config_of(backbone, **{"training.epochs": 1, "training.evaluation_epochs": 1.0})

    def listen(event: Event) -> None:
        if isinstance(event, EvaluationDue):
            due.append(event.step)
            if len(due) == 1:
                raise Cancelled

    first, _, finished = run(config, tmp_path, listener=listen)
    assert not finished
    second, _, finished = run(config, tmp_path, listener=listen)
    assert finished
    assert due == [6, 6]
    assert (len(first), len(second)) == (6, 0)


def test_what_it_saves_to_go_on_holds_nothing_pickled_by_transformers(backbone: Path, tmp_path: Path) -> None:
    run(config_of(backbone), tmp_path, stop_after=2)
    assert list(tmp_path.rglob("optimizer.pt"))
    assert not list(tmp_path.rglob(ARGUMENTS_FILE))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "int4"])
def test_lora_learns_on_a_backbone_of_every_number_type(backbone: Path, tmp_path: Path, dtype: str) -> None:
    steps, model, _ = run(config_of(backbone, **{"architecture.backbone_dtype": dtype, "training.epochs": 4}), tmp_path)
    assert steps[-1].loss < steps[0].loss - 0.2
    assert all("lora" in name for name, weight in model.named_parameters() if weight.requires_grad)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "int8", "int4"])
def test_scoring_the_backbone_before_changes_nothing_of_the_training(
    backbone: Path, tmp_path: Path, dtype: str
) -> None:
    config = config_of(backbone, **{"architecture.backbone_dtype": dtype, "training.epochs": 1})
    plain = [step.loss for step in run(config, tmp_path / "a")[0]]
    scored = [step.loss for step in run(config, tmp_path / "b", scored_before=True)[0]]
    assert scored == pytest.approx(plain, abs=1e-6)


def test_full_fine_tuning_trains_all_weights(backbone: Path, tmp_path: Path) -> None:
    steps, model, _ = run(config_of(backbone, **{"training.lora": False}), tmp_path)
    assert steps[-1].loss < steps[0].loss - 0.2
    assert all(weight.requires_grad for weight in model.parameters())


@pytest.mark.parametrize("optimizer", ["AdamW", "AdamW8bit", "Adam", "SGD", "RMSprop", "Adadelta"])
def test_every_optimiser_takes_steps(backbone: Path, tmp_path: Path, optimizer: str) -> None:
    changes = {"training.optimizer": optimizer, "training.epochs": 1, "training.learning_rate": 1e-3}
    steps, model, _ = run(config_of(backbone, **changes), tmp_path)
    moved = [weight for name, weight in model.named_parameters() if "lora_B" in name]
    assert len(steps) == ROWS // 2
    assert any(bool(weight.abs().sum() > 0) for weight in moved)


@pytest.mark.parametrize("setting", ["training.use_dora", "training.use_rslora", "architecture.gradient_checkpointing"])
def test_variants_of_lora_learn(backbone: Path, tmp_path: Path, setting: str) -> None:
    steps, _, _ = run(config_of(backbone, **{setting: True}), tmp_path)
    assert steps[-1].loss < steps[0].loss


def test_noise_on_the_embeddings_changes_the_losses(backbone: Path, tmp_path: Path) -> None:
    quiet_steps = run(config_of(backbone), tmp_path / "a")[0]
    noisy = run(config_of(backbone, **{"augmentation.neftune_noise_alpha": 10.0}), tmp_path / "b")[0]
    assert [step.loss for step in quiet_steps] != [step.loss for step in noisy]


def test_a_target_module_that_does_not_exist_is_named_with_the_nearest(backbone: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        run(config_of(backbone, **{"training.lora_target_modules": "q_pro"}), tmp_path)
    assert "q_proj" in caught.value.fix


@pytest.mark.parametrize("where", ["loss", "gradient"])
def test_what_is_no_number_ends_the_training_before_the_weights_follow_it(
    backbone: Path, tmp_path: Path, where: str
) -> None:
    config = config_of(backbone)
    template, samples = rows_of(config)
    model, _ = load_model(config, device="cpu")
    model = make_trainable(model, config, quantised=False).model
    steps: list[Event] = []
    broken = False

    def breaks(gradient: torch.Tensor) -> torch.Tensor:
        return gradient * float("inf") if broken and where == "gradient" else gradient

    def breaks_output(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output * float("nan") if broken and where == "loss" else output

    first = next(weight for name, weight in model.named_parameters() if "lora_B" in name)
    first.register_hook(breaks)
    model.get_output_embeddings().register_forward_hook(breaks_output)

    def listen(event: Event) -> None:
        nonlocal broken
        steps.append(event)
        broken = len(steps) == 2

    with pytest.raises(DivergedError) as caught:
        train(
            model, samples, config, folder=tmp_path, device="cpu", pad_id=template.pad_id, autocast=None, listen=listen
        )
    assert caught.value.what == f"The {where} is no number any more after step 2."
    assert caught.value.where == "training.learning_rate"
    assert all(bool(torch.isfinite(weight).all()) for weight in model.parameters())


def test_the_model_is_scored_as_it_will_be_loaded_again_not_under_autocast(backbone: Path, tmp_path: Path) -> None:
    config = config_of(backbone, **{"training.epochs": 1, "training.lora_dropout": 0.0})
    template, samples = rows_of(config)
    model, _ = load_model(config, device="cpu")
    model = make_trainable(model, config, quantised=False).model
    batch = Collate(template.pad_id)(samples[:3])
    seen: list[torch.Tensor] = []

    def listen(event: Event) -> None:
        if isinstance(event, EvaluationDue):
            with torch.no_grad():
                seen.append(model(**batch).logits)
                seen.append(type(model).forward(model, **batch).logits)

    train(
        model,
        samples,
        config,
        folder=tmp_path,
        device="cpu",
        pad_id=template.pad_id,
        autocast=torch.bfloat16,
        listen=listen,
    )
    with torch.no_grad():
        under_autocast = model(**batch).logits
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[-1], under_autocast)


def test_a_step_is_told_before_the_evaluation_behind_it(backbone: Path, tmp_path: Path) -> None:
    order: list[tuple[str, int]] = []
    config = config_of(backbone, **{"training.epochs": 1, "training.evaluation_epochs": 0.5})
    run(config, tmp_path, listener=lambda event: order.append((type(event).__name__, getattr(event, "step", 0))))
    told = [entry for entry in order if entry[1] in (3, 6)]
    assert told == [
        ("StepDone", 3),
        ("EvaluationDue", 3),
        ("CheckpointSaved", 3),
        ("StepDone", 6),
        ("EvaluationDue", 6),
    ]


def test_evaluations_come_where_the_plan_has_them_and_always_at_the_end(backbone: Path, tmp_path: Path) -> None:
    due: list[EvaluationDue] = []
    config = config_of(backbone, **{"training.evaluation_epochs": 0.6})
    run(config, tmp_path, listener=lambda event: due.append(event) if isinstance(event, EvaluationDue) else None)
    assert [event.step for event in due] == sorted(make_plan(config, ROWS).evaluations)
    assert due[-1].last
    assert due[-1].step == 12
    assert not any(event.last for event in due[:-1])


@pytest.mark.parametrize(
    ("rows", "batch", "accumulation", "steps"), [(12, 2, 1, 6), (12, 5, 1, 3), (12, 5, 2, 2), (1, 8, 4, 1)]
)
def test_the_last_partial_batch_and_accumulation_count_as_steps(
    rows: int, batch: int, accumulation: int, steps: int
) -> None:
    changes = {"training.batch_size": batch, "training.grad_accumulation": accumulation, "training.epochs": 3}
    assert make_plan(make_config(changes), rows).steps == 3 * steps


def test_schedules_rise_then_fall_to_their_floor() -> None:
    for name, middle in (("Linear", 0.55), ("Cosine", 0.55)):
        factor = rate_factor(name, steps=110, warmup_steps=10, floor=0.1)
        assert factor(0) == pytest.approx(0.1)
        assert factor(9) == pytest.approx(1.0)
        assert factor(60) == pytest.approx(middle)
        assert factor(110) == pytest.approx(0.1)
    constant = rate_factor("Constant", steps=110, warmup_steps=0, floor=0.1)
    assert constant(0) == constant(109) == 1.0


def test_norms_and_biases_are_not_decayed(backbone: Path) -> None:
    model, _ = load_model(config_of(backbone), device="cpu")
    decayed, plain = parameter_groups(model, 0.1)
    names = {id(weight): name for name, weight in model.named_parameters()}
    assert all("norm" in names[id(weight)] for weight in plain["params"])
    assert not any("norm" in names[id(weight)] for weight in decayed["params"])


def test_padding_is_neither_read_nor_learned() -> None:
    short = Sample(0, (5, 6), (IGNORE_INDEX, 6), (IGNORE_INDEX, 6))
    long = Sample(1, (7, 8, 9), (IGNORE_INDEX, 8, 9), (IGNORE_INDEX, 8, 9))
    batch = Collate(pad_id=3)([short, long])
    assert batch["input_ids"].tolist() == [[5, 6, 3], [7, 8, 9]]
    assert batch["attention_mask"].tolist() == [[1, 1, 0], [1, 1, 1]]
    assert batch["labels"].tolist() == [[IGNORE_INDEX, 6, IGNORE_INDEX], [IGNORE_INDEX, 8, 9]]
