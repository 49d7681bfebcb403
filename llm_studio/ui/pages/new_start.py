"""Where a new experiment takes its weights from, when its page was opened from another one."""

from collections.abc import Iterator, Sequence

from h2o_wave import ui

from llm_studio.actions.starting_from import Offer, Start, offers, start_findings
from llm_studio.config import ExperimentConfig, Finding
from llm_studio.errors import UserError
from llm_studio.store import ExperimentRecord
from llm_studio.ui import build, words
from llm_studio.ui.page import Card, Context
from llm_studio.ui.pages.new_data import Data, Starts

FIELD = "start_from"
FROM_BACKBONE = "backbone"


def read(ctx: Context, source: ExperimentRecord | None) -> Starts:
    """What the source offers, and what is chosen of it; the backbone until something else is."""
    found = offers(ctx.store, source.id) if source is not None else ()
    wanted = str(ctx.draft.get(FIELD) or FROM_BACKBONE)
    chosen = next((one.start for one in found if key(one.start) == wanted), None)
    return Starts(source.name if source else "", found, chosen)


def key(start: Start) -> str:
    """The name of a choice."""
    return f"{start.what}/{start.which}"


def findings(ctx: Context, config: ExperimentConfig, start: Start | None) -> tuple[Finding, ...]:
    """What does not fit between these settings and the weights to start from."""
    if start is None:
        return ()
    try:
        return tuple(start_findings(ctx.store, config, start))
    except UserError as error:
        return (Finding("error", "Start from", error.what, error.fix),)


def cards(data: Data) -> Iterator[Card]:
    """The choice and what it means; nothing for an experiment that is not taken from a trained one."""
    starts = data.starts
    if not starts.offers or data.chosen is None:
        return
    backbone = str(data.chosen.form.values["llm_backbone"])
    choices = [ui.choice(FROM_BACKBONE, f"The backbone: {backbone}")]
    choices += [ui.choice(key(one.start), title(one, starts)) for one in starts.offers]
    yield build.form(
        "main",
        "start_card",
        [
            build.heading("Start from", hint="The weights that training begins with."),
            ui.choice_group(
                name=FIELD,
                value=key(starts.chosen) if starts.chosen else FROM_BACKBONE,
                choices=choices,
                trigger=True,
            ),
            build.paragraph(meaning(data), name="start_meaning", quiet=True),
        ],
    )


def title(offer: Offer, starts: Starts) -> str:
    """A choice in words: what, and which checkpoint where there are two."""
    if offer.start.what == "adapter":
        what = f"The adapter of {starts.name}"
    else:
        what = f"{starts.name} merged into the backbone" if offer.is_adapter else f"The weights of {starts.name}"
    return f"{what}{which(offer, starts.offers)}"


def which(offer: Offer, others: Sequence[Offer]) -> str:
    """ ", best (step 40)"; the step alone where there is one checkpoint only."""
    step = f"step {words.count(offer.origin.step)}" if offer.origin else ""
    if len({one.start.which for one in others}) == 1:
        return f" ({step})" if step else ""
    return f", {offer.start.which} checkpoint" + (f" ({step})" if step else "")


def meaning(data: Data) -> str:
    """What the choice does, in a sentence or two."""
    chosen, name = data.starts.chosen, data.starts.name
    if chosen is None:
        return f"Only the settings come from {name}; what it has learned does not."
    before = "The scores before tuning are then those of the weights it starts from."
    if chosen.what == "adapter":
        return f"The adapter of {name} is trained further: rank, alpha and layers stay as they are. {before}"
    size = f" ({words.size(4 * data.looked.facts.parameters)} at most)" if data.looked.facts else ""
    whole = "All weights of it" if any(not one.is_adapter for one in data.starts.offers) else "Backbone and adapter"
    return (
        f"{whole} become the backbone of the new experiment, which keeps a copy of it{size}. "
        f"Any adapter, or all weights, can be trained on that. {before}"
    )
