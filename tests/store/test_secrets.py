"""Secrets: the environment wins, the file is the owner's alone, and nothing else holds them."""

import stat
from pathlib import Path

import pytest

from llm_studio.store import Home, Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "LLM_STUDIO_HUGGINGFACE_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")
    return Store.open(Home(tmp_path / "home"))


def test_without_a_keyring_a_file_of_the_owner_keeps_them(store: Store) -> None:
    import keyring
    from keyring.backends.fail import Keyring

    keyring.set_keyring(Keyring())
    assert store.secrets.get("huggingface_token") is None
    assert store.secrets.where("huggingface_token") == "file"
    assert store.secrets.set("huggingface_token", "hf_secret") == "file"
    assert store.secrets.get("huggingface_token") == "hf_secret"
    assert stat.S_IMODE(store.home.secrets_file.stat().st_mode) == 0o600
    assert b"hf_secret" not in store.home.database.read_bytes()
    store.secrets.delete("huggingface_token")
    assert store.secrets.get("huggingface_token") is None


def test_a_working_keyring_is_used_first(store: Store) -> None:
    import keyring
    from keyring.backend import KeyringBackend

    class InMemory(KeyringBackend):
        priority = 5  # type: ignore[assignment]

        def __init__(self) -> None:
            super().__init__()
            self.kept: dict[tuple[str, str], str] = {}

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    keyring.set_keyring(InMemory())
    assert store.secrets.set("openai_key", "sk-1") == "keyring"
    assert store.secrets.where("openai_key") == "keyring"
    assert store.secrets.get("openai_key") == "sk-1"
    assert not store.home.secrets_file.exists()
    store.secrets.delete("openai_key")
    assert store.secrets.get("openai_key") is None


@pytest.mark.parametrize("variable", ["HF_TOKEN", "LLM_STUDIO_HUGGINGFACE_TOKEN"])
def test_the_environment_wins(store: Store, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    store.secrets.set("huggingface_token", "kept")
    monkeypatch.setenv(variable, "from outside")
    assert store.secrets.get("huggingface_token") == "from outside"
    assert store.secrets.where("huggingface_token") == "environment"
