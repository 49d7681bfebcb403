"""What the health report of a data set looks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One check; `function` ("module:function") takes a Context and gives a Watch."""

    name: str
    title: str
    severity: str
    """The worst it may report: "note", "warning" or "stops"."""
    looks_for: str
    """Completes "No row …": what a data set without findings is free of."""
    function: str


HEALTH = "llm_studio.data.health"
CHECKS: tuple[Check, ...] = (
    Check("overlap", "Training rows that are scored", "stops", "is learned and scored", f"{HEALTH}.groups:overlap"),
    Check(
        "near_overlap",
        "Training rows nearly as scored",
        "warning",
        "is learned and scored in nearly the same words",
        f"{HEALTH}.near_rows:near_overlap",
    ),
    Check("duplicates", "Duplicates", "warning", "repeats another", f"{HEALTH}.groups:duplicates"),
    Check(
        "near_duplicates",
        "Near-duplicates",
        "warning",
        "is nearly the same as another",
        f"{HEALTH}.near_rows:near_duplicates",
    ),
    Check(
        "contradictions",
        "Contradicting answers",
        "warning",
        "answers the prompt of another row differently",
        f"{HEALTH}.groups:contradictions",
    ),
    Check("role_order", "Order of roles", "warning", "has its messages out of order", f"{HEALTH}.roles:role_order"),
    Check("empty_prompts", "Empty prompts", "warning", "has an empty prompt", f"{HEALTH}.texts:empty_prompts"),
    Check("short_answers", "Empty answers", "warning", "has an empty answer", f"{HEALTH}.texts:short_answers"),
    Check("cut_off", "Cut-off answers", "warning", "has an answer that breaks off", f"{HEALTH}.cut_off:cut_off"),
    Check("refusals", "Refusals", "warning", "refuses or speaks as an AI", f"{HEALTH}.refusals:refusals"),
    Check("languages", "Languages", "note", "is in another language", f"{HEALTH}.languages:languages"),
    Check("encoding", "Damaged text", "warning", "has damaged characters", f"{HEALTH}.encoding:encoding"),
    Check("personal_data", "Personal data", "warning", "holds personal data", f"{HEALTH}.private:personal_data"),
    Check("secrets", "Keys and tokens", "warning", "holds a key or token", f"{HEALTH}.private:secrets"),
    Check("labels", "Balance of labels", "stops", "has a rare label", f"{HEALTH}.labels:labels"),
    Check("white_space", "Outer white space", "note", "has white space around", f"{HEALTH}.texts:white_space"),
)
