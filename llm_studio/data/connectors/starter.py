"""Connector "starter": the sample data sets that come with the studio."""

from llm_studio.data.connectors import Source, SourceFile
from llm_studio.errors import UserError
from llm_studio.starter import SAMPLES
from llm_studio.store import Store


def find(store: Store, source: Source) -> SourceFile:
    """The file of a sample.

    Raises:
        UserError: there is no such sample, with those that there are.
    """
    samples = {sample.name: sample for sample in SAMPLES}
    name = str(source.get("name", ""))
    if name not in samples:
        raise UserError(f"There is no sample {name!r}.", where="sample", fix=f"Take one of: {', '.join(samples)}.")
    sample = samples[name]
    settings: dict[str, object] = {}
    if sample.answer_column:
        settings = {
            "layout": "instruction",
            "prompt_column": tuple(sample.prompt_columns),
            "answer_column": sample.answer_column,
        }
    return SourceFile(sample.path, sample.path.name, title=sample.title, settings=settings)
