"""The rows of an experiment as tokens, to learn from and to be scored, with what there is to say about them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from llm_studio.config import ExperimentConfig
from llm_studio.data import open_dataset
from llm_studio.data.dataset import Dataset, Part
from llm_studio.errors import Cancelled, UserError
from llm_studio.evaluation.scoring import Question, make_questions
from llm_studio.modeling.loading import load_tokenizer
from llm_studio.store import Store
from llm_studio.tokens.making import make_template
from llm_studio.tokens.stored import StoredSamples, tokenise
from llm_studio.tokens.template import Template
from llm_studio.training.augmentation import Augmentation, changes_turns, is_wanted
from llm_studio.worker.job_reporting import Teller


@dataclass(frozen=True)
class Prepared:
    """Everything that does not need the backbone's weights. mean_tokens: of one row."""

    config: ExperimentConfig
    dataset: Dataset
    tokenizer: Any
    template: Template
    samples: StoredSamples
    mean_tokens: float


def prepare(store: Store, dataset_id: str, config: ExperimentConfig, reporter: Teller) -> Prepared:
    """Read the rows and turn them into tokens.

    Raises:
        UserError: the template refuses a row, or no row has anything to learn.
    """
    reporter.phase("Reading the data set")
    dataset = open_dataset(store.home.dataset(dataset_id))
    reporter.phase("Turning text into tokens")
    tokenizer = load_tokenizer(config)
    template = make_template(tokenizer, config)
    reporter.note(f"Chat template: {template.source}, since {template.reason}.")
    if words := marker_words(template, config):
        reporter.note(words)
    samples = tokenised_rows(store, template, dataset, parts_of(config), reporter)
    counts = samples.counts()
    learned = counts.rows - len(counts.dropped) - len(counts.unlearned)
    reporter.note(
        f"{learned:,} rows to learn from: {counts.tokens:,} tokens, of which {counts.learned_tokens:,} are learned."
    )
    for words in counts.sentences(template.max_length):
        reporter.note(words)
    counts.refuse_nothing(template.max_length, template.truncation)
    return Prepared(config, dataset, tokenizer, template, samples.learned(), counts.tokens / max(1, counts.rows))


def marker_words(template: Template, config: ExperimentConfig) -> str:
    """What becomes of markers as tokens; empty where nobody asked for them."""
    if not config.tokenizer.add_prompt_answer_tokens:
        return ""
    if template.source != "markers":
        return "Markers as tokens has no effect: the chat template is not made of markers."
    return f"{len(template.new_tokens)} markers are new tokens, whose embeddings are learned."


def augmentation_of(prepared: Prepared) -> Augmentation | None:
    """What changes rows by chance, None when nothing does; it holds the conversations when it changes their turns."""
    config = prepared.config
    if not is_wanted(config):
        return None
    if not changes_turns(config):
        return Augmentation(config, prepared.template)
    rows = [one for part in parts_of(config) for one in prepared.dataset.iter_conversations(part)]
    return Augmentation(config, prepared.template, [rows[place] for place in prepared.samples.places])


def parts_of(config: ExperimentConfig) -> tuple[Part, ...]:
    """The parts of the data set that are learned."""
    return ("train", "validation") if config.training.train_validation_data else ("train",)


def questions_of(store: Store, prepared: Prepared, reporter: Teller) -> list[Question]:
    """The validation rows to score: every one that ends with an answer, however long it is.

    Raises:
        UserError: there is none.
    """
    template, conversations = prepared.template, prepared.dataset.conversations("validation")
    samples = tokenised_rows(store, template.for_scoring(), prepared.dataset, ("validation",), reporter)
    for words in samples.counts().scoring_sentences(template.max_length):
        reporter.note(words)
    questions = make_questions(template, conversations, samples)
    if not questions:
        raise UserError("No validation row ends with an answer.", where="data set", fix="Change its columns or split.")
    if len(questions) < len(conversations):
        left = len(conversations) - len(questions)
        reporter.note(f"{left:,} of {len(conversations):,} validation rows hold no answer and cannot be scored.")
    return questions


def tokenised_rows(
    store: Store, template: Template, dataset: Dataset, parts: Sequence[Part], reporter: Teller
) -> StoredSamples:
    """The rows as tokens, from the cache where an earlier experiment left them.

    Raises:
        UserError: the template refuses a row. Cancelled: the user asked to stop.
    """

    def tell(done: int, total: int) -> None:
        if reporter.should_stop():
            raise Cancelled
        reporter.detail(f"Turning text into tokens: {done:,} of {total:,} rows")

    found = tokenise(store.home.cache / "tokens", template, dataset, parts, tell)
    if found.known:
        reporter.note(f"The tokens of the {' and '.join(parts)} rows are known from before.")
    return found.samples


def check_vocabulary(model: Any, samples: StoredSamples, name: str) -> None:
    """Refuse a tokenizer that knows more tokens than the backbone.

    Raises:
        UserError: it does.
    """
    known = len(model.get_input_embeddings().weight)
    highest = samples.highest_id
    if highest >= known:
        raise UserError(
            f"The tokenizer gives token {highest}, but the backbone knows only {known:,} tokens.",
            where=f"backbone {name}",
            fix="Take a backbone whose tokenizer belongs to it.",
        )
