"""How long `reconstruct` takes on a model of the shape of SmolLM2-135M with random weights.

    python -m tests.benchmarks.reconstruction               3 dictionaries, layer 10 of 30, 40 documents of 256 tokens
    python -m tests.benchmarks.reconstruction --ablations      also zero and mean ablation
    python -m tests.benchmarks.reconstruction --whole          no block is skipped

Prints seconds of the wall and of the CPU, and CE increase, KL and FVU of each dictionary. Every document is read: the
precision at which `reconstruct` stops by default is not used.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
import transformers

from autointerp.reconstruction.base import Arm, Precision, ReconstructionConfig
from autointerp.reconstruction.metrics import evaluate
from autointerp.records import Site
from autointerp.subject.model import HookedSubject
from tests.benchmarks.collection_floor import three
from tests.helpers import tiny

SMOLLM2_135M: dict[str, Any] = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=40)
    parser.add_argument("--tokens", type=int, default=256, help="of each document")
    parser.add_argument("--layer", type=int, default=10)
    parser.add_argument("--ablations", action="store_true")
    parser.add_argument("--whole", action="store_true", help="run every block for every change")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SMOLLM2_135M, tie_word_embeddings=True))
    subject = HookedSubject(model, tiny.tokenizer(), fingerprint="smollm2")
    module = f"model.layers.{args.layer}.mlp"
    if args.whole:
        subject._first_blocks[Site(module, "output")] = 0
    arms = [Arm(placed.dictionary, placed.site, Site(module, "output")) for placed in three(module, 576, 16 * 576, 32)]
    rng = np.random.default_rng(0)
    documents = [rng.integers(1, 49152, args.tokens) for _ in range(args.documents)]
    config = ReconstructionConfig(
        n_documents=args.documents,
        precision=Precision(ce_increase=0),
        ablations=("zero", "mean") if args.ablations else (),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    table = evaluate(subject, arms, documents, config, bos=0, seed=0)
    print(f"wall {time.perf_counter() - wall:.1f} s, CPU {time.process_time() - cpu:.1f} s")
    chosen = table[table["metric"].isin(["ce_increase", "kl", "fvu"])]
    print(chosen.pivot(index="metric", columns="dictionary", values="value").to_string(float_format="%.9g"))


if __name__ == "__main__":
    main()
