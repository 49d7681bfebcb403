"""How conversations become text: markers for backbones without a chat template, and what of it is learned."""

from typing import Annotated, Literal

from llm_studio.config.knob import Knob, Section, when


class Dataset(Section):
    """Prompt and answer text of the experiment; columns and split belong to the data set itself."""

    chat_template: Annotated[
        Literal["backbone", "markers", "chatml", "llama3", "gemma"],
        Knob(title="Chat template", group="Template", level="advanced"),
    ] = "backbone"
    """Take the backbone's own chat template, the markers below, or a well-known format: ChatML, Llama 3 or Gemma. A
    backbone without a template always gets the markers, unless a format is chosen. Special strings of a format that the
    backbone does not know as single tokens work as plain text."""

    fold_system: Annotated[
        bool, Knob(title="Fold system messages into prompts", group="Template", level="advanced")
    ] = False
    """Puts each system message, with a blank line, in front of the user message after it. For chat templates that know
    no system role, such as Gemma's."""

    merge_turns: Annotated[
        bool, Knob(title="Join messages of one role in a row", group="Template", level="advanced")
    ] = False
    """Joins neighbouring messages of the same role with a blank line. For chat templates that want user and assistant
    to take turns. Answers that are learned are not joined with answers that are not."""

    text_system_start: Annotated[
        str, Knob(title="Text before the system message", group="Template", level="expert")
    ] = "<|system|>"
    """Stands in front of each system message when markers are used."""

    text_prompt_start: Annotated[str, Knob(title="Text before the prompt", group="Template", level="expert")] = (
        "<|prompt|>"
    )
    """Stands in front of each prompt when markers are used."""

    text_answer_separator: Annotated[str, Knob(title="Text before the answer", group="Template", level="expert")] = (
        "<|answer|>"
    )
    """Stands between prompt and answer when markers are used."""

    add_eos_token_to_system: Annotated[
        bool, Knob(title="End token after the system message", group="Template", level="expert")
    ] = True
    """Adds the end-of-text token after system messages when markers are used."""

    add_eos_token_to_prompt: Annotated[
        bool, Knob(title="End token after the prompt", group="Template", level="expert")
    ] = True
    """Adds the end-of-text token after prompts when markers are used."""

    add_eos_token_to_answer: Annotated[
        bool, Knob(title="End token after the answer", group="Template", level="expert")
    ] = True
    """Adds the end-of-text token after answers when markers are used. Without it the model does not learn to
    stop."""

    mask_prompt_labels: Annotated[bool, Knob(title="Learn answers only", group="Learned text", level="advanced")] = True
    """Only answers count in the loss. Turn it off to let the model learn prompts as well, as in continued
    pretraining."""

    only_last_answer: Annotated[
        bool,
        Knob(
            title="Learn the last answer only",
            group="Learned text",
            level="expert",
            visible_when=when(mask_prompt_labels=True),
        ),
    ] = False
    """In a conversation of several turns only the final answer counts in the loss."""

    limit_chained_samples: Annotated[
        bool, Knob(title="Full conversations only", group="Threads", level="expert", status="coming")
    ] = False
    """For threads by parent id: only complete conversations become samples, not every prefix."""

    personalize: Annotated[bool, Knob(title="Personalize", group="Assistant name", level="expert", status="coming")] = (
        False
    )
    """Replaces the names of well-known assistants in the data by your own."""

    chatbot_name: Annotated[
        str,
        Knob(
            title="Assistant name",
            group="Assistant name",
            level="expert",
            status="coming",
            visible_when=when(personalize=True),
        ),
    ] = "Studio"
    """The name that replaces other assistants' names."""

    chatbot_author: Annotated[
        str,
        Knob(
            title="Assistant maker",
            group="Assistant name",
            level="expert",
            status="coming",
            visible_when=when(personalize=True),
        ),
    ] = "LLM Studio"
    """The name that replaces other makers' names."""
