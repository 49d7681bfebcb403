"""Changes the rows of an optimiser step by chance: masked tokens, earlier turns left out or replaced, long rows cut.

Its random numbers are a function of seed, step and row, so that a resumed training, and any number of micro-batches or
processes, sees the same. Turns are changed in the conversation, which the template then renders anew: the result is
what it would have written, whatever it makes of neighbours and of the first turn.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from llm_studio.config import ExperimentConfig
from llm_studio.data.types import Conversation, Message
from llm_studio.tokens.sample import IGNORE_INDEX, Sample
from llm_studio.tokens.template import Template

Turn = tuple[Message, ...]


def is_wanted(config: ExperimentConfig) -> bool:
    """Whether any setting changes rows by chance or cuts them."""
    return changes_turns(config) or bool(config.augmentation.token_mask_probability) or cuts(config)


def changes_turns(config: ExperimentConfig) -> bool:
    """Whether the conversations themselves are needed."""
    return bool(config.augmentation.skip_parent_probability or config.augmentation.random_parent_probability)


def cuts(config: ExperimentConfig) -> bool:
    """Whether the longest rows of a step are cut."""
    return 0 < config.tokenizer.padding_quantile < 1


@dataclass(frozen=True)
class Augmentation:
    """conversations: of all rows to learn from, by their numbers; empty when turns are not changed."""

    config: ExperimentConfig
    template: Template
    conversations: Sequence[Conversation] = ()

    def __call__(self, samples: Sequence[Sample], numbers: Sequence[int], step: int) -> list[Sample]:
        """The rows of a step as they are learned. numbers: of the rows, among all; step: counted from 0."""
        changed = []
        for sample, number in zip(samples, numbers, strict=True):
            random = np.random.default_rng((self.config.environment.seed, step, number))
            changed.append(self._masked(self._with_other_turns(sample, number, random), random))
        if cuts(self.config):
            return shortened(changed, self.config.tokenizer.padding_quantile, self.config.tokenizer.truncation_side)
        return changed

    def _with_other_turns(self, sample: Sample, number: int, random: np.random.Generator) -> Sample:
        if not self.conversations:
            return sample
        settings, conversation = self.config.augmentation, self.conversations[number]
        before, turns, rest = parted(conversation.messages)
        kept = [turn for turn in turns if random.random() >= settings.skip_parent_probability]
        if kept and random.random() < settings.random_parent_probability:
            kept[0] = self._turn_of_another(number, random) or kept[0]
        if kept == turns:
            return sample
        messages = (*before, *(message for turn in kept for message in turn), *rest)
        made = self.template.encode(replace(conversation, messages=messages))
        return made if made.learned_tokens else sample

    def _turn_of_another(self, number: int, random: np.random.Generator) -> Turn | None:
        """A turn of another conversation; None when there is no other one, or the one drawn has no turn."""
        if len(self.conversations) < 2:
            return None
        other = (number + 1 + int(random.integers(len(self.conversations) - 1))) % len(self.conversations)
        _, turns, rest = parted(self.conversations[other].messages)
        whole = [*turns, rest] if rest and rest[-1].role == "assistant" else turns
        return whole[int(random.integers(len(whole)))] if whole else None

    def _masked(self, sample: Sample, random: np.random.Generator) -> Sample:
        """Tokens hidden from the model by the mask; what is hidden is not learned, what follows it is."""
        share = self.config.augmentation.token_mask_probability
        if not share:
            return sample
        tokenizer = self.template.tokenizer
        special = np.isin(sample.input_ids, tokenizer.all_special_ids)
        hidden = (random.random(len(sample.input_ids)) < share) & ~special
        ids = np.where(hidden, mask_id(tokenizer), sample.input_ids)
        labels = np.where(hidden, IGNORE_INDEX, sample.labels)
        return replace(sample, input_ids=tuple(ids.tolist()), labels=tuple(labels.tolist()))


def mask_id(tokenizer: Any) -> int:
    """The token that stands for a hidden one: the tokenizer's mask, else its unknown one, else its padding, else 0."""
    names = ("mask_token_id", "unk_token_id", "pad_token_id")
    return next((int(found) for name in names if (found := getattr(tokenizer, name, None)) is not None), 0)


def parted(messages: Sequence[Message]) -> tuple[Turn, list[Turn], Turn]:
    """(what stands before the first turn, the earlier turns, the last exchange). A turn begins with a user message."""
    starts = [place for place, message in enumerate(messages) if message.role == "user"]
    answers = [place for place, message in enumerate(messages) if message.role == "assistant"]
    asked = [place for place in starts if not answers or place < answers[-1]]
    if not asked:
        return tuple(messages), [], ()
    bounds = [*asked, len(messages)]
    turns = [tuple(messages[begin:end]) for begin, end in pairwise(bounds)]
    return tuple(messages[: asked[0]]), turns[:-1], turns[-1]


def shortened(samples: Sequence[Sample], quantile: float, side: str) -> list[Sample]:
    """Rows longer than this quantile of their lengths, cut to it. side: "left" takes away the beginning."""
    most = max(1, int(np.quantile([len(sample.input_ids) for sample in samples], quantile)))
    return [_cut(sample, most, side) if len(sample.input_ids) > most else sample for sample in samples]


def _cut(sample: Sample, most: int, side: str) -> Sample:
    part = slice(-most, None) if side == "left" else slice(most)
    labels = (IGNORE_INDEX, *sample.labels[part][1:])  # nothing stands before the first token
    gone = len(sample.input_ids) - most
    return replace(
        sample,
        input_ids=sample.input_ids[part],
        labels=labels,
        answer_labels=(IGNORE_INDEX, *sample.answer_labels[part][1:]),
        cut_tokens=sample.cut_tokens + gone,
        outcome="cut",
    )
