"""Settings of a data set: layout, columns, files and split. They belong to the data set, not to an experiment."""

from typing import Annotated, Literal

from pydantic import Field

from llm_studio.catalog.formats import FORMATS
from llm_studio.config.knob import Knob, Section, unless, when


class DatasetSettings(Section):
    """Edited on the data set's pages; an experiment records their fingerprint. An empty column name means none."""

    layout: Annotated[
        str, Knob(title="Layout", group="Columns", level="basic", choices=tuple(entry.name for entry in FORMATS))
    ] = "instruction"
    """How a row holds what is learned: columns for prompt and answer, lists of messages, threads, or plain text."""

    messages_column: Annotated[
        str,
        Knob(
            title="Messages column",
            group="Columns",
            level="basic",
            visible_when=when(layout=("messages", "conversations", "preference")),
        ),
    ] = ""
    """Column that holds lists of {role, content} or {from, value}. With chosen and rejected answers: the conversation
    before them, if it is such a list."""

    text_column: Annotated[
        str, Knob(title="Text column", group="Columns", level="basic", visible_when=when(layout="text"))
    ] = ""
    """Column that holds the documents."""

    prompt_column: Annotated[
        tuple[str, ...],
        Knob(
            title="Prompt columns",
            group="Columns",
            level="basic",
            visible_when=when(layout=("instruction", "threads", "preference", "labelled")),
        ),
    ] = ()
    """What the user says. Several columns are joined in this order; empty ones leave no gap."""

    prompt_column_separator: Annotated[
        str,
        Knob(
            title="Between prompt columns",
            group="Columns",
            level="advanced",
            visible_when=when(layout=("instruction", "threads", "preference", "labelled")),
        ),
    ] = "\n\n"
    """Text between several prompt columns."""

    answer_column: Annotated[
        str,
        Knob(
            title="Answer column",
            group="Columns",
            level="basic",
            visible_when=when(layout=("instruction", "threads", "preference")),
        ),
    ] = ""
    """What the model shall learn to answer; of chosen and rejected answers the chosen one."""

    rejected_answer_column: Annotated[
        str,
        Knob(title="Rejected answer column", group="Columns", level="basic", visible_when=when(layout="preference")),
    ] = ""
    """The answer that the chosen one was preferred to. It is kept for preference training and not learned."""

    wanted_column: Annotated[
        str, Knob(title="Wanted column", group="Columns", level="advanced", visible_when=when(layout="preference"))
    ] = ""
    """For single answers that are labelled good or bad (KTO): true or false. Only answers with true are learned."""

    label_column: Annotated[
        tuple[str, ...],
        Knob(title="Label columns", group="Columns", level="basic", visible_when=when(layout="labelled")),
    ] = ()
    """What the model shall answer: the label's text. Several columns become one JSON object, in this order."""

    system_column: Annotated[
        str,
        Knob(
            title="System column",
            group="Columns",
            level="advanced",
            visible_when=when(layout=("instruction", "conversations", "threads", "preference", "labelled")),
        ),
    ] = ""
    """Instruction that stands before the conversation; none if your data has no such column."""

    tools_column: Annotated[
        str,
        Knob(
            title="Tools column",
            group="Columns",
            level="advanced",
            visible_when=when(layout=("messages", "conversations")),
        ),
    ] = ""
    """Column that holds the tools the model may call, as a JSON list of schemas; none if your data has no tools."""

    id_column: Annotated[
        str, Knob(title="Id column", group="Columns", level="basic", visible_when=when(layout="threads"))
    ] = ""
    """For threads: the id of the row."""

    parent_id_column: Annotated[
        str, Knob(title="Parent id column", group="Columns", level="basic", visible_when=when(layout="threads"))
    ] = ""
    """For threads: the id of the row before this one; empty in the first row of a thread."""

    train_dataframe: Annotated[str, Knob(title="Data file", group="Files", level="advanced")] = ""
    """The file that was imported."""

    validation_strategy: Annotated[
        Literal["automatic", "custom", "column"], Knob(title="Validation rows", group="Split", level="basic")
    ] = "automatic"
    """Hold out rows of the data, take a validation file of your own, or the rows that a column marks. Scores are only
    worth something on rows not learned."""

    validation_dataframe: Annotated[
        str,
        Knob(title="Validation file", group="Files", level="basic", visible_when=when(validation_strategy="custom")),
    ] = ""
    """Your own validation file, with the same columns."""

    validation_size: Annotated[
        float,
        Field(ge=0, le=1e9),
        Knob(
            title="Rows to hold out",
            group="Split",
            level="basic",
            step=0.01,
            visible_when=when(validation_strategy="automatic"),
        ),
    ] = 0.0
    """Below 1 a share, from 1 on a number of rows; 0 chooses 10 %, at most 200 rows and at least 50 where there are
    enough. Fewer than 50 make scores rough."""

    split_column: Annotated[
        str,
        Knob(
            title="Column with the part", group="Split", level="basic", visible_when=when(validation_strategy="column")
        ),
    ] = ""
    """Its values are train, validation or test (also valid, val, dev, eval); rows without a value are learned from."""

    test_size: Annotated[
        float,
        Field(ge=0, le=1e9),
        Knob(
            title="Rows to keep for a last test",
            group="Split",
            level="advanced",
            step=0.01,
            visible_when=when(validation_strategy="automatic"),
        ),
    ] = 0.0
    """Rows that neither training nor choosing a checkpoint ever looks at; 0 keeps none. Below 1 a share, from 1 on a
    number of rows. They can be downloaded from the data set's page."""

    near_duplicates: Annotated[
        Literal["automatic", "always", "never"],
        Knob(
            title="Near-duplicates on one side",
            group="Split",
            level="advanced",
            visible_when=when(validation_strategy="automatic"),
        ),
    ] = "automatic"
    """Rows that are nearly the same are never learned from and scored on at once. Automatic looks for them in up to
    200,000 rows; a million take minutes."""

    stratify: Annotated[
        Literal["automatic", "none", "length", "column"],
        Knob(
            title="Same mixture on both sides",
            group="Split",
            level="advanced",
            visible_when=when(validation_strategy="automatic"),
        ),
    ] = "automatic"
    """Validation rows get the same mixture of labels or lengths as the others. Automatic does so by label for labelled
    text, and not otherwise."""

    stratify_column: Annotated[
        str, Knob(title="Mixture of the column", group="Split", level="advanced", visible_when=when(stratify="column"))
    ] = ""
    """Column whose values are to be mixed alike on both sides; it may have at most 100 different values."""

    split_seed: Annotated[
        int,
        Field(ge=0, le=2**31 - 1),
        Knob(
            title="Split number",
            group="Split",
            level="expert",
            step=1,
            visible_when=when(validation_strategy="automatic"),
        ),
    ] = 0
    """Another number chooses other rows to hold out, always the same ones for the same number."""

    group_column: Annotated[
        str,
        Knob(
            title="Keep together by",
            group="Split",
            level="advanced",
            visible_when=when(validation_strategy="automatic"),
        ),
    ] = ""
    """Rows with the same value here are never on both sides of the split, such as a document's or a person's id."""

    data_sample: Annotated[
        float, Field(gt=0, le=1), Knob(title="Share of the data to use", group="Split", level="advanced", step=0.01)
    ] = 1.0
    """Use only this share of the rows, for a quick trial."""

    data_sample_choice: Annotated[
        tuple[Literal["Train", "Validation"], ...],
        Knob(
            title="Sample from",
            group="Split",
            level="expert",
            visible_when=unless(data_sample=1.0),
            choices=("Train", "Validation"),
        ),
    ] = ("Train", "Validation")
    """Which part is sampled."""
