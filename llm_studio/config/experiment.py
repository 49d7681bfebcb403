"""The config of one experiment: everything a training needs to be repeated."""

from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import Field

from llm_studio.catalog.problem_types import PROBLEM_TYPES
from llm_studio.config.architecture import Architecture
from llm_studio.config.augmentation import Augmentation
from llm_studio.config.dataset import Dataset
from llm_studio.config.environment import Environment
from llm_studio.config.knob import Knob, Section
from llm_studio.config.logging import Logging
from llm_studio.config.prediction import Prediction
from llm_studio.config.tokenizer import Tokenizer
from llm_studio.config.training import Training

GENERAL = "general"


class ExperimentConfig(Section):
    """Frozen; `with_changes` makes another one. A path is "section.setting", or the bare name for the general
    ones."""

    experiment_name: Annotated[str, Field(max_length=80), Knob(title="Name", level="basic")] = "experiment"
    """Shown in lists and charts; it can be changed later."""

    problem_type: Annotated[
        str, Knob(title="Problem type", level="basic", choices=tuple(entry.name for entry in PROBLEM_TYPES))
    ] = "causal_lm"
    """The kind of task."""

    llm_backbone: Annotated[str, Knob(title="Backbone", level="basic")] = "starter"
    """The pretrained model that is tuned: the bundled starter, a local folder, or a name on the Hugging Face
    Hub."""

    dataset_id: Annotated[str, Knob(title="Data set", level="basic")] = ""
    """The data set to learn from; its columns and split are set on its own pages."""

    dataset: Dataset = Dataset()
    tokenizer: Tokenizer = Tokenizer()
    architecture: Architecture = Architecture()
    training: Training = Training()
    augmentation: Augmentation = Augmentation()
    prediction: Prediction = Prediction()
    environment: Environment = Environment()
    logging: Logging = Logging()

    def get(self, path: str) -> Any:
        """The value of a setting by path.

        Raises:
            KeyError: there is no such setting.
        """
        values = flatten(self)
        return values[path]

    def with_changes(self, changes: Mapping[str, object]) -> Self:
        """Another config with these settings, by path.

        Raises:
            SettingsError: names or values are wrong, all of them at once.
        """
        from llm_studio.config.making import validated

        return type(self).model_validate(validated(self, changes).model_dump())


def flatten(config: ExperimentConfig) -> dict[str, Any]:
    """Every setting by path, in the order of the declarations."""
    values: dict[str, Any] = {}
    for name in ExperimentConfig.model_fields:
        value = getattr(config, name)
        if isinstance(value, Section):
            values |= {f"{name}.{field}": getattr(value, field) for field in type(value).model_fields}
        else:
            values[name] = value
    return values
