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
        "Each row holds a whole conversation as a list of {role, content}, with tool calls where there are any.",
        "llm_studio.data.formats.messages",
    ),
    Format(
        "conversations",
        "Lists of from and value (ShareGPT)",
        "Each row holds a whole conversation as a list of {from, value}.",
        "llm_studio.data.formats.conversations",
    ),
    Format(
        "threads",
        "Threads of rows",
        "Each row is one exchange and names the row before it; a conversation is the chain from first to last row.",
        "llm_studio.data.formats.threads",
    ),
    Format(
        "preference",
        "Chosen and rejected answers",
        "Each row holds a prompt with a good answer and a bad one, or with one answer that is labelled good or bad.",
        "llm_studio.data.formats.preference",
    ),
    Format(
        "labelled",
        "Text and labels",
        "Each row is a text with one or several labels; the model learns to answer with the label.",
        "llm_studio.data.formats.labelled",
    ),
    Format(
        "text",
        "Plain text",
        "Each row is a document; all of it is learned, without a prompt and without chat markers.",
        "llm_studio.data.formats.text",
    ),
)
