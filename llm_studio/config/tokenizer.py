"""How text becomes tokens."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section, when


class Tokenizer(Section):
    """Length and kind of the token sequences."""

    max_length: Annotated[
        int,
        Field(ge=32, le=131072),
        Knob(title="Longest conversation", level="basic", unit="tokens", step=32, grid=(256, 512, 1024)),
    ] = 1024
    """Conversations longer than this are shortened, left out or cut, as set below. Longer ones need more memory."""

    truncation: Annotated[
        Literal["oldest_turns", "drop", "cut"], Knob(title="Conversations that are too long", level="advanced")
    ] = "oldest_turns"
    """"oldest_turns" leaves out whole turns, the oldest first, and a row only when its system message, last prompt and
    answer alone are too long; "drop" leaves out every row that is too long; "cut" cuts tokens off one end, as H2O LLM
    Studio does. The default suits a beginner who does not know that there is a limit: it teaches neither an answer to
    half a prompt nor half an answer, and loses the least data that way. What happens is counted in the log."""

    truncation_side: Annotated[
        Literal["left", "right"], Knob(title="Cut at", level="expert", visible_when=when(truncation="cut"))
    ] = "left"
    """"left" cuts the oldest text and keeps the final answer; "right" cuts the end; answers without
    their end teach the model not to stop."""

    add_prompt_answer_tokens: Annotated[bool, Knob(title="Markers as tokens", level="expert")] = False
    """Adds the texts before system, prompt and answer to the vocabulary as tokens of their own, which are learned with
    the adapter. Only for the studio's own markers: a chat template that the backbone brings has its tokens already."""

    padding_quantile: Annotated[float, Field(ge=0, le=1), Knob(title="Padding quantile", level="expert", step=0.01)] = (
        1.0
    )
    """Rows of a step that are longer than this quantile of their lengths are cut to it. 1 and 0 cut nothing, and cost
    nothing either: rows are packed, or padded to the longest beside them only."""

    tokenizer_kwargs: Annotated[str, Knob(title="Tokenizer arguments", level="expert")] = "{}"
    """Further arguments with which the backbone's tokenizer is loaded, as a JSON object: {"add_prefix_space": true}."""
