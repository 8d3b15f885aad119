"""What a corpus gives: documents. And how they are cut into the contexts a model reads and the windows that are judged.

A member file `autointerp/corpus/<name>.py` defines a frozen pydantic `Config` and
`documents(config) -> Iterator[Document]`, lazily and always in the same order.
"""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


@dataclass(frozen=True, slots=True)
class Document:
    """One text of the corpus. `id` counts from 0 in the corpus's own order."""

    id: int
    text: str


def mended(text: str) -> str:
    """Put the replacement character for halves of UTF-16 pairs, which JSON can hold and no tokenizer reads.

    >>> mended("a\\ud83d"), mended("a\\ud83d\\ude00")
    ('a\ufffd', 'a😀')
    """
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def token_ids(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Tokenise texts without special tokens; text that looks like one stays text."""
    return tokenizer(
        texts, add_special_tokens=False, split_special_tokens=True, return_attention_mask=False, verbose=False
    )["input_ids"]


class WindowsConfig(BaseModel):
    """How documents become contexts of the model and windows of the judge."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    n_tokens: int = Field(
        default=10_000_000, ge=1, description="read documents until they have this many tokens; the last one whole"
    )
    context_length: int = Field(
        default=256, ge=2, description="tokens of text the model sees at once; the BOS token comes on top"
    )
    window_length: int = Field(default=32, ge=1, description="tokens of a judged window")
    packing: Literal["documents", "packed"] = Field(
        default="documents",
        description="documents: a context holds one document's text; packed: contexts are filled up, BOS in between",
    )
    bos: str = Field(
        default="auto",
        description="auto: the tokenizer's BOS starts each context; none: no BOS; or another token's text",
    )
    held_out_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of documents kept from the explainer, for judging"
    )

    @model_validator(mode="after")
    def _window_fits(self) -> "WindowsConfig":
        if self.window_length > self.context_length:
            raise ValueError(
                f"window_length {self.window_length} is longer than context_length {self.context_length}; "
                "a window lies within a context"
            )
        return self
