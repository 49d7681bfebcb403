"""Answers of a tiny model: those of transformers, whatever the batch; every setting of an answer does what it says."""

from pathlib import Path
from typing import Any

import pytest
import torch

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Conversation, Message
from llm_studio.errors import Cancelled, UserError
from llm_studio.evaluation.scoring import log_likelihoods, make_questions, score_rows
from llm_studio.evaluation.shares import gathered, share_of
from llm_studio.modeling import devices, generation
from llm_studio.modeling.generation import generate
from llm_studio.modeling.loading import load_model, quiet
from llm_studio.tokens.template import Template
from tests.support.tiny import config_of, plain_loss, rows_of
from tests.support.tuned import make_backbone

PROMPTS = [[5, 6, 7, 8], [9], [10, 11, 12, 13, 14, 15, 16, 17], [20, 21], [30, 31, 32]]


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"))


@pytest.fixture(scope="module")
def model(backbone: Path) -> Any:
    made, _ = load_model(config_of(backbone), device="cpu")
    with torch.no_grad():
        made.get_input_embeddings().weight.mul_(3)  # so that the likeliest tokens differ from row to row
    return made.eval()


@pytest.fixture(scope="module")
def template(backbone: Path) -> Template:
    return rows_of(config_of(backbone))[0]


def settings(backbone: Path, **changes: Any) -> ExperimentConfig:
    wanted = {"max_length_inference": 12} | changes
    return config_of(backbone, **{f"prediction.{name}": value for name, value in wanted.items()})


def by_transformers(model: Any, template: Template, prompt: list[int], **arguments: Any) -> str:
    ids = torch.tensor([prompt])
    named = {"max_new_tokens": 12, "do_sample": False, "eos_token_id": list(template.stop_ids)} | arguments
    made = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), pad_token_id=template.pad_id, **named)
    return str(template.tokenizer.decode(made[0, len(prompt) :], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("rows", [0, 1, 2, 5])
@pytest.mark.parametrize(
    ("changes", "arguments"),
    [
        ({}, {}),
        ({"repetition_penalty": 1.5}, {"repetition_penalty": 1.5}),
        ({"min_length_inference": 9}, {"min_new_tokens": 9}),
        ({"num_beams": 3}, {"num_beams": 3}),
        ({"max_length_inference": 5}, {"max_new_tokens": 5}),
    ],
    ids=["plain", "repetition", "shortest", "beams", "longest"],
)
def test_answers_are_those_of_transformers_one_row_at_a_time_whatever_the_batch(
    backbone: Path, model: Any, template: Template, changes: dict[str, Any], arguments: dict[str, Any], rows: int
) -> None:
    config = settings(backbone, batch_size_inference=rows, **changes)
    expected = [by_transformers(model, template, prompt, **arguments) for prompt in PROMPTS]
    assert generate(model, template, PROMPTS, config) == expected


def test_a_row_that_has_ended_leaves_the_batch_and_the_others_go_on_unchanged(
    backbone: Path, model: Any, template: Template
) -> None:
    seen: list[int] = []
    hook = model.get_input_embeddings().register_forward_hook(lambda module, inputs, output: seen.append(len(output)))
    found = generate(model, template, PROMPTS, settings(backbone), limits=[1, 12, 2, 12, 3])
    hook.remove()
    whole = generate(model, template, PROMPTS, settings(backbone))
    assert seen[0] == 5
    assert seen[-1] == 2
    assert [found[1], found[3]] == [whole[1], whole[3]]
    assert whole[0].startswith(found[0])


def test_what_is_drawn_for_a_row_does_not_depend_on_the_batch(backbone: Path, model: Any, template: Template) -> None:
    changes = {"do_sample": True, "temperature": 1.5}
    together = generate(model, template, PROMPTS, settings(backbone, **changes))
    alone = generate(model, template, PROMPTS, settings(backbone, batch_size_inference=1, **changes))
    other = generate(model, template, PROMPTS, settings(backbone, **changes).with_changes({"environment.seed": 5}))
    assert together == alone
    assert together != other
    assert together != generate(model, template, PROMPTS, settings(backbone))


@pytest.mark.parametrize("changes", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}])
def test_sampling_from_one_token_alone_takes_the_likeliest(
    backbone: Path, model: Any, template: Template, changes: dict[str, Any]
) -> None:
    likeliest = generate(model, template, PROMPTS, settings(backbone))
    assert generate(model, template, PROMPTS, settings(backbone, do_sample=True, **changes)) == likeliest


