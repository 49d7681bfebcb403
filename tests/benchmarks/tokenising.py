"""How fast rows become tokens with a template and labels, against the tokenizer alone on the same text."""

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

TIMES = 3
THREADS = 2
DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "gsm8k_train.jsonl"


def run() -> dict[str, object]:
    """Rows a second of each contestant, in turns; the text is rendered beforehand only for the tokenizer alone."""
    os.environ["RAYON_NUM_THREADS"] = str(THREADS)  # read when the tokenizer first uses its threads
    from transformers import AutoTokenizer

    from llm_studio.config import make_config
    from llm_studio.data.types import Conversation, Message
    from llm_studio.starter import BACKBONE
    from llm_studio.tokens.encoding import all_threads
    from llm_studio.tokens.making import make_template

    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    conversations = [
        Conversation(number, (Message("user", row["question"]), Message("assistant", row["answer"], True)))
        for number, row in enumerate(rows)
    ]
    template = make_template(AutoTokenizer.from_pretrained(str(BACKBONE)), make_config({"tokenizer.max_length": 4096}))
    texts = [template.text_of(one) for one in conversations]
    backend = template.tokenizer.backend_tokenizer

    def bare() -> list[list[int]]:
        with all_threads():
            return [encoding.ids for encoding in backend.encode_batch(texts, add_special_tokens=False)]

    contestants: dict[str, Callable[[], list[Any]]] = {
        "the tokenizer alone": bare,
        "template and ids": lambda: template.ids_many(conversations),
        "template, ids and labels": lambda: template.encode_many(conversations),
        "one row at a time": lambda: [template.encode(one) for one in conversations],
    }
    expected = bare()
    assert template.ids_many(conversations) == expected
    assert [list(sample.input_ids) for sample in template.encode_many(conversations)] == expected
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(TIMES):
        for name, contestant in contestants.items():
            began = time.perf_counter()
            contestant()
            seconds[name].append(time.perf_counter() - began)
    medians = {name: len(rows) / statistics.median(values) for name, values in seconds.items()}
    print(f"{len(rows):,} rows of GSM8K, {sum(map(len, expected)):,} tokens, {THREADS} threads, {TIMES} times in turns")
    for name, rate in medians.items():
        print(f"  {name}: median {rate:,.0f} rows/s, {100 * rate / medians['the tokenizer alone']:.0f} % of it alone")
    return {
        "rows_per_second": {name: round(rate) for name, rate in medians.items()},
        "share_of_the_tokenizer_alone": {name: rate / medians["the tokenizer alone"] for name, rate in medians.items()},
        "seconds": seconds,
    }
