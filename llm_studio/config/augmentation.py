"""Noise that makes training harder and the model more robust."""

from typing import Annotated

from pydantic import Field

from llm_studio.config.knob import Knob, Section


class Augmentation(Section):
    """All are off by default."""

    neftune_noise_alpha: Annotated[
        float, Field(ge=0, le=15), Knob(title="NEFTune noise", level="expert", step=0.5, grid=(0, 5, 10, 15))
    ] = 0.0
    """Adds uniform noise to the embeddings in training; 5 is usual for chat data. 0 is off. Source:
    arXiv:2310.05914."""

    token_mask_probability: Annotated[
        float, Field(ge=0, le=0.9), Knob(title="Token masking", level="expert", step=0.05)
    ] = 0.0
    """Share of the tokens that a mask hides while training, drawn anew in each step. What is hidden is not learned."""

    skip_parent_probability: Annotated[
        float, Field(ge=0, le=1), Knob(title="Skip earlier turns", level="expert", step=0.05)
    ] = 0.0
    """Chance that an earlier turn of a conversation is left out, drawn anew in each step. The system message and the
    last exchange always stay."""

    random_parent_probability: Annotated[
        float, Field(ge=0, le=1), Knob(title="Replace earlier turns", level="expert", step=0.05)
    ] = 0.0
    """Chance that the first earlier turn is replaced by one of another conversation, drawn anew in each step."""
