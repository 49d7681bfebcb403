"""Tokens and keys: in the system's keyring where one works, else in a file of the owner alone; the environment wins.

They are never written to the database, a YAML file, a log or a page.
"""

import contextlib
import json
import os
import threading
from functools import cached_property
from typing import Any, Literal

from llm_studio.store.home import Home

SERVICE = "llm-studio"
OTHER_VARIABLES = {
    "huggingface_token": ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"),
    "azure_account": ("AZURE_STORAGE_ACCOUNT",),
    "azure_connection_string": ("AZURE_STORAGE_CONNECTION_STRING",),
    "azure_key": ("AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"),
    "judge_address": ("OPENAI_BASE_URL",),  # no secret itself, but read in the same way
    "judge_key": ("OPENAI_API_KEY",),
    "kaggle_key": ("KAGGLE_KEY",),
    "kaggle_username": ("KAGGLE_USERNAME",),
}  # those of S3 are not here: its client reads AWS_ACCESS_KEY_ID and its fellows itself, as one set
Place = Literal["keyring", "file", "environment"]


class Secrets:
    """Secrets by name ("huggingface_token"). Each home has its own."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._lock = threading.Lock()

    def get(self, name: str) -> str | None:
        """The secret, or None. The environment is asked first: LLM_STUDIO_<NAME>, for some also their usual name."""
        if (found := from_environment(name)) is not None:
            return found
        if self._keyring is not None:
            with contextlib.suppress(self._keyring_error):
                kept = self._keyring.get_password(self._service, name)
                if kept:
                    return str(kept)
        return self._read().get(name)

    def set(self, name: str, value: str) -> Place:
        """Keep a secret; says where."""
        if self._keyring is not None:
            with contextlib.suppress(self._keyring_error):
                self._keyring.set_password(self._service, name, value)
                return "keyring"
        with self._lock:
            self._write(self._read() | {name: value})
        return "file"

    def delete(self, name: str) -> None:
        """Forget a secret; one in the environment stays there."""
        if self._keyring is not None:
            with contextlib.suppress(self._keyring_error):
                self._keyring.delete_password(self._service, name)
        with self._lock:
            kept = self._read()
            if kept.pop(name, None) is not None:
                self._write(kept)

    def where(self, name: str = "") -> Place:
        """Where the secret comes from or, when there is none yet (or no name is given), where it would be kept."""
        if name and from_environment(name) is not None:
            return "environment"
        if name and name in self._read():
            return "file"
        return "file" if self._keyring is None else "keyring"

    @property
    def _service(self) -> str:
        return f"{SERVICE}:{self._home.path}"

    @cached_property
    def _keyring(self) -> Any:
        """The system's keyring, None where no backend works (a server without a desktop has none)."""
        import keyring
        from keyring.backends import fail, null

        backend = keyring.get_keyring()
        return None if isinstance(backend, fail.Keyring | null.Keyring) or backend.priority <= 0 else backend

    @cached_property
    def _keyring_error(self) -> type[Exception]:
        """A keyring that is locked or broken raises this or an error of its own desktop; then the file is used."""
        return Exception

    def _read(self) -> dict[str, str]:
        try:
            return dict(json.loads(self._home.secrets_file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def _write(self, kept: dict[str, str]) -> None:
        part = self._home.secrets_file.with_suffix(f".{os.getpid()}.part")
        part.unlink(missing_ok=True)
        handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(kept, file)
        part.replace(self._home.secrets_file)


def from_environment(name: str) -> str | None:
    """The secret in LLM_STUDIO_<NAME> or under its usual name; an empty variable counts as none."""
    for variable in (f"LLM_STUDIO_{name.upper()}", *OTHER_VARIABLES.get(name, ())):
        if value := os.environ.get(variable, "").strip():
            return value
    return None
