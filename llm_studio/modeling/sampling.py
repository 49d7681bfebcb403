"""How an answer is drawn: the settings of one answer, checked; shared by page, model server and terminal."""

from dataclasses import dataclass, fields
from typing import Any

from llm_studio.config.prediction import MOST_STOPS, Prediction
from llm_studio.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Settings of one answer.

    temperature: >= 0, where 0 takes the likeliest token every time. top_p in (0, 1]; top_k >= 0 with 0 for no limit.
    max_tokens >= 1: the longest answer. repetition_penalty > 0, 1 for none. seed: None for another answer each time.
    stop: texts at which the answer ends; they are not part of it.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    max_tokens: int = 256
    repetition_penalty: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        checks = (
            ("temperature", self.temperature, 0.0 <= self.temperature <= 10.0, "from 0 to 10"),
            ("top_p", self.top_p, 0.0 < self.top_p <= 1.0, "above 0 and at most 1"),
            ("top_k", self.top_k, 0 <= self.top_k <= 1_000_000, "0 (no limit) or more"),
            ("max_tokens", self.max_tokens, 1 <= self.max_tokens <= 1_000_000, "1 or more"),
            ("repetition_penalty", self.repetition_penalty, 0.1 <= self.repetition_penalty <= 10.0, "from 0.1 to 10"),
            ("seed", self.seed, self.seed is None or 0 <= self.seed < 2**63, "0 or more"),
            ("stop", self.stop, len(self.stop) <= MOST_STOPS, f"at most {MOST_STOPS} texts"),
        )
        for name, value, good, range_ in checks:
            if not good:
                raise UserError(f"{name} is {value!r}.", where=name, fix=f"Give a value that is {range_}.")

    @classmethod
    def of(cls, prediction: Prediction) -> "Sampling":
        """What an experiment's settings say about answers."""
        return cls(
            temperature=prediction.temperature if prediction.do_sample else 0.0,
            top_p=prediction.top_p,
            top_k=prediction.top_k,
            max_tokens=prediction.max_length_inference,
            repetition_penalty=prediction.repetition_penalty,
            stop=prediction.stop_texts,
        )

    def as_dict(self) -> dict[str, Any]:
        """The settings that are set, for JSON."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: list(value) if name == "stop" else value for name, value in values.items() if value is not None}
