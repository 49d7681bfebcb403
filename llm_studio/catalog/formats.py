"""The layouts a row of a data set may have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One member; `module` is imported when it is needed."""

    name: str
    title: str
    help: str
    module: str


FORMATS: tuple[Format, ...] = (
    Format(
        "instruction",
        "Prompt and answer columns",
        "Each row is one exchange: one or several prompt columns and an answer column.",
        "llm_studio.data.formats.instruction",
    ),
    Format(
        "messages",
        "Lists of messages",
        "Each row holds a whole conversation as a list of {role, content}.",
        "llm_studio.data.formats.messages",
    ),
)