def test_tokens_are_drawn_as_often_as_they_are_likely() -> None:
    from llm_studio.modeling.decoding import drawn_at

    chances = torch.tensor([[0.1, 0.0, 0.6, 0.3]]).expand(10_000, -1)
    drawn = drawn_at(chances, torch.linspace(0, 1 - 1e-6, 10_000)[:, None])
    assert (drawn.bincount(minlength=4) / 10_000).tolist() == pytest.approx([0.1, 0.0, 0.6, 0.3], abs=2e-3)


def test_a_stop_is_obeyed_between_two_tokens(backbone: Path, model: Any, template: Template) -> None:
    for beams in (1, 2):
        with pytest.raises(Cancelled):
            generate(model, template, PROMPTS, settings(backbone, num_beams=beams), should_stop=lambda: True)


@pytest.mark.parametrize("beams", [1, 2])
def test_an_answer_is_shortened_rather_than_its_prompt(
    backbone: Path, model: Any, template: Template, beams: int
) -> None:
    context = model.config.max_position_embeddings
    long = [5 + place % 40 for place in range(context - 3)]
    wanted = settings(backbone, max_length_inference=50, min_length_inference=1, num_beams=beams)
    short = settings(backbone, max_length_inference=3, min_length_inference=1, num_beams=beams)
    alone = generate(model, template, [long], short)[0]
    assert generate(model, template, [long, [9]], wanted) == [alone, generate(model, template, [[9]], wanted)[0]]
    assert alone


def test_running_out_of_memory_halves_the_batch_until_it_fits(backbone: Path, model: Any, template: Template) -> None:
    expected = generate(model, template, PROMPTS, settings(backbone))

    def full(module: Any, inputs: tuple[torch.Tensor]) -> None:
        if len(inputs[0]) > fits:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    hook = model.get_input_embeddings().register_forward_pre_hook(full)
    fits = 1
    assert generate(model, template, PROMPTS, settings(backbone)) == expected
    fits = 0
    with pytest.raises(UserError) as caught:
        generate(model, template, PROMPTS, settings(backbone))
    assert "single row" in caught.value.what
    fits = 1
    with pytest.raises(UserError) as caught:
        generate(model, template, PROMPTS, settings(backbone), in_step=True)
    hook.remove()
    assert "5 rows at once" in caught.value.what
    assert caught.value.where == "prediction.batch_size_inference"


def test_a_large_model_answers_fewer_rows_at_once(backbone: Path, model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Memory:
        available = 10_000_000

    monkeypatch.setattr(devices.psutil, "virtual_memory", lambda: Memory)
    fits = generation.Fitting(model, config_of(backbone), 100)
    assert 100 > fits(100) > fits(1000) >= 1
    assert generation.Fitting(model, config_of(backbone, **{"prediction.batch_size_inference": 100}), 100)(1000) == 100
    assert generation.Fitting(model, config_of(backbone, **{"prediction.num_beams": 4}), 100)(100) <= fits(100) / 3
    Memory.available = 0
    assert generation.Fitting(model, config_of(backbone), 100)(1000) == 1


def test_scoring_is_the_plain_formula_and_leaves_the_model_and_the_random_numbers_alone(
    backbone: Path, model: Any, template: Template
) -> None:
    config = settings(backbone, do_sample=True, max_generated_rows=2)
    rows = [
        Conversation(row, (Message("user", f"Say {row}"), Message("assistant", "blue cup " * (row + 1), True)))
        for row in range(4)
    ]
    samples = template.for_scoring().encode_many(rows)
    questions = make_questions(template, rows, samples)
    model.train()
    state = torch.get_rng_state()
    found = score_rows(model, template, questions, config)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    model.eval()
    assert [prediction.output is not None for prediction in found] == [True, True, False, False]
    for prediction, sample in zip(found, samples, strict=True):
        with torch.no_grad():
            expected = float(plain_loss(model, [sample]))
        assert prediction.loss_nats / prediction.loss_tokens == pytest.approx(expected, abs=1e-5)
    again = log_likelihoods(model, template, questions)
    assert [answer for answer, _ in again] == pytest.approx([one.nll_nats for one in found], abs=1e-4)


@pytest.mark.parametrize(("rows", "processes"), [(0, 2), (1, 3), (7, 2), (8, 4)])
def test_rows_shared_out_come_back_in_order(rows: int, processes: int) -> None:
    items = [str(row) for row in range(rows)]
    assert gathered([share_of(items, rank, processes) for rank in range(processes)]) == items
