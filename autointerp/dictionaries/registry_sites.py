"""Where a registry's entry reads and predicts, as its name tells, and in what an opened checkpoint differs from it."""

import re
from typing import Any

from autointerp.dictionaries.formats import gemma_scope, gemma_scope_2
from autointerp.dictionaries.registry import Entry

# Llama Scope's letter for a site -> TransformerLens' name.
LLAMA_SITES = {"r": "hook_resid_post", "a": "hook_attn_out", "m": "hook_mlp_out"}


def sites(entry: Entry) -> tuple[str, str]:
    """Return the sites that an entry reads and predicts, as its name and repository tell them; "" where neither does.

    What the checkpoint itself says goes first when it is opened; `inspect` shows both.
    """
    if entry.loader in ("gemma_2", "gemma_2_transcoder"):
        return gemma_scope.sites_of(f"{entry.repo}/{entry.path}")
    if entry.loader == "gemma_3":
        settings = gemma_scope_2.inferred(entry.path)
        return (
            (settings.hf_hook_point_in, settings.hf_hook_point_out or settings.hf_hook_point_in)
            if settings
            else ("", "")
        )
    if entry.loader == "mwhanna_transcoder":
        layer = re.search(r"layer_(\d+)", entry.path)
        return (f"blocks.{layer[1]}.mlp.hook_in", f"blocks.{layer[1]}.hook_mlp_out") if layer else ("", "")
    if entry.loader == "mntss_clt_layer_transcoder":  # config.yaml says the rest
        return f"blocks.{entry.path}.hook_resid_mid", f"blocks.{entry.path}.hook_mlp_out"
    site = entry.overrides.get("hook_name") or _site(entry)
    return site, site


def _site(entry: Entry) -> str:
    """Return the one site of an SAE; "" where its name does not say."""
    if entry.loader.startswith("llama_scope"):
        found = re.search(r"L(\d+)([RAM])(?:-|$)", entry.path)
        return f"blocks.{found[1]}.{LLAMA_SITES[found[2].lower()]}" if found else ""
    if entry.loader in ("dictionary_learning_1", "qwen_scope"):
        found = re.search(r"layer_?(\d+)", entry.path)
        return f"blocks.{found[1]}.hook_resid_post" if found else ""
    found = re.match(r"blocks\.\d+\.(?:attn\.)?hook_[a-z]+(?:_[a-z]+)*", entry.id)
    return found[0].replace(".hook_z", ".attn.hook_z") if found else ""


def canonical(site: str) -> str:
    """Return dictionary_learning's `resid_post_layer_3` as TransformerLens writes it; other names stay."""
    found = re.fullmatch(r"(resid_post|resid_pre|mlp_out|attn_out)_layer_(\d+)", site)
    return f"blocks.{found[2]}.hook_{found[1]}" if found else site


def disagreements(entry: Entry, dictionary: Any) -> list[str]:
    """Say in what the registry and an opened checkpoint differ; empty where they agree.

    `dictionary` is a `autointerp.dictionaries.spec.Dictionary`; names of sites in different vocabularies are not
    compared.
    """
    found = []
    for what, stated, own in zip(
        ("reads", "predicts"), sites(entry), (dictionary.site_in, dictionary.site_out), strict=True
    ):
        own = canonical(own)
        if stated and own and stated != own and stated.startswith("blocks.") == own.startswith("blocks."):
            found.append(f"the registry says that it {what} {stated}, the checkpoint {own}")
    if entry.l0 and dictionary.k and round(entry.l0) != dictionary.k:
        found.append(f"the registry records L0 {entry.l0:g}, the checkpoint k = {dictionary.k}")
    width = re.search(r"width_(\d+)(k|m)\b", entry.path) or re.search(r"width[_-]2pow(\d+)", entry.path)
    if width:
        n_latents = int(width[1]) * 1000 ** (1 + (width[2] == "m")) if width.lastindex == 2 else 2 ** int(width[1])
        if not 0.9 < dictionary.n_latents / n_latents < 1.1:
            found.append(f"the registry's path says {width[0]}, the weights have {dictionary.n_latents:,} latents")
    if entry.scale and dictionary.input_scale not in (1.0, entry.scale):
        ratio = dictionary.input_scale / entry.scale
        if not 0.99 < ratio < 1.01:
            found.append(f"the registry scales inputs by {entry.scale:g}, the checkpoint by {dictionary.input_scale:g}")
    return found
