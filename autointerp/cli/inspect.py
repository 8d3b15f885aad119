"""Show what a dictionary checkpoint is, and with a model and text whether it works there.

    autointerp inspect ./layers.5.mlp
    autointerp inspect org/repo:layers.5.mlp EleutherAI/pythia-160m --data stories.txt
    autointerp inspect ./layers.5.mlp --json
    autointerp inspect saelens:gpt2-small-res-jb/blocks.8.hook_resid_pre      what registry and checkpoint say of it

With text: FVU, L0 and alive share on its first documents, against what is plausible, and exit code 2 where they are
not.
"""

import argparse
import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import CorpusError, DictionaryError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from autointerp.dictionaries.load_check import Admitted
    from autointerp.dictionaries.registry import Named
    from autointerp.dictionaries.spec import Dictionary
    from autointerp.records import Site

READERS = {".txt": "text", ".md": "text", ".jsonl": "jsonl", ".gz": "jsonl", ".parquet": "parquet"}
# Tokens read at once: enough for typical contexts, short enough for every model.
CONTEXT = 256


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "dictionary",
        metavar="DICTIONARY",
        help="local folder or file, org/repo[@revision][:path], or a name of SAELens' registry or Neuronpedia",
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="subject model to try it on: local folder or hub id")
    parser.add_argument("--data", metavar="PATH", help="text, .jsonl or .parquet file to try it on")
    parser.add_argument("--format", default="auto", help="checkpoint format (default: looks)")
    parser.add_argument("--site-in", metavar="SITE", help="site it reads, where the checkpoint does not say")
    parser.add_argument("--site-out", metavar="SITE", help="site it reconstructs, likewise")
    parser.add_argument("--pre-bias", choices=("true", "false"), help="is b_dec subtracted from the input?")
    parser.add_argument("--k", type=int, help="latents per token, where the checkpoint does not say")
    parser.add_argument("--input-scale", type=float, help="factor on activations before encoding")
    parser.add_argument("--device", default="auto", help="where the subject runs (default: a GPU if there is one)")
    parser.add_argument("--json", action="store_true", help="print one JSON object, numbers as numbers")


def run(args: argparse.Namespace) -> int:
    """Print facts as `name: value` lines or JSON; with data, vital signs and what is implausible about them."""
    from autointerp import dictionaries
    from autointerp.console import note
    from autointerp.dictionaries import registry, registry_sites

    if args.data and not args.model:
        raise DictionaryError("--data needs a MODEL to read it: autointerp inspect DICTIONARY MODEL --data PATH")
    pre_bias = None if args.pre_bias is None else args.pre_bias == "true"
    dictionary = dictionaries.load(
        args.dictionary,
        format=args.format,
        site_in=args.site_in,
        site_out=args.site_out,
        pre_bias=pre_bias,
        k=args.k,
        input_scale=args.input_scale,
    )
    entries, named = record(dictionary), registry.look_up(args.dictionary)
    differ = registry_sites.disagreements(named.entry, dictionary) if named else []
    if named:
        entries |= {"registry": asdict(named.entry), "disagreements": differ}
    if not args.json:
        show((registry_facts(named) if named else {}) | facts(dictionary))
        for line in differ:
            note(line)
    placed = where(dictionary, args.model) if args.model and not args.data else None
    admitted = None
    if args.data:
        placed, admitted = examine(dictionary, args)
        entries |= {"vitals": asdict(admitted.vitals), "notes": notes(admitted), "plausible": plausible(admitted)}
    if args.json:
        print(json.dumps(entries | _sites(placed, "site_in", "site_out"), allow_nan=False))
    else:
        show(_sites(placed, "site in", "site out"))
        if admitted:
            report(admitted, args.data)
    return 0 if admitted is None or plausible(admitted) else 2


def _sites(placed: "tuple[Site, Site] | None", *names: str) -> dict[str, object]:
    return dict(zip(names, map(str, placed), strict=True)) if placed else {}


