"""Where and how an experiment runs."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section, when


class Environment(Section):
    """Device, seed, precision and what may be downloaded."""

    gpus: Annotated[str, Knob(title="Device", level="basic")] = "auto"
    """"auto" takes the first GPU, or the CPU where there is none; "cpu" or "cuda:0" choose. "all" or "cuda:0,cuda:1"
    train one experiment on several GPUs at once; "cpu:2" tries that out with two processes on the CPU."""

    seed: Annotated[int, Field(ge=-1, le=2**31 - 1), Knob(title="Seed", level="advanced")] = 42
    """The same seed gives the same experiment. -1 draws another one each time."""

    mixed_precision: Annotated[bool, Knob(title="Mixed precision", group="Precision", level="advanced")] = True
    """Computes in 16 bits where that is safe: faster, with the same result to three digits. Off computes in the number
    type that the backbone is held in."""

    mixed_precision_dtype: Annotated[
        Literal["bfloat16", "float16"],
        Knob(
            title="16-bit type",
            group="Precision",
            level="expert",
            visible_when=when(mixed_precision=True),
        ),
    ] = "bfloat16"
    """bfloat16 is the safer one; a GPU that lacks it computes in float16 by itself, and a CPU never does."""

    trust_remote_code: Annotated[
        bool, Knob(title="Run code from the model's repository", group="Backbone", level="expert")
    ] = False
    """Runs Python code that the backbone's authors wrote, with all your rights. Turn it on only for authors you
    trust."""

    huggingface_branch: Annotated[str, Knob(title="Revision", group="Backbone", level="expert")] = "main"
    """Branch, tag or commit of the backbone on the Hub."""

    number_of_workers: Annotated[int, Field(ge=0, le=64), Knob(title="Loader processes", level="expert")] = 0
    """Processes that prepare batches. 0 prepares them in the trainer, which is enough for tokenised data."""

    compile_model: Annotated[bool, Knob(title="Compile the model", level="expert")] = False
    """Lets torch compile the backbone's layers for training, in the first steps, which takes minutes: it pays off in
    long experiments only. Needs a C++ compiler on this machine. Scoring and generating are not compiled."""

    distributed: Annotated[Literal["auto", "ddp", "fsdp"], Knob(title="Several devices", level="expert")] = "auto"
    """How one experiment uses several devices: a whole model on each (DDP), or the model split over all of them (FSDP).
    "auto" splits it only when it does not fit one device. Torch does both itself, so there is no DeepSpeed here."""
