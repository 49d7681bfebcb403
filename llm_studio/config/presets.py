"""Presets: three answers to "how much time do you have", as changes by value or by factor."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A name, a sentence, and what it does to the values below it (declared defaults and what a backbone recommends).

    changes: by path. factors: multiply whole numbers, so that a backbone that needs many epochs still gets its share;
    the result is at least 1.
    """

    title: str
    help: str
    changes: Mapping[str, object] = field(default_factory=dict)
    factors: Mapping[str, float] = field(default_factory=dict)

    def over(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The changes that this preset makes to `values` (by path, all of them)."""
        scaled = {path: max(1, round(values[path] * factor)) for path, factor in self.factors.items()}
        return scaled | dict(self.changes)


PRESETS: Mapping[str, Preset] = {
    "quick": Preset(
        title="Quick try",
        help="One short pass with few generated answers: does the data load, does the loss fall?",
        changes={"training.evaluation_epochs": 1.0, "prediction.max_generated_rows": 20},
        factors={"training.epochs": 0.34},
    ),
    "balanced": Preset(
        title="Balanced",
        help="The settings that suit most data sets, and what the backbone recommends. Start here.",
    ),
    "quality": Preset(
        title="Quality",
        help="More passes, a larger adapter and more scored rows: better answers for two to three times the time.",
        changes={"prediction.max_generated_rows": 200},
        factors={"training.epochs": 2.0, "training.lora_r": 2.0, "training.lora_alpha": 2.0},
    ),
}
DEFAULT_PRESET = "balanced"
