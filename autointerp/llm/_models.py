"""A server's `/models` list."""

import json
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A model in a server's `/models` list: its weights as far as the server tells, context length, tokenizer URL."""

    names: tuple[str, ...] = ()
    name: str = ""
    weights: str = ""
    context_length: int | None = None
    tokenize: str = ""


def served_model(listing: object, model: str, url: str) -> ServedModel:
    """Read `/models`. A list is only a courtesy: gateways serve names that they do not list, and some list none.

    `name` is the model's listed name, or the only one listed where `model` is empty; "" where it is not listed.
    """
    data = listing.get("data") if isinstance(listing, dict) else listing  # Together answers with a bare list
    entries = [entry for entry in data if isinstance(entry, dict) and "id" in entry] if isinstance(data, list) else []
    names = tuple(str(entry["id"]) for entry in entries)
    aliases = {model, f"{model}:latest", f"models/{model}"} if model else set(names[:1] if len(names) == 1 else ())
    entry = next((entry for entry in entries if str(entry["id"]) in aliases), None)
    if entry is None:
        return ServedModel(names=names)
    length = entry.get("max_model_len") or entry.get("context_length")
    return ServedModel(
        names=names,
        name=str(entry["id"]),
        weights=_weights(entry),
        context_length=length if isinstance(length, int) and length > 0 else None,
        tokenize=f"{url.removesuffix('/v1')}/tokenize" if entry.get("owned_by") == "vllm" else "",
    )


def _weights(entry: dict[str, Any]) -> str:
    """What a server reports about a model's weights: vLLM and SGLang their path, llama.cpp sizes of the model."""
    meta = entry.get("meta")
    known = meta if isinstance(meta, dict) else {}
    sizes = {name: known[name] for name in ("n_params", "size", "n_vocab", "n_embd") if name in known}
    return str(entry.get("root") or "") + (json.dumps(sizes, sort_keys=True) if sizes else "")
