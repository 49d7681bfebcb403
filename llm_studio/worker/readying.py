"""What a process sets before torch is loaded, the same for an experiment and for a check of one."""

from llm_studio.modeling.allocator import let_segments_grow
from llm_studio.modeling.heap import keep_few_kernels
from llm_studio.modeling.threads import share_cores


def ready() -> None:
    """Cores, kernels and memory, where the environment does not say otherwise."""
    share_cores()
    keep_few_kernels()
    let_segments_grow()
