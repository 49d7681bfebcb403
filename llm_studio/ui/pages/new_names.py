"""Gives a new experiment a name of two words, so that nobody has to think of one."""

import secrets

FIRST = (
    "amber", "brave", "bright", "calm", "clear", "clever", "cosy", "crisp", "eager", "early", "fair", "fresh", "gentle",
    "golden", "green", "happy", "honest", "kind", "lively", "lucky", "mellow", "mild", "neat", "noble", "patient",
    "plain", "quick", "quiet", "ready", "silver", "smooth", "snowy", "soft", "steady", "sunny", "swift", "tidy", "warm",
    "wise", "young",
)  # fmt: skip
SECOND = (
    "badger", "beech", "birch", "brook", "cedar", "cliff", "clover", "comet", "cove", "crane", "dune", "falcon", "fern",
    "finch", "fjord", "harbor", "hazel", "heron", "hill", "island", "lake", "lark", "maple", "meadow", "moss", "oak",
    "orchard", "otter", "pebble", "pine", "raven", "reed", "ridge", "river", "robin", "sparrow", "spruce", "summit",
    "valley", "willow",
)  # fmt: skip


def two_words() -> str:
    """ "quiet-otter"."""
    return f"{secrets.choice(FIRST)}-{secrets.choice(SECOND)}"
