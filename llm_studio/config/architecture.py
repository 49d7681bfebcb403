"""How the backbone is held in memory."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section


class Architecture(Section):
    """Number type and memory of the backbone."""

    backbone_dtype: Annotated[
        Literal["auto", "float32", "bfloat16", "float16", "int8", "int4"], Knob(title="Number type", level="basic")
    ] = "auto"
    """How the backbone's weights are stored. "auto" goes by the free memory: 16 bits on a GPU and 32 on a CPU when they
    fit beside what training needs, else fewer. int8 and int4 save memory, cost some accuracy and need LoRA."""

    gradient_checkpointing: Annotated[bool, Knob(title="Gradient checkpointing", level="advanced")] = False
    """Computes activations again in the backward pass instead of keeping them: less memory, about a third
    slower."""

    intermediate_dropout: Annotated[
        float, Field(ge=0, le=0.5), Knob(title="Backbone dropout", level="expert", step=0.05)
    ] = 0.0
    """Dropout inside the backbone while training, in all places where its architecture has one; the log says so when it
    has none. 0 keeps the backbone's own, which is none for most."""

    pretrained_weights: Annotated[str, Knob(title="Further weights", level="expert")] = ""
    """A file of weights on this machine (.safetensors, or a state_dict in .pth, .pt or .bin) that is laid over the
    backbone's before training; weights it does not name stay. For a backbone in 16 or 32 bits."""
