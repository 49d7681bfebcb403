"""What a user should know about one conversation as tokens, in words."""

from collections.abc import Iterator

from llm_studio.data.types import Conversation
from llm_studio.tokens.fingerprints import DATE
from llm_studio.tokens.sample import Sample
from llm_studio.tokens.template import Template
from llm_studio.tokens.templates import TEMPLATES, unknown_strings


def warnings_for(
    template: Template,
    conversation: Conversation,
    sample: Sample,
    *,
    total_tokens: int,
    learns_an_end: bool,
    complete: bool,
) -> Iterator[str]:
    """Sentences, the gravest first; none for a row that is learned as it stands."""
    yield from _length(template, sample, total_tokens)
    if not complete:
        yield "The template writes the shortened conversation otherwise; only what is kept of it is shown."
    if sample.outcome != "dropped":
        yield from _learning(template, conversation, sample, learns_an_end)
    yield from _texts(template, conversation)
    if DATE in str(template.tokenizer.chat_template):
        yield "The template writes today's date into the text, so the tokens differ from day to day."


def _length(template: Template, sample: Sample, total: int) -> Iterator[str]:
    long = f"{total:,} tokens, longer than the {template.max_length:,} of tokenizer.max_length"
    words = {
        "dropped": f"This row has {long}, and is left out. Raise it, or set tokenizer.truncation to cut.",
        "shortened": f"This row has {long}: its oldest turns, {sample.cut_tokens:,} tokens, are left out.",
        "cut": f"This row has {long}: {sample.cut_tokens:,} of them are cut off.",
    }
    if sample.outcome in words:
        yield words[sample.outcome]


def _learning(template: Template, conversation: Conversation, sample: Sample, learns_an_end: bool) -> Iterator[str]:
    if not sample.learned_tokens:
        yield "Nothing in this row is learned: it has no answer, or the answer was cut away. It is left out."
    elif not learns_an_end:
        if conversation.plain and sample.truncated:
            why = "the end of the document was cut off; raise tokenizer.max_length"
        elif template.end_of_turn:
            why = "the end of its answer was cut off; set tokenizer.truncation to oldest_turns"
        elif template.source == "markers":
            why = "the markers put none behind answers; turn dataset.add_eos_token_to_answer on"
        else:
            why = "the chat template puts none behind answers; choose another dataset.chat_template"
        yield f"No end of turn is learned in this row, so the model does not learn to stop: {why}."


def _texts(template: Template, conversation: Conversation) -> Iterator[str]:
    named = TEMPLATES.get(template.source)
    if named is not None and (unknown := unknown_strings(template.tokenizer, named.strings)):
        yield f"{', '.join(unknown)}: plain text for this backbone's tokenizer, of several tokens each."
    for number, message in enumerate(conversation.messages, 1):
        held = sorted(text for text in template.special_texts if text in message.content)
        if held:
            yield (
                f"The text of message {number} ({message.role}) holds {', '.join(held[:3])}, which the model reads as "
                "a mark of the chat, not as text."
            )
        if message.role == "assistant" and message.learned and not message.content.strip():
            yield f"The answer in message {number} is empty: only its end of turn is learned."
