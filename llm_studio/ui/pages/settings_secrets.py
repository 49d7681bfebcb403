"""The cards of Settings that hold secrets: the Hugging Face token, and the address and key of the judge."""

from dataclasses import dataclass
from typing import Any

from h2o_wave import ui

from llm_studio.actions import judging
from llm_studio.errors import UserError
from llm_studio.ui import build
from llm_studio.ui.page import Context, Event, Outcome, stay

TOKEN = "huggingface_token"
TRIED = "judge_tried"
JUDGE_HELP = (
    "For the metric gpt: a language model grades the answers at each evaluation. Any OpenAI-compatible address will "
    "do, also one of this machine. Questions, right answers and the tuned model's answers are sent there."
)


@dataclass(frozen=True)
class Kept:
    """Whether a secret is set and where it is kept or would be; the secret itself is never part of it."""

    is_set: bool
    place: str
    file: str

    @property
    def can_change(self) -> bool:
        """Whether it is not given by the environment."""
        return self.place != "environment"

    def words(self, what: str) -> str:
        """ "A token is set; it is kept in the keyring of this system." """
        place = {
            "keyring": "in the keyring of this system",
            "file": f"in {self.file}, readable by you alone, because this system has no keyring",
            "environment": "in the environment; change it there",
        }[self.place]
        return (
            f"A {what} is set; it is kept {place}." if self.is_set else f"No {what} is set. It would be kept {place}."
        )


@dataclass(frozen=True)
class Data:
    """typed_address: what stands in the field and is not saved. tried: how the last trial of the judge ended."""

    token: Kept
    judge_key: Kept
    address: str
    address_is_fixed: bool
    typed_address: str | None
    tried: UserError | str


def load(ctx: Context) -> Data:
    """Asks nobody outside."""
    typed = ctx.draft.get("judge_address")
    return Data(
        token=_kept(ctx, TOKEN),
        judge_key=_kept(ctx, judging.KEY),
        address=judging.address_of(ctx.store),
        address_is_fixed=judging.address_is_fixed(),
        typed_address=None if typed is None else str(typed),
        tried=ctx.state.get(TRIED, ""),
    )


def _kept(ctx: Context, name: str) -> Kept:
    secrets = ctx.store.secrets
    return Kept(bool(secrets.get(name)), secrets.where(name), str(ctx.home.secrets_file))


def token_items(data: Data) -> list[Any]:
    """The token of the Hub."""
    items = [
        build.heading("Hugging Face token", hint="Needed for gated and private models only."),
        build.paragraph(data.token.words("token"), name="token_state"),
    ]
    if not data.token.can_change:
        return items
    tooltip = "From huggingface.co/settings/tokens; read access is enough. It is never shown again."
    press = [build.button("save_token", "Save token")]
    if data.token.is_set:
        press.append(build.button("remove_token", "Remove token"))
    return [
        *items,
        ui.textbox(name="token", label="New token", value="", password=True, placeholder="hf_…", tooltip=tooltip),
        build.row(*press),
    ]


def judge_items(data: Data) -> list[Any]:
    """Address and key of the endpoint that grades answers."""
    tooltip = f"The base address; most end in /v1. Empty means {judging.DEFAULT_ADDRESS}."
    if data.address_is_fixed:
        tooltip = "Comes from the environment variable OPENAI_BASE_URL; change it there."
    items = [
        build.heading("Judge", hint=JUDGE_HELP),
        ui.textbox(
            name="judge_address",
            label="Address",
            value=data.address if data.typed_address is None or data.address_is_fixed else data.typed_address,
            placeholder=judging.DEFAULT_ADDRESS,
            tooltip=tooltip,
            disabled=data.address_is_fixed,
            spellcheck=False,
        ),
        build.paragraph(data.judge_key.words("key"), name="judge_key_state"),
    ]
    if data.judge_key.can_change:
        tooltip = "Sent to this address alone, and never shown again. Many servers of one's own need none."
        label = "New key"
        items.append(ui.textbox(name="judge_key", label=label, value="", password=True, tooltip=tooltip))
    fixed = data.address_is_fixed and not data.judge_key.can_change
    press = [build.button("try_judge", "Test" if fixed else "Save and test")]
    if data.judge_key.is_set and data.judge_key.can_change:
        press.append(build.button("remove_judge_key", "Remove key"))
    if isinstance(data.tried, UserError):
        said = [build.error_bar(data.tried, name="judge_tried")]
    else:
        said = [build.finding_bar("success", data.tried, name="judge_tried")] if data.tried else []
    return [*items, build.row(*press), *said]


def checked_secret(typed: str, what: str, where: str) -> str:
    """The secret without the space around it.

    Raises:
        UserError: it is empty, or holds what no secret has.
    """
    text = typed.strip()
    if not text:
        raise UserError(f"The {what} is empty.", where=where, fix=f"Paste the {what}, then save.")
    if any(not "!" <= character <= "~" for character in text):
        raise UserError(f"The {what} holds a space or a character no {what} has.", where=where, fix="Paste it anew.")
    return text


def save_token(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Keep the token; the draft forgets it at once."""
    token = checked_secret(str(ctx.draft.pop("token", "")), "token", "New token")
    place = ctx.store.secrets.set(TOKEN, token)
    return stay("The token is saved in the system's keyring." if place == "keyring" else "The token is saved.")


def remove_token(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Forget the token."""
    ctx.store.secrets.delete(TOKEN)
    return stay("The token is removed.")


def try_judge(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Keep what was typed, then ask the endpoint, and say beside the button how that went: the top of the page may be
    out of sight. What was typed is kept even where nobody answers; the draft forgets the key at once."""
    try:
        ctx.state[TRIED] = saved_and_tried(ctx)
    except UserError as error:
        ctx.state[TRIED] = error
    return stay()


def saved_and_tried(ctx: Context) -> str:
    """What the endpoint answered.

    Raises:
        UserError: address or key are none, or nobody answers.
    """
    key = str(ctx.draft.pop("judge_key", "")).strip()
    typed = str(ctx.draft.get("judge_address") or "").strip()
    if "judge_address" in ctx.draft and not judging.address_is_fixed():
        ctx.preferences.set(judging.ADDRESS, judging.checked_address(typed) if typed else "")
        del ctx.draft["judge_address"]
    if key:
        ctx.store.secrets.set(judging.KEY, checked_secret(key, "key", "New key"))
    return judging.try_endpoint(ctx.store)


def remove_judge_key(ctx: Context, args: tuple[str, ...], event: Event) -> Outcome:
    """Forget the key."""
    ctx.store.secrets.delete(judging.KEY)
    ctx.state.pop(TRIED, None)
    return stay("The key is removed.")


ACTIONS = {
    "save_token": save_token,
    "remove_token": remove_token,
    "try_judge": try_judge,
    "remove_judge_key": remove_judge_key,
}
