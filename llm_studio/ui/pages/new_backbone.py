"""Looks a chosen backbone up in the background, so that a slow Hub never holds the page up."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as StillRunning
from dataclasses import dataclass
from pathlib import Path

from llm_studio.config import BackboneFacts, ExperimentConfig
from llm_studio.data.connectors.local import allowed_folders
from llm_studio.errors import UserError
from llm_studio.modeling.backbones import check_backbone, forget_answers
from llm_studio.store import Store
from llm_studio.ui import words

PATIENCE_SECONDS = 0.3  # how long a page waits before it says that the backbone is looked up
MOST_KEPT = 200

Key = tuple[str, str, str | None, bool, tuple[Path, ...]]


@dataclass(frozen=True)
class Looked:
    """Facts, or what is wrong, or neither while it is being looked up."""

    facts: BackboneFacts | None = None
    problem: UserError | None = None

    @property
    def pending(self) -> bool:
        """Nothing is known yet."""
        return self.facts is None and self.problem is None

    @property
    def sentence(self) -> str:
        """What is known, in a line."""
        if self.facts is None:
            return ""
        source = {
            "starter": "Bundled: works without a network",
            "local": "A folder on this machine",
            "hub cache": "From the Hub, already on this machine",
            "hub": f"From the Hub, {words.size(self.facts.download_bytes)} to download at the start",
        }[self.facts.source]
        context = f"context {words.count(self.facts.context_length)} tokens" if self.facts.context_length else ""
        templates: dict[bool | None, str] = {True: "has a chat template", False: "no chat template: markers are used"}
        template = templates.get(self.facts.has_chat_template, "")
        size = f"{words.short_count(self.facts.parameters)} parameters"
        return " · ".join(part for part in (source, size, context, template) if part)


class Lookups:
    """One look-up per question; answers stay until they are forgotten.

    check: asks the machine and the Hub, as `check_backbone` does. patience_seconds: how long `ask` waits for an answer.
    """

    def __init__(
        self, check: Callable[..., BackboneFacts] = check_backbone, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._check = check
        self._patience_seconds = patience_seconds
        self._threads = ThreadPoolExecutor(max_workers=4, thread_name_prefix="backbone")
        self._kept: dict[Key, Future[BackboneFacts]] = {}
        self._lock = threading.Lock()

    def ask(self, store: Store, config: ExperimentConfig) -> Looked:
        """What is known of the backbone of a config; waits a moment for answers that come at once."""
        key = self._key(store, config)
        with self._lock:
            if key not in self._kept:
                if len(self._kept) >= MOST_KEPT:
                    self._kept.clear()
                self._kept[key] = self._threads.submit(self._look, key)
            future = self._kept[key]
        try:
            return Looked(facts=future.result(self._patience_seconds))
        except StillRunning:
            return Looked()
        except UserError as error:
            return Looked(problem=error)

    def forget(self) -> None:
        """Look everything up again: a token was added, the network is back."""
        forget_answers()
        with self._lock:
            self._kept = {key: future for key, future in self._kept.items() if not future.done()}

    def _key(self, store: Store, config: ExperimentConfig) -> Key:
        return (
            config.llm_backbone.strip(),
            config.environment.huggingface_branch,
            store.secrets.get("huggingface_token"),
            config.environment.trust_remote_code,
            allowed_folders(store),
        )

    def _look(self, key: Key) -> BackboneFacts:
        name, revision, token, trust, folders = key
        return self._check(name, revision=revision, token=token, trust_remote_code=trust, folders=folders)


LOOKUPS = Lookups()
