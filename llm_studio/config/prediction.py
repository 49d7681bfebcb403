"""How answers are made and scored at each evaluation."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section, when

MOST_STOPS = 16
"""Stop texts of an answer."""


class Prediction(Section):
    """Perplexity, BLEU and exact match are always computed; `metric` decides which checkpoint is the best."""

    metric: Annotated[
        Literal["perplexity", "bleu", "exact_match", "validation_loss", "gpt"],
        Knob(title="Metric for the best checkpoint", level="basic"),
    ] = "perplexity"
    """Decides which checkpoint counts as the best. Perplexity is the steadiest; BLEU and exact match read generated
    answers; gpt has them graded by a judge model. Then questions, right answers and the model's answers go to the
    endpoint in Settings."""

    max_length_inference: Annotated[
        int, Field(ge=1, le=8192), Knob(title="Longest answer", level="basic", unit="tokens")
    ] = 256
    """Generated answers end here at the latest. Shorter makes evaluation faster; too short cuts right answers."""

    max_generated_rows: Annotated[
        int, Field(ge=0, le=100_000), Knob(title="Generated answers", level="advanced", unit="rows")
    ] = 0
    """How many validation rows get a generated answer at each evaluation, always the same ones; a number above theirs
    takes all. 0 chooses by itself: 20 to 500, so that evaluations take at most a tenth of the training, or ten seconds.
    Perplexity is computed on all rows."""

    batch_size_inference: Annotated[
        int, Field(ge=0, le=512), Knob(title="Evaluation batch size", level="advanced", unit="rows")
    ] = 0
    """Rows that are answered at once. 0 chooses by itself."""

    min_length_inference: Annotated[
        int, Field(ge=0, le=1024), Knob(title="Shortest answer", level="expert", unit="tokens")
    ] = 0
    """Answers do not end before this many tokens, unless at a stop text."""

    max_time: Annotated[
        float, Field(ge=0, le=600), Knob(title="Time limit of an answer", level="expert", unit="seconds", step=1)
    ] = 0.0
    """Stops a batch of answers after this time. 0 sets no limit."""

    do_sample: Annotated[bool, Knob(title="Sampling", group="Sampling", level="advanced")] = False
    """Draws each token by chance instead of taking the likeliest. Off keeps scores repeatable."""

    temperature: Annotated[
        float,
        Field(ge=0, le=10),
        Knob(title="Temperature", group="Sampling", level="advanced", step=0.05, visible_when=when(do_sample=True)),
    ] = 0.7
    """Higher is more varied, lower keeps to the likeliest tokens."""

    top_k: Annotated[
        int,
        Field(ge=0, le=1000),
        Knob(title="Top k", group="Sampling", level="expert", visible_when=when(do_sample=True)),
    ] = 0
    """Draws only from this many likeliest tokens. 0 is off."""

    top_p: Annotated[
        float,
        Field(gt=0, le=1),
        Knob(title="Top p", group="Sampling", level="expert", step=0.05, visible_when=when(do_sample=True)),
    ] = 1.0
    """Draws only from the likeliest tokens that together have this probability. 1 is off."""

    num_beams: Annotated[int, Field(ge=1, le=16), Knob(title="Beams", level="expert")] = 1
    """Beam search keeps this many candidates; each costs as much time as one answer. 1 is off."""

    repetition_penalty: Annotated[
        float, Field(ge=1, le=10), Knob(title="Repetition penalty", level="expert", step=0.025)
    ] = 1.0
    """Makes tokens that occurred less likely. 1 is off."""

    stop_tokens: Annotated[str, Knob(title="Stop texts", level="expert")] = ""
    """Answers end at any of these texts, up to 16, separated by commas; white space around them does not count. The end
    of turn always ends an answer."""

    metric_gpt_model: Annotated[
        str, Knob(title="Judge model", group="Judge", level="basic", visible_when=when(metric="gpt"))
    ] = ""
    """Name of the model that grades each generated answer from 0 to 1, as the endpoint in Settings knows it. Each
    answer is one call at each evaluation; a call that fails is told in the log and not counted."""

    metric_gpt_template: Annotated[
        Literal["general", "rag"],
        Knob(title="Judge prompt", group="Judge", level="basic", visible_when=when(metric="gpt")),
    ] = "general"
    """general compares with the right answer. rag also asks that the answer says only what its context says, that is,
    the prompt with all messages before it."""

    num_history: Annotated[int, Field(ge=1, le=50), Knob(title="Turns in the chat prompt", level="expert")] = 8
    """How many turns of a chat go into the prompt, the newest ones; the system message always does. None for a model
    that learned from single turns. It can be changed in the chat."""

    @property
    def stop_texts(self) -> tuple[str, ...]:
        """The stop texts, each once."""
        texts = (text.strip() for text in self.stop_tokens.split(","))
        return tuple(dict.fromkeys(text for text in texts if text))
