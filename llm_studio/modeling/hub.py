"""Asks the Hugging Face Hub about a model, with short waits, and says in plain words what is in the way."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llm_studio.config.facts import BackboneFacts
from llm_studio.errors import UserError
from llm_studio.modeling.facts import WEIGHTS, facts_from_config, nearest, no_config, read_json

WAIT_SECONDS = 6.0
SETTINGS_FIX = "Add a Hugging Face token under Settings"


def facts_from_hub(
    name: str, *, revision: str, token: str | None, trust_remote_code: bool, endpoint: str | None, known: Iterable[str]
) -> BackboneFacts:
    """What the Hub says about a model: two or three small files, no weights.

    Raises:
        UserError: no such model or revision, gated without the right token, the Hub cannot be reached, or the model is
            not one that can be tuned here.
    """
    from huggingface_hub import HfApi, hf_hub_download

    where = f"backbone {name}"
    api = HfApi(endpoint=endpoint, token=token or False)
    with _said_plainly(name, revision, token, endpoint, known):
        info = api.model_info(name, revision=revision or None, timeout=WAIT_SECONDS, files_metadata=True)
        sizes = {file.rfilename: int(file.size or 0) for file in info.siblings or []}
        if "config.json" not in sizes:
            raise no_config(name, sizes)

        def fetched(file: str) -> dict[str, Any]:
            path = hf_hub_download(
                name, file, revision=info.sha, token=token or False, endpoint=endpoint, etag_timeout=WAIT_SECONDS
            )
            return read_json(Path(path))

        config = fetched("config.json")
        template = "chat_template.jinja" in sizes
        if not template and "tokenizer_config.json" in sizes:
            template = bool(fetched("tokenizer_config.json").get("chat_template"))
    total = getattr(info.safetensors, "total", None) if info.safetensors else None
    if not any(file.endswith(WEIGHTS) for file in sizes):
        raise UserError(f"{name} holds no weights that can be loaded.", where=where, fix="Choose another model.")
    return facts_from_config(
        name,
        config,
        source="hub",
        parameters=total,
        trust_remote_code=trust_remote_code,
        has_chat_template=template,
        download_bytes=_download_bytes(sizes),
        gated=bool(info.gated),
    )


def _download_bytes(sizes: dict[str, int]) -> int:
    """The files that loading fetches: safetensors where there are any, else the older format, and the small ones."""
    weights = [file for file in sizes if file.endswith(".safetensors") and "/" not in file]
    weights = weights or [file for file in sizes if file.endswith(WEIGHTS) and "/" not in file]
    small = [file for file in sizes if file.endswith((".json", ".txt", ".model", ".jinja")) and "/" not in file]
    return sum(sizes[file] for file in {*weights, *small})


@contextmanager
def _said_plainly(
    name: str, revision: str, token: str | None, endpoint: str | None, known: Iterable[str]
) -> Iterator[None]:
    """Turns the errors of the Hub's client into ours."""
    from huggingface_hub import errors

    where, site = f"backbone {name}", endpoint or os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    offline = "Check the network, or choose the bundled starter, a local folder, or a model that is already here."
    offline = f"{offline} {_here(known)}"
    try:
        yield
    except errors.HFValidationError as error:
        raise UserError(
            f"{name!r} is not the name of a model.", where=where, fix="Write it as owner/model, as on the Hub."
        ) from error
    except errors.GatedRepoError as error:
        fix = (
            f"Accept its licence on {site}/{name} with the account of your token."
            if token
            else f"Accept its licence on {site}/{name}. {SETTINGS_FIX} of that account."
        )
        what = f"{name} is gated: its owner gives it only to accounts that accepted the licence."
        raise UserError(what, where=where, fix=fix) from error
    except errors.RevisionNotFoundError as error:
        what = f"{name} has no revision {revision!r}."
        raise UserError(
            what, where=where, fix="Write the name of a branch, a tag or a commit, or leave it empty."
        ) from error
    except errors.RepositoryNotFoundError as error:
        private = "" if token else f" If it is private: {SETTINGS_FIX}."
        what = f"The Hub has no model {name}{' that this token may read' if token else ''}."
        raise UserError(what, where=where, fix=f"{nearest(name, known)}{private}") from error
    except errors.OfflineModeIsEnabled as error:
        what = f"{name} is not on this machine, and HF_HUB_OFFLINE forbids looking for it on the Hub."
        raise UserError(what, where=where, fix=f"Unset HF_HUB_OFFLINE. {offline}") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code if error.response is not None else 0
        if code in (401, 403):
            what = f"The Hub refused the token while asking for {name} (HTTP {code})."
            raise UserError(what, where=where, fix=f"{SETTINGS_FIX} that is valid and may read this model.") from error
        what = f"The Hub answered with an error (HTTP {code}) when asked for {name}."
        raise UserError(what, where=where, fix=f"Try again in a moment. {_here(known)}".strip()) from error
    except (errors.HTTPError, OSError) as error:
        what = f"{name} is not on this machine, and the Hub ({site}) cannot be reached from here."
        raise UserError(what, where=where, fix=offline.strip()) from error


def _here(known: Iterable[str]) -> str:
    names = [name for name in known if "/" in name][:3]
    return f"Already here: {', '.join(names)}." if names else ""
