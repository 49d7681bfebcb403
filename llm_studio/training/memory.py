"""What to say when a device has no memory left for a micro-batch."""

from llm_studio.errors import UserError


class OutOfMemoryError(UserError):
    """One row alone does not fit into the device's memory."""

    def __init__(self, device: str, tokens: int) -> None:
        super().__init__(
            f"{device} ran out of memory on a single row of {tokens:,} tokens.",
            where="tokenizer.max_length",
            fix="Lower the longest conversation, or load the backbone in int8 or int4; gradient checkpointing did not "
            "suffice.",
        )


class SharedOutOfMemoryError(UserError):
    """One of several processes ran out of memory; the others wait for it, so the step cannot be taken again here.

    rows: of a micro-batch; with fewer all processes may be started again from the last state.
    """

    def __init__(self, device: str, rows: int) -> None:
        self.device, self.rows = device, rows
        super().__init__(
            f"{device} ran out of memory on a micro-batch of {rows} rows.",
            where="training.batch_size",
            fix="Turn gradient checkpointing on, lower the longest conversation, or split the model over the devices.",
        )
