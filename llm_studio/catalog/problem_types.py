"""The kinds of task an experiment can have."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True)
class ProblemTypeEntry:
    """One member; `problem_type` ("module:NAME") holds which sections, losses and metrics belong together."""

    name: str
    title: str
    help: str
    problem_type: str


PROBLEM_TYPES: tuple[ProblemTypeEntry, ...] = (
    ProblemTypeEntry(
        "causal_lm",
        "Causal language modelling",
        "Learn to answer: prompts and conversations in, text out.",
        "llm_studio.problem_types.causal_lm:CAUSAL_LM",
    ),
)


def defaults_of(name: str) -> Mapping[str, object]:
    """The defaults that a problem type overrides by value, by path; empty when there is no such type."""
    entry = {one.name: one for one in PROBLEM_TYPES}.get(name)
    if entry is None:
        return {}
    module, _, attribute = entry.problem_type.partition(":")
    defaults: Mapping[str, object] = getattr(import_module(module), attribute).defaults
    return defaults