def show(lines: dict[str, object]) -> None:
    """Print `name: value` lines, aligned."""
    for name, value in lines.items():
        print(f"{name + ':':<14} {value}")


def registry_facts(named: "Named") -> dict[str, object]:
    """Describe the dictionary's entry in SAELens' registry."""
    from autointerp.dictionaries import registry, registry_sites

    entry = named.entry
    lines: dict[str, object] = {
        "registry": f"{entry.name} (sae-lens {registry.index().version})",
        "subject": entry.model,
        "neuronpedia": entry.neuronpedia or "none",
        "sites": " -> ".join(dict.fromkeys(registry_sites.sites(entry))),
        "recorded": ", ".join(
            f"{what} {value:g}"
            for what, value in (("L0", entry.l0), ("explained", entry.explained), ("input scale", entry.scale))
            if value
        )
        or "nothing",
    }
    return lines | ({} if named.latent is None else {"latent": named.latent})


def facts(dictionary: "Dictionary") -> dict[str, object]:
    """Describe the checkpoint's settings."""
    import torch

    norms = torch.linalg.vector_norm(dictionary.W_dec.float(), dim=1)
    activation = dictionary.activation
    detail = f"k = {activation.k}" if activation.k else ""
    if activation.threshold is not None:
        detail = f"threshold {float(activation.threshold.min()):.3g} to {float(activation.threshold.max()):.3g}"
    source = dictionary.provenance
    lines: dict[str, object] = {
        "format": source.format,
        "source": source.source,
        "architecture": dictionary.architecture,
        "reads": dictionary.site_in,
        "predicts": dictionary.site_out,
        "widths": f"{dictionary.d_in:,} -> {dictionary.n_latents:,} latents -> {dictionary.d_out:,}",
        "activation": f"{activation.kind} {detail}".strip(),
        "pre-bias": "open" if dictionary.pre_bias_open else "no" if dictionary.pre_bias is None else "yes",
        "input": f"{dictionary.input_norm}, scale {dictionary.input_scale:.6g}",
        "skip": "no" if dictionary.W_skip is None else "yes",
        "weights": str(dictionary.W_enc.dtype).removeprefix("torch."),
        "decoder rows": f"length {float(norms.min()):.3g} to {float(norms.max()):.3g}, mean {float(norms.mean()):.3g}",
        "seed": dictionary.seed if dictionary.seed >= 0 else "unknown",
        "prepend BOS": "unknown" if dictionary.prepend_bos is None else "yes" if dictionary.prepend_bos else "no",
    }
    lines |= {f"sha256 {number}": f"{digest}  {name}" for number, (name, digest) in enumerate(source.files)}
    return lines | {f"remark {number}": remark for number, remark in enumerate(dictionary.remarks)}


def record(dictionary: "Dictionary") -> dict[str, object]:
    """Return the checkpoint's settings as JSON; `seed` is null where unknown."""
    activation, source = dictionary.activation, dictionary.provenance
    return {
        "format": source.format,
        "source": source.source,
        "revision": source.revision,
        "architecture": dictionary.architecture,
        "reads": dictionary.site_in,
        "predicts": dictionary.site_out,
        "d_in": dictionary.d_in,
        "n_latents": dictionary.n_latents,
        "d_out": dictionary.d_out,
        "activation": activation.kind,
        "k": activation.k or None,
        "pre_bias": None if dictionary.pre_bias_open else dictionary.pre_bias is not None,
        "input_norm": dictionary.input_norm,
        "input_scale": dictionary.input_scale,
        "skip": dictionary.W_skip is not None,
        "dtype": str(dictionary.W_enc.dtype).removeprefix("torch."),
        "seed": dictionary.seed if dictionary.seed >= 0 else None,
        "prepend_bos": dictionary.prepend_bos,
        "sha256": dict(source.files),
        "remarks": list(dictionary.remarks),
    }


def where(dictionary: "Dictionary", model: str) -> "tuple[Site, Site]":
    """Describe its sites in a model, without reading the model's weights."""
    from autointerp.subject.skeleton import skeleton

    return ends(dictionary, skeleton(model, None, trust_remote_code=False))


