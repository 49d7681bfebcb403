"""What is known of a backbone before it is loaded, from its files or the Hub; used for estimates and checks."""

from dataclasses import dataclass, field
from typing import Any, Literal

BackboneSource = Literal["starter", "local", "hub cache", "hub"]


@dataclass(frozen=True, kw_only=True)
class BackboneFacts:
    """Sizes are counts of elements; `context_length` is in tokens, None when the backbone names no limit.

    parameters: exact when they were counted in the weight files, else from the formula of the architecture
    (`parameters_exact` says which). has_chat_template: None when it could not be looked up. dtype: the number type of
    the files ("bfloat16"), empty when unknown. quantised: the method when the files hold quantised weights ("gptq"),
    else empty. download_bytes: what would still have to come over the network, 0 when all is here.
    recommended: settings by path that the backbone brings with it.
    """

    name: str
    source: BackboneSource
    architecture: str
    model_type: str
    parameters: int
    parameters_exact: bool
    hidden_size: int
    intermediate_size: int
    layers: int
    attention_heads: int
    key_value_heads: int
    vocabulary_size: int
    context_length: int | None
    has_chat_template: bool | None
    tied_embeddings: bool
    dtype: str = ""
    quantised: str = ""
    needs_remote_code: bool = False
    download_bytes: int = 0
    gated: bool = False
    recommended: dict[str, Any] = field(default_factory=dict)
