"""What every problem type must name: members of the catalog and settings that take its defaults."""

import pytest

from llm_studio.catalog.formats import FORMATS
from llm_studio.catalog.losses import LOSSES
from llm_studio.catalog.metrics import METRICS
from llm_studio.config import make_config
from llm_studio.problem_types import PROBLEM_TYPES, ProblemType


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES, ids=lambda one: one.name)
def test_names_members_of_the_catalog(problem_type: ProblemType) -> None:
    assert set(problem_type.formats) <= {entry.name for entry in FORMATS}
    assert set(problem_type.losses) <= {entry.name for entry in LOSSES}
    assert set(problem_type.metrics) <= {entry.name for entry in METRICS}


@pytest.mark.parametrize("problem_type", PROBLEM_TYPES, ids=lambda one: one.name)
def test_its_defaults_make_a_config(problem_type: ProblemType) -> None:
    config = make_config({}, problem_type=problem_type.name)
    assert config.problem_type == problem_type.name
    for path, value in problem_type.defaults.items():
        assert config.get(path) == value
    assert config.prediction.metric in problem_type.metrics
    assert config.training.loss_function in problem_type.losses
