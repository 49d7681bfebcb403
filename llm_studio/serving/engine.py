"""One loaded model that answers conversations piece by piece, as tuned or as it was before tuning."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from transformers import StoppingCriteriaList

from llm_studio.data.types import Message
from llm_studio.errors import UserError
from llm_studio.modeling.devices import choose_device
from llm_studio.modeling.download import fetch, is_here, use_token
from llm_studio.modeling.loading import LoadedModel, checkpoint_of, experiment_config, load_backbone, load_experiment
from llm_studio.modeling.sampling import Sampling
from llm_studio.serving.pieces import Pieces, StopWhenSet
from llm_studio.serving.stop_texts import StopTexts
from llm_studio.store import Store

__all__ = ["ChatEngine", "Sampling", "Usage"]

ROLES = ("system", "user", "assistant", "tool")
Reporter = Callable[[str], None]


@dataclass
class Usage:
    """What an answer took; filled while it is made. finish_reason: "stop", "length" or "cancelled"."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    finish_reason: str = ""

    @property
    def tokens_per_second(self) -> float:
        """Generated tokens per second, reading of the prompt included."""
        return self.completion_tokens / self.seconds if self.seconds > 0 else 0.0


class ChatEngine:
    """A model with its tokenizer and chat template. One answer at a time; a second one waits for the first."""

    def __init__(self, loaded: LoadedModel, *, name: str) -> None:
        self.loaded = loaded
        self.name = name
        self._turn = threading.Lock()

    @classmethod
    def load(
        cls,
        store: Store,
        *,
        experiment_id: str,
        device: str = "auto",
        which: str = "best",
        report: Reporter = lambda words: None,
    ) -> Self:
        """Load an experiment's model.

        device: "auto" takes a GPU where there is one. which: "best" or "last"; "last" where there is no best.

        Raises:
            UserError: there is no checkpoint, or the backbone cannot be loaded.
        """
        record = store.experiments.get(experiment_id)
        folder = store.home.experiment(experiment_id)
        use_token(store.secrets.get("huggingface_token"))
        config = experiment_config(folder)
        if (checkpoint_of(folder, which) / "adapter_config.json").is_file():
            bring(config.llm_backbone, config.environment.huggingface_branch, report)
        use_token(store.secrets.get("huggingface_token"))
        return cls(
            load_experiment(folder, which=which, device=choose_device(device).value, report=report), name=record.name
        )

    @classmethod
    def load_untouched(cls, name: str, *, device: str = "auto", report: Reporter = lambda words: None) -> Self:
        """Load a backbone as it is.

        Raises:
            UserError: it cannot be loaded.
        """
        bring(name, "main", report)
        return cls(load_backbone(name, device=choose_device(device).value, report=report), name=name)

    @property
    def has_adapter(self) -> bool:
        """Whether the untouched backbone can be asked in this process."""
        return self.loaded.is_adapter

    @property
    def context_length(self) -> int | None:
        """Most tokens of conversation and answer together; None when the backbone names no limit."""
        length = getattr(self.loaded.model.config.get_text_config(), "max_position_embeddings", None)
        return int(length) if length else None

    @property
    def default_sampling(self) -> Sampling:
        """What the experiment's settings say about answers; the studio's defaults for an untouched backbone."""
        return Sampling.of(self.loaded.config.prediction)

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The token ids that the model reads: the conversation in the chat template, ready for an answer.

        Raises:
            UserError: a role is unknown, the conversation is empty, or the template refuses it.
        """
        return self.loaded.template.prompt_ids([_message(message) for message in messages])

    def check(self, messages: Sequence[Mapping[str, str]], *, adapter: bool = True) -> int:
        """The number of prompt tokens, once it is known that the conversation can be answered.

        Raises:
            UserError: it does not fit, is not a conversation, or there is no adapter to switch off.
        """
        if not adapter and not self.has_adapter:
            raise UserError(
                f"{self.name} was tuned in full, so its untouched backbone is another model.",
                where="adapter",
                fix="Load the backbone by its own name to compare.",
            )
        prompt_tokens = len(self.prompt_ids(messages))
        self._room(prompt_tokens)
        return prompt_tokens

    def stream(
        self,
        messages: Sequence[Mapping[str, str]],
        sampling: Sampling,
        *,
        adapter: bool = True,
        stopped: threading.Event | None = None,
        usage: Usage | None = None,
    ) -> Iterator[str]:
        """Pieces of the answer as they are made; setting `stopped`, or closing the iterator, ends it within a token.

        Raises:
            UserError: the conversation does not fit, memory ran out, or there is no adapter to switch off.
        """
        self.check(messages, adapter=adapter)
        usage = usage if usage is not None else Usage()
        prompt = self.prompt_ids(messages)
        room = self._room(len(prompt))
        usage.prompt_tokens = len(prompt)
        stopped = stopped or threading.Event()
        with self._turn:
            yield from self._answer(prompt, min(sampling.max_tokens, room), sampling, adapter, stopped, usage)

    def _room(self, prompt_tokens: int) -> int:
        """How many tokens are left for the answer."""
        length = self.context_length
        if length is None:
            return 1_000_000
        if prompt_tokens >= length:
            raise UserError(
                f"The conversation is {prompt_tokens:,} tokens long; this model reads at most {length:,}.",
                where="conversation",
                fix="Clear the chat, remember fewer turns, or shorten the prompt.",
            )
        return length - prompt_tokens

    def _answer(
        self, prompt: list[int], most: int, sampling: Sampling, adapter: bool, stopped: threading.Event, usage: Usage
    ) -> Iterator[str]:
        pieces = Pieces(self.loaded.tokenizer)
        cut = StopTexts((*sampling.stop, *self.loaded.template.stop_texts))
        fault: list[BaseException] = []

        def generate() -> None:
            try:
                self._generate(prompt, most, sampling, adapter, stopped, pieces)
            except BaseException as error:  # noqa: BLE001 - raised again below, in the thread that reads
                fault.append(error)
            finally:
                pieces.end()

        started = time.perf_counter()
        thread = threading.Thread(target=generate, name="generate", daemon=True)
        thread.start()
        try:
            for piece in pieces:
                usage.completion_tokens, usage.seconds = pieces.count, time.perf_counter() - started
                if text := cut.feed(piece):
                    yield text
                if cut.found:
                    break
            ended_by_user = stopped.is_set()
            if not cut.found and (text := cut.rest()):
                yield text
        finally:
            stopped.set()
            thread.join()
            usage.completion_tokens, usage.seconds = pieces.count, time.perf_counter() - started
        if fault:
            raise _plain(fault[0]) from fault[0]
        usage.finish_reason = "cancelled" if ended_by_user else "length" if pieces.count >= most else "stop"

    def _generate(
        self,
        prompt: list[int],
        most: int,
        sampling: Sampling,
        adapter: bool,
        stopped: threading.Event,
        pieces: Pieces,
    ) -> None:
        model = self.loaded.model
        ids = torch.tensor([prompt], device=model.device)
        if sampling.seed is not None:
            torch.manual_seed(sampling.seed)
        drawn: dict[str, Any] = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        if sampling.temperature > 0:
            drawn = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": sampling.top_k,
            }
        with torch.inference_mode(), contextlib.nullcontext() if adapter else model.disable_adapter():
            model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=most,
                repetition_penalty=sampling.repetition_penalty,
                eos_token_id=list(self.loaded.template.stop_ids),
                pad_token_id=self.loaded.template.pad_id,
                streamer=pieces,
                stopping_criteria=StoppingCriteriaList([StopWhenSet(stopped)]),
                **drawn,
            )


def bring(name: str, revision: str, report: Reporter) -> None:
    """Fetch a backbone that is no longer in the cache, saying how far it is.

    Raises:
        UserError: it cannot be fetched.
    """
    if not is_here(name, revision):
        fetch(name, revision=revision, total_bytes=0, report=report)


def _message(message: Mapping[str, str]) -> Message:
    role = message.get("role", "")
    if role not in ROLES:
        raise UserError(f"The role {role!r} is unknown.", where="messages", fix=f"Use one of: {', '.join(ROLES)}.")
    return Message(role, str(message.get("content", "")))  # type: ignore[arg-type]


def _plain(error: BaseException) -> BaseException:
    """The error in words for the user, where it is one they can do something about."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return UserError(
            "Memory ran out while answering.",
            where="conversation",
            fix="Clear the chat, allow fewer tokens, or load the model on the CPU.",
        )
    return error
