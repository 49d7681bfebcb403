"""Dropout inside a backbone: architectures name its probabilities differently, and many have none."""

from typing import Any


def dropouts_of(config: Any) -> list[str]:
    """Names of the dropout probabilities in a backbone's config."""
    values = vars(config.get_text_config())
    named = (name for name in values if "dropout" in name or name.endswith("_pdrop"))
    return [name for name in named if isinstance(values[name], int | float) and not isinstance(values[name], bool)]


def set_dropout(config: Any, share: float) -> None:
    """Set them all. share: in [0, 1)."""
    for name in dropouts_of(config):
        setattr(config.get_text_config(), name, share)
