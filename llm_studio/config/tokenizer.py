"""How text becomes tokens."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section


class Tokenizer(Section):
    """Length and kind of the token sequences."""

    max_length: Annotated[
        int,
        Field(ge=32, le=131072),
        Knob(title="Longest conversation", level="basic", unit="tokens", step=32, grid=(256, 512, 1024)),
    ] = 1024
    """Conversations longer than this are cut. Longer ones need more memory; cut answers teach the model to stop
    nowhere."""

    truncation_side: Annotated[Literal["left", "right"], Knob(title="Cut at", level="expert")] = "left"
    """"left" cuts the oldest text and keeps the final answer; "right" cuts the end."""

    add_prompt_answer_tokens: Annotated[bool, Knob(title="Markers as tokens", level="expert", status="coming")] = False
    """Adds the marker texts to the vocabulary as tokens of their own."""

    padding_quantile: Annotated[
        float, Field(ge=0, le=1), Knob(title="Padding quantile", level="expert", step=0.01, status="coming")
    ] = 1.0
    """Cuts each batch to this quantile of its lengths. 1 cuts nothing: batches are padded to their longest row
    only."""

    tokenizer_kwargs: Annotated[str, Knob(title="Tokenizer arguments", level="expert", status="coming")] = "{}"
    """Further arguments for the tokenizer, as JSON."""
