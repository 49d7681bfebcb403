"""Room in a backbone's vocabulary for markers that have become tokens, and which of its rows are then to be learned."""

from collections.abc import Sequence
from typing import Any

import torch

from llm_studio.errors import UserError
from llm_studio.tokens.markers import NewToken


def make_room(model: Any, tokenizer: Any, new: Sequence[NewToken] = ()) -> None:
    """As many embeddings as the tokenizer has tokens, at least. A new token begins as the mean of the tokens that its
    text was before, in the embeddings and in the output head; it is the same whenever the backbone is loaded."""
    needed = 1 + max((token.number for token in new), default=len(tokenizer) - 1)
    embeddings = model.get_input_embeddings()
    if needed > len(embeddings.weight):
        model.resize_token_embeddings(needed, mean_resizing=False)
    tables = [model.get_input_embeddings().weight]
    head = model.get_output_embeddings()
    if head is not None and head.weight is not tables[0]:
        tables.append(head.weight)
    with torch.no_grad():
        for table in tables:
            for token in new:
                table[token.number] = table[list(token.pieces)].float().mean(0).to(table.dtype)


def rows_to_learn(
    model: Any, new: Sequence[NewToken], *, whole: Sequence[str], adapted: Sequence[str]
) -> dict[str, list[int]] | None:
    """For PEFT: the new tokens' rows of the embeddings and of an output head of its own; None when there are none.

    whole: layers that are trained whole, and so learn these rows anyway. adapted: names of layers with an adapter.

    Raises:
        UserError: one of these layers is to carry an adapter, which would not hold the rows.
    """
    if not new:
        return None
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    parts = [embeddings]
    if head is not None and head.weight is not embeddings.weight:
        parts.append(head)
    names = {id(module): name for name, module in model.named_modules()}
    rows = {}
    for name in (names[id(part)] for part in parts):
        if any(name == one or name.endswith(f".{one}") for one in adapted):
            raise UserError(
                f"New tokens are learned beside the adapter, so {name} cannot carry one.",
                where="training.lora_target_modules",
                fix="Leave it out, or turn markers as tokens off.",
            )
        if name not in whole:
            rows[name.rpartition(".")[2]] = [token.number for token in new]
    return rows or None
