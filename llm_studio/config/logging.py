"""What is recorded of an experiment, and where."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.config.knob import Knob, Section, when


class Logging(Section):
    """Charts are always written; trackers are coming."""

    log_every_steps: Annotated[int, Field(ge=1, le=1000), Knob(title="Chart every", level="expert", unit="steps")] = 1
    """Points of the training charts are written every so many steps."""

    log_step_size: Annotated[
        Literal["absolute", "relative"], Knob(title="Axis of the charts", level="expert", status="coming")
    ] = "absolute"
    """Steps, or the share of the experiment."""

    log_all_ranks: Annotated[bool, Knob(title="Log every process", level="expert")] = True
    """With several devices: keep the log of each process (log-1.txt and so on) beside log.txt. Off removes them once
    the experiment has ended well."""

    logger: Annotated[Literal["None", "W&B"], Knob(title="Tracker", level="expert", status="coming")] = "None"
    """Sends charts to an outside tracker as well."""

    wandb_project: Annotated[
        str, Knob(title="W&B project", level="expert", status="coming", visible_when=when(logger="W&B"))
    ] = ""
    """Project at the tracker."""

    wandb_entity: Annotated[
        str, Knob(title="W&B entity", level="expert", status="coming", visible_when=when(logger="W&B"))
    ] = ""
    """Account or team at the tracker."""
