"""The text of each token, such that the texts of a window's tokens join to the window's text, whole characters only."""

import codecs
import re
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

BYTE_TOKEN = re.compile(r"^<0x([0-9A-Fa-f]{2})>$")
# A token put in front, for tokenizers that only decode tokens in context.
ANCHOR = "a"


def decoder(tokenizer: Any) -> Callable[[NDArray[np.integer]], tuple[str, ...]]:
    """Make the function from a window's token ids to its tokens' texts.

    A token that ends inside a UTF-8 character has the texts completed so far ("" if none), the one that completes the
    character has it whole; what stays incomplete at the window's end is a replacement character.
    """
    to_bytes = _token_bytes(tokenizer)
    spelt: dict[int, bytes] = {}
    whole: dict[int, str | None] = {}  # the text of a token that is whole characters, None for others

    def learn(token: int) -> None:
        spelt[token] = to_bytes(token)
        try:
            whole[token] = spelt[token].decode()
        except UnicodeDecodeError:
            whole[token] = None

    def pieces(ids: NDArray[np.integer]) -> tuple[str, ...]:
        tokens = ids.tolist()
        for token in tokens:
            if token not in whole:
                learn(token)
        texts = [whole[token] for token in tokens]
        if None not in texts:
            return tuple(texts)  # pyright: ignore[reportReturnType]
        reader = codecs.getincrementaldecoder("utf-8")("replace")
        found = [reader.decode(spelt[token]) for token in tokens]
        found[-1] += reader.decode(b"", final=True)
        return tuple(found)

    return pieces


def _token_bytes(tokenizer: Any) -> Callable[[int], bytes]:
    kind = _decoder_kind(tokenizer)
    added = {index: str(token) for index, token in getattr(tokenizer, "added_tokens_decoder", {}).items()}
    alphabet = _byte_alphabet()

    def of(token: int) -> bytes:
        if token in added:
            return added[token].encode()
        text = tokenizer.convert_ids_to_tokens(token)
        if kind == "ByteLevel" and all(character in alphabet for character in text):
            return bytes(alphabet[character] for character in text)
        if kind == "ByteFallback":
            byte = BYTE_TOKEN.match(text)
            return bytes([int(byte[1], 16)]) if byte else text.replace("▁", " ").encode()
        return _behind_anchor(tokenizer, token).encode()

    return of


def _decoder_kind(tokenizer: Any) -> str:
    """Return how the vocabulary spells text: `ByteLevel` as GPT-2's, `ByteFallback` as Llama's, or "" otherwise."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    described = repr(backend.decoder) if backend is not None else ""
    for kind, sign in (("ByteLevel", "ByteLevel("), ("ByteFallback", "▁"), ("ByteFallback", "ByteFallback(")):
        if sign in described:
            return kind
    return ""


def _behind_anchor(tokenizer: Any, token: int) -> str:
    anchor = tokenizer(ANCHOR, add_special_tokens=False)["input_ids"]
    alone, both = (tokenizer.decode(ids, clean_up_tokenization_spaces=False) for ids in (anchor, [*anchor, token]))
    return both.removeprefix(alone)


def _byte_alphabet() -> dict[str, int]:
    """Return the printable character that GPT-2's vocabulary writes for each byte, inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    return alphabet | {chr(256 + number): byte for number, byte in enumerate(others)}
