"""Presets: three answers to "how much time do you have", as changes by value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A name, a sentence, changes by path, and a factor for the epochs that a backbone recommends."""

    title: str
    help: str
    changes: Mapping[str, object] = field(default_factory=dict)
    epochs_factor: float = 1.0

    def scaled(self, path: str, value: Any) -> Any:
        """The value under this preset: epochs are multiplied, everything else stays."""
        return max(1, round(value * self.epochs_factor)) if path == "training.epochs" else value


PRESETS: Mapping[str, Preset] = {
    "quick": Preset(
        title="Quick try",
        help="One short pass with few generated answers: does the data load, does the loss fall?",
        changes={"training.epochs": 1, "training.evaluation_epochs": 1.0, "prediction.max_generated_rows": 20},
        epochs_factor=0.34,
    ),
    "balanced": Preset(
        title="Balanced",
        help="The settings that suit most data sets. Start here.",
        changes={"training.epochs": 2},
    ),
    "quality": Preset(
        title="Quality",
        help="More passes, a larger adapter and more evaluations: better answers for two to three times the time.",
        changes={
            "training.epochs": 4,
            "training.lora_r": 32,
            "training.lora_alpha": 64,
            "prediction.max_generated_rows": 200,
        },
        epochs_factor=2.0,
    ),
}
