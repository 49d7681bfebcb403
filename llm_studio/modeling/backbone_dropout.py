"""Dropout inside a backbone: architectures name its probabilities differently, and many have none."""

from collections.abc import Mapping
from typing import Any


def dropouts_of(config: Any) -> list[str]:
    """Names of the dropout probabilities in a backbone's config."""
    values = vars(config.get_text_config())
    named = (name for name in values if "dropout" in name or name.endswith("_pdrop"))
    return [name for name in named if isinstance(values[name], int | float) and not isinstance(values[name], bool)]


def set_dropout(config: Any, share: float) -> dict[str, float]:
    """Set them all to `share`, in [0, 1); gives what they were."""
    before = {name: getattr(config.get_text_config(), name) for name in dropouts_of(config)}
    put_back(config, dict.fromkeys(before, share))
    return before


def put_back(config: Any, values: Mapping[str, float]) -> None:
    """Set each to its own value. Layers keep what the config said when they were made, so that a model drops as it is
    set to, while the config saved with its weights says of the backbone what it always said."""
    for name, value in values.items():
        setattr(config.get_text_config(), name, value)
