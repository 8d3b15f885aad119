"""Train SAEs, transcoders and skip transcoders on a subject, all of them in one pass over it.

    autointerp train MODEL --data text.jsonl --site layers.5.mlp --architecture sae,transcoder,skip-transcoder \
        --latents 32768 --k 32,64 --seeds 0,1 --tokens 100M --out runs/mine
    autointerp train study.yaml --out runs/mine        a training study: `subject` or `recipe`, `corpus`, `training`

The dictionaries lie in OUT/<architecture>_m<latents>_k<k>/<site>/seed<seed>/ in EleutherAI sparsify's format, which
`autointerp score` reads; OUT/log.jsonl tells loss, FVU and dead latents. The same command after an interruption goes
on where it stopped. A transcoder needs a module whose input is as wide as its output; an SAE reads the output alone.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from autointerp.cli import _study, _training

if TYPE_CHECKING:
    from autointerp.subject.base import SubjectConfig
    from autointerp.train.base import Arm


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("what", metavar="MODEL | STUDY.yaml", help="a model (folder or hub id) or a training study")
    parser.add_argument("--data", metavar="PATH_OR_NAME", help="text as for `autointerp score --data`")
    parser.add_argument("--site", metavar="MODULE,...", help="modules whose input and output are read: layers.5.mlp")
    parser.add_argument("--architecture", metavar="NAME,...", help="of sae, transcoder, skip-transcoder; default: all")
    parser.add_argument("--latents", metavar="N,...", help="numbers of latents; default 32768")
    parser.add_argument("--k", metavar="N,...", help="active latents per token; default 32")
    parser.add_argument("--seeds", metavar="N,...", help="seeds; default 0")
    parser.add_argument("--tokens", type=_study.count, metavar="N", help="token budget, such as 500k or 10M")
    parser.add_argument("--set", action="append", default=[], metavar="KEY.SUB=VALUE", dest="overrides",
                        help="any other setting, such as training.lr=0.001; may be given several times")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the training run")
    parser.add_argument("--embed", type=Path, metavar="DIR", help="also write subject and dictionaries of the first "
                        "seed in float16 to DIR, as the package ships its default")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Train, print where the dictionaries lie."""
    study = _training.study_of(args)
    out: Path = args.out
    if study.recipe is not None:
        settings = _training.SubjectConfig(model=str(_subject(study, out / "subject")))
        trained = _dictionaries(study, settings, out / "dictionaries")
    else:
        assert study.subject is not None
        settings, trained = study.subject, _dictionaries(study, study.subject, out)
    folders = list(trained.values())
    if args.embed:
        from autointerp.train.embed import embed

        folders = embed(Path(settings.model), trained, args.embed)
    for folder in folders:
        print(folder)
    return 0


def _subject(study: _training.TrainStudy, out: Path) -> Path:
    from autointerp.train.subject import train_subject

    assert study.recipe is not None
    assert study.held_out is not None
    held_out = list(_training.texts(study.held_out))
    return train_subject(study.recipe, list(_training.texts(study.corpus, frozenset(held_out))), held_out, out)


def _dictionaries(study: _training.TrainStudy, settings: "SubjectConfig", out: Path) -> "dict[Arm, Path]":
    from autointerp.console import Bar, note
    from autointerp.experiment.study import located
    from autointerp.subject import model, sites
    from autointerp.train.contexts import write_contexts
    from autointerp.train.run import Reads, train

    wanted = study.training
    subject = model.load(settings.model_copy(update={"model": located(settings.model)}))
    reads = {
        name: Reads(sites.resolve(subject.model, name, "input"), sites.resolve(subject.model, name, "output"))
        for name in wanted.sites
    }
    without = frozenset(_training.texts(study.held_out)) if study.held_out else frozenset[str]()
    out.mkdir(parents=True, exist_ok=True)
    with Bar("tokenise", total=wanted.n_tokens, unit="tokens") as bar:
        texts = _training.texts(study.corpus, without)
        contexts = write_contexts(texts, subject.tokenizer, wanted, out / "contexts.bin", bar.advance)
    if contexts.n_mended:
        note(f"train: {contexts.n_mended:,} texts had halves of UTF-16 pairs, now replacement characters")
    return train(subject, reads, contexts, wanted, out)
