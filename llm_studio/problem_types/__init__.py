"""Which sections, formats, losses and metrics belong together: one file per problem type."""

from llm_studio.problem_types.causal_lm import CAUSAL_LM
from llm_studio.problem_types.problem_type import ProblemType

PROBLEM_TYPES: tuple[ProblemType, ...] = (CAUSAL_LM,)

__all__ = ["CAUSAL_LM", "PROBLEM_TYPES", "ProblemType"]