def ends(dictionary: "Dictionary", model: Any) -> "tuple[Site, Site]":
    """Resolve the sites it reads and predicts."""
    from autointerp.subject import sites

    role = "output" if dictionary.architecture == "sae" else "input"
    return sites.resolve(model, dictionary.site_in, role), sites.resolve(model, dictionary.site_out, "output")


def examine(dictionary: "Dictionary", args: argparse.Namespace) -> "tuple[tuple[Site, Site], Admitted]":
    """Measure it on the subject's own activations, at its sites and at others."""
    from autointerp.dictionaries import elsewhere, load_check
    from autointerp.subject import model, neighbours
    from autointerp.subject.base import SubjectConfig

    subject = model.load(SubjectConfig(model=args.model, device=args.device))
    site_in, site_out = ends(dictionary, subject.model)
    bos = subject.tokenizer.bos_token_id
    documents, dictionary = tokens(args.data, subject.tokenizer), dictionary.to(subject.device)
    x, y = load_check.rows(subject, documents, site_in, site_out, bos=bos)
    place = elsewhere.Place(
        subject=subject,
        documents=documents,
        bos=bos,
        own=(site_in, site_out),
        others=neighbours.elsewhere(subject.model, site_in, site_out),
    )
    look = partial(elsewhere.look, dictionary, place, doubtful=0.0)
    return (site_in, site_out), load_check.admit(dictionary, x, y, accept=True, elsewhere=look)


def report(admitted: "Admitted", data: str) -> None:
    """Print the vital signs, and what is to be said of them."""
    from autointerp.console import note
    from autointerp.dictionaries import load_check

    vitals, expected = admitted.vitals, admitted.dictionary.expected_l0
    stated = f"the checkpoint records {expected:g}" if expected else "unknown"
    show(
        {
            "tokens": f"{vitals.n_tokens:,} of {data}; BOS, or the first of each context, not counted",
            "FVU": f"{vitals.fvu:.4f}  (0 perfect, 1 as good as the mean; plausible below {load_check.MAX_FVU:g})",
            "L0": f"{vitals.l0:.2f}  ({stated})",
            "alive": f"{vitals.alive_share:.2%} of latents fired on this text",
            "dense": f"{vitals.dense_share:.2%} of latents fire on more than 10 % of tokens",
        }
    )
    for sentence in notes(admitted):
        note(sentence)


def notes(admitted: "Admitted") -> list[str]:
    """Sentences of the gate, without what only a study does."""
    return [sentence.removesuffix(" Accepted by the study.") for sentence in admitted.notes]


def plausible(admitted: "Admitted") -> bool:
    """Whether it works where it was put."""
    from autointerp.dictionaries import load_check

    return not (admitted.misplaced or load_check.symptoms(admitted.vitals, admitted.dictionary))


def tokens(data: str, tokenizer: Any) -> "list[NDArray[np.int64]]":
    """Tokenise a file's documents and cut them into contexts until there are enough.

    Raises:
        CorpusError: no such file, of unknown type, or with too little text.
    """
    import numpy as np

    from autointerp import corpus, plugins
    from autointerp.dictionaries import load_check

    path = Path(data)
    if not path.exists():
        raise CorpusError(f"--data {data}: no such file or folder")
    reader = plugins.load("corpus", READERS.get(path.suffix, "text"))
    found: list[NDArray[np.int64]] = []
    n_tokens = 0
    encoder = corpus.Encoder(tokenizer, load_check.N_TOKENS)
    for one in encoder.each(reader.documents(reader.Config(path=str(path)))):
        ids = one.ids
        found += [ids[start : start + CONTEXT] for start in range(0, len(ids), CONTEXT)]
        n_tokens += len(ids)
        if n_tokens >= load_check.N_TOKENS:
            break
    if n_tokens < 2:
        raise CorpusError(f"--data {data}: {n_tokens} tokens of text are too few to try a dictionary on")
    return found
