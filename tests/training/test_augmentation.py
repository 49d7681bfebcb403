"""Rows changed by chance: by the shares set, the same for the same seed, step and row, as the template writes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Conversation, Message
from llm_studio.modeling.loading import quiet
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.training.augmentation import Augmentation, is_wanted, mask_id, parted, shortened
from tests.support.tiny import config_of, rows_of, run
from tests.support.tuned import make_backbone

ROWS, TURNS = 60, 4


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    quiet()
    return make_backbone(tmp_path_factory.mktemp("backbone"), context=1024)


def conversation(row: int) -> Conversation:
    turns = [
        message
        for turn in range(TURNS)
        for message in (Message("user", f"ask {row} {turn}"), Message("assistant", f"tell {row} {turn}", True))
    ]
    return Conversation(row, (Message("system", f"you are {row}"), *turns))


def augmentation(backbone: Path, **changes: Any) -> Augmentation:
    config = config_of(backbone, **changes)
    return Augmentation(config, rows_of(config)[0], [conversation(row) for row in range(ROWS)])


def applied(made: Augmentation, step: int = 0) -> tuple[list[Sample], list[Sample]]:
    samples = [made.template.encode(one) for one in made.conversations]
    return samples, made(samples, range(len(samples)), step)


def text(made: Augmentation, sample: Sample) -> str:
    return str(made.template.tokenizer.decode(sample.input_ids))


def test_a_conversation_is_parted_into_system_earlier_turns_and_last_exchange() -> None:
    before, turns, rest = parted(conversation(3).messages)
    assert [message.role for message in before] == ["system"]
    assert [turn[0].content for turn in turns] == ["ask 3 0", "ask 3 1", "ask 3 2"]
    assert [message.content for message in rest] == ["ask 3 3", "tell 3 3"]
    assert parted((Message("assistant", "x", True),)) == ((Message("assistant", "x", True),), [], ())


def test_earlier_turns_are_left_out_by_their_share_never_the_system_message_or_the_last_exchange(
    backbone: Path,
) -> None:
    made = augmentation(backbone, **{"augmentation.skip_parent_probability": 0.5})
    samples, changed = applied(made)
    texts = [text(made, sample) for sample in changed]
    left = sum(f"ask {row} {turn}" in one for row, one in enumerate(texts) for turn in range(TURNS - 1))
    assert left / (ROWS * (TURNS - 1)) == pytest.approx(0.5, abs=0.12)
    assert all(f"you are {row}" in one and f"tell {row} 3" in one for row, one in enumerate(texts))
    for row, one in enumerate(texts):
        before, turns, rest = parted(conversation(row).messages)
        kept = [message for turn in turns if turn[0].content in one for message in turn]
        assert changed[row] == made.template.encode(replace(conversation(row), messages=(*before, *kept, *rest)))
    assert samples != changed


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_the_first_earlier_turn_is_replaced_by_its_share_by_one_of_another_conversation(
    backbone: Path, share: float
) -> None:
    made = augmentation(backbone, **{"augmentation.random_parent_probability": share})
    samples, changed = applied(made)
    replaced = 0
    for row, (before, sample) in enumerate(zip(samples, changed, strict=True)):
        asked = [(int(one), int(turn)) for one, turn in re.findall(r"ask (\d+) (\d+)", text(made, sample))]
        assert asked[1:] == [(row, turn) for turn in range(1, TURNS)]
        if sample != before:
            replaced += 1
            assert asked[0][0] != row
    assert replaced / ROWS == pytest.approx(share, abs=0.15 if share < 1 else 0)


def test_masked_tokens_are_hidden_by_their_share_and_not_learned_themselves(backbone: Path) -> None:
    made = augmentation(backbone, **{"augmentation.token_mask_probability": 0.3})
    made = replace(made, conversations=())
    samples = [made.template.encode(conversation(row)) for row in range(ROWS)]
    changed = made(samples, range(ROWS), 0)
    special, tokenizer = set(made.template.tokenizer.all_special_ids), made.template.tokenizer
    plain = hidden = 0
    for before, after in zip(samples, changed, strict=True):
        assert len(before.input_ids) == len(after.input_ids)
        for old, new, old_label, new_label in zip(
            before.input_ids, after.input_ids, before.labels, after.labels, strict=True
        ):
            if old in special:
                assert (new, new_label) == (old, old_label)
                continue
            plain += 1
            hidden += new_label != old_label or new != old
            assert (new, new_label) in ((old, old_label), (mask_id(tokenizer), IGNORE_INDEX))
    assert hidden / plain == pytest.approx(0.3, abs=0.03)


def test_the_same_seed_step_and_row_give_the_same_and_another_step_another(backbone: Path) -> None:
    changes = {"augmentation.skip_parent_probability": 0.4, "augmentation.token_mask_probability": 0.2}
    made = augmentation(backbone, **changes)
    samples, whole = applied(made, step=3)
    alone = [made([samples[row]], [row], 3)[0] for row in range(ROWS)]
    assert whole == alone
    assert whole != made(samples, range(ROWS), 4)
    assert whole != applied(augmentation(backbone, **changes, **{"environment.seed": 1}), step=3)[1]


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_longer_than_the_quantile_are_cut_to_it_on_the_side_that_is_set(side: str) -> None:
    samples = [Sample(row, ids := tuple(range(row, row + 10 * (row + 1))), ids, ids) for row in range(4)]
    changed = shortened(samples, 0.5, side)
    most = int(np.quantile([10, 20, 30, 40], 0.5))
    assert [len(sample.input_ids) for sample in changed] == [10, 20, most, most]
    assert changed[:2] == samples[:2]
    assert changed[3].input_ids == (samples[3].input_ids[-most:] if side == "left" else samples[3].input_ids[:most])
    assert changed[3].labels == (IGNORE_INDEX, *changed[3].input_ids[1:])
    assert shortened(samples, 1.0, side) == samples


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("quantile", [0.0, 0.25, 1.0])
def test_a_step_cuts_at_the_quantile_and_side_that_are_set_and_at_0_and_1_nothing(
    backbone: Path, quantile: float, side: str
) -> None:
    made = augmentation(backbone, **{"tokenizer.padding_quantile": quantile, "tokenizer.truncation_side": side})
    lengths = [2, 5, 9, 14]
    samples = [Sample(row, ids := tuple(range(length)), ids, ids) for row, length in enumerate(lengths)]
    found = [sample.input_ids for sample in made(samples, range(4), 0)]
    most = int(np.quantile(lengths, quantile)) if 0 < quantile < 1 else 14
    assert found == [sample.input_ids[-most:] if side == "left" else sample.input_ids[:most] for sample in samples]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("augmentation.token_mask_probability", 0.3),
        ("augmentation.skip_parent_probability", 0.5),
        ("augmentation.random_parent_probability", 1.0),
        ("tokenizer.padding_quantile", 0.5),
    ],
)
def test_a_training_takes_the_changed_rows_and_goes_on_to_the_very_same_losses(
    backbone: Path, tmp_path: Path, setting: str, value: float
) -> None:
    made = augmentation(backbone, **{setting: value})
    made = replace(made, conversations=made.conversations[:12])
    samples = [made.template.encode(one) for one in made.conversations]
    assert is_wanted(made.config)

    def losses(config: ExperimentConfig, name: str, **arguments: Any) -> list[float]:
        return [step.loss for step in run(config, tmp_path / name, samples=samples, **arguments)[0]]

    whole = losses(made.config, "whole", augment=made)
    assert whole != losses(made.config, "plain")
    first = losses(made.config, "parts", augment=made, stop_after=4)
    assert first + losses(made.config, "parts", augment=made) == whole
