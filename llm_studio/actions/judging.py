"""The judge's endpoint: where its address and key are kept, what an experiment with a judge needs, and a trial."""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from llm_studio.config import ExperimentConfig, Finding
from llm_studio.errors import UserError
from llm_studio.evaluation.judge import METRIC, Judge, identity, refused
from llm_studio.evaluation.judge_client import CallFailed, Endpoint, JudgeClient, Patience
from llm_studio.store import Store
from llm_studio.store.secrets import from_environment

ADDRESS, KEY = "judge_address", "judge_key"
DEFAULT_ADDRESS = "https://api.openai.com/v1"
TRIAL_PATIENCE = Patience(call_seconds=5.0, pauses=())
"""For the button: who waits for a page is told soon."""


def endpoint_of(store: Store) -> Endpoint:
    """Where answers are judged: the environment wins, then what Settings keeps.

    Raises:
        UserError: the address is none.
    """
    return Endpoint(checked_address(address_of(store)), store.secrets.get(KEY) or "")


def address_of(store: Store) -> str:
    """The address as it was given."""
    return from_environment(ADDRESS) or str(store.preferences.get(ADDRESS, "")) or DEFAULT_ADDRESS


def address_is_fixed() -> bool:
    """Whether the address comes from the environment, so that it cannot be changed here."""
    return from_environment(ADDRESS) is not None


def checked_address(typed: str) -> str:
    """A base address without what clients often add to it.

    Raises:
        UserError: it is no address of http or https, or holds a password or a query.
    """
    text = re.sub(r"/(chat/)?completions/?$", "", typed.strip()).rstrip("/")
    try:
        parts = urlsplit(text)
        fits = parts.scheme in ("http", "https") and parts.hostname and (parts.port or True)
    except ValueError:
        fits = False
    if not fits or any(not "!" <= character <= "~" for character in text):
        raise UserError(
            f"{typed.strip()[:200]!r} is no address of an endpoint.",
            where="Judge, Address",
            fix=f"Write it as {DEFAULT_ADDRESS} or http://localhost:8000/v1.",
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise UserError(
            "The address holds a password or a query.", where="Judge, Address", fix="Give the key in its own field."
        )
    return text


def judge_of(store: Store, config: ExperimentConfig) -> Judge | None:
    """The judge of an experiment; None when its metric needs none.

    Raises:
        UserError: the address of its endpoint is none.
    """
    if config.prediction.metric != METRIC:
        return None
    prediction = config.prediction
    return Judge(endpoint_of(store), prediction.metric_gpt_model.strip(), prediction.metric_gpt_template)


def judge_identity(store: Store, config: ExperimentConfig) -> str:
    """Changes with all that shapes a judge's grades; empty where nobody judges."""
    prediction = config.prediction
    if prediction.metric != METRIC:
        return ""
    return identity(address_of(store), prediction.metric_gpt_model, prediction.metric_gpt_template)


def judge_findings(store: Store, config: ExperimentConfig) -> Iterator[Finding]:
    """What stands in the way of judging, and where the user's texts go; asks nobody."""
    if config.prediction.metric != METRIC:
        return
    path = "prediction.metric"
    try:
        endpoint = endpoint_of(store)
    except UserError as error:
        yield Finding("error", path, error.what, error.fix)
        return
    if endpoint.url == DEFAULT_ADDRESS and not endpoint.key:
        what = f"The judge at {endpoint.host} needs a key, and none is set."
        fix = "Set it or another address under Settings, or choose another metric."
        yield Finding("error", path, what, fix)
    elif not endpoint.is_here:
        what = f"At each evaluation questions, right answers and the model's answers are sent to {endpoint.host}."
        yield Finding("note", path, what)


def try_endpoint(store: Store) -> str:
    """Asks the endpoint for its models and says what it answered.

    Raises:
        UserError: it does not answer, or refuses the key.
    """
    endpoint = endpoint_of(store)
    try:
        models = JudgeClient(endpoint, TRIAL_PATIENCE).models()
    except CallFailed as failure:
        raise refused(endpoint, failure) from failure
    if not models:
        return f"{endpoint.host} answers, but offers no model."
    shown = ", ".join(models[:5])
    more = f" and {len(models) - 5:,} more" if len(models) > 5 else ""
    return f"{endpoint.host} answers. Models: {shown}{more}."
