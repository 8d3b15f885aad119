"""A study in its run directory, with the heavy things it needs, each opened when first used."""

import gc
import itertools
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from autointerp import corpus, plugins
from autointerp._version import __version__
from autointerp.asking import ask
from autointerp.asking.budget import Budget, StageUsage
from autointerp.collection.collect import collect
from autointerp.collection.collection import Collection
from autointerp.collection.device import Placed, check
from autointerp.collection.shard_pass import Engine
from autointerp.console import deferred_interrupts, note
from autointerp.corpus.base import Tokens
from autointerp.dictionaries import elsewhere, identity, load_check, loading
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.first_rows import FirstRows
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import CorpusError, DictionaryError, StudyError
from autointerp.experiment import control_arms, pins
from autointerp.experiment.input_files import states
from autointerp.experiment.objects import OBJECT, Objects
from autointerp.experiment.study import LLMMember, Study, dump_study
from autointerp.llm.base import LLM, Served
from autointerp.prompts import Prompts
from autointerp.reconstruction.base import Arm
from autointerp.records import RESERVED, LatentId, Site
from autointerp.run import provenance
from autointerp.run.store import Run, fingerprint, now
from autointerp.scorers.base import Scorer
from autointerp.subject import model as subject_model
from autointerp.subject import neighbours, redraw, sites, skeleton
from autointerp.subject.base import SubjectConfig, located
from autointerp.subject.model import HookedSubject

# Documents that the load gate may read; it stops at its own number of tokens.
GATE_DOCUMENTS = 200
# Hashes of checkpoints that were opened, in the run directory: a start does not read them again.
CHECKPOINTS = "checkpoints.json"
# The stage that a role's calls are counted under, if its name differs from the role's.
STAGE_OF = {"explainer": "explain"}


@dataclass(kw_only=True)
class Experiment:
    """Shared state of the stages.

    `objects` are the subject and the dictionaries that are not in files. `batches` limits explaining and judging to
    some of the sampled latents, in that order; `only_reads` is True if no stage needs the subject's predictions.
    """

    study: Study
    run: Run
    cache: bool = True
    objects: Objects = field(default_factory=Objects)
    batches: tuple[frozenset[LatentId], ...] = ()
    only_reads: bool = False
    budget: Budget = field(init=False)

    def __post_init__(self) -> None:
        """Start the budget of this invocation."""
        self.study = pins.pinned(self.study, self.run / "study.yaml")
        self.budget = Budget(self.study.limits)

    @property
    def asked(self) -> frozenset[LatentId] | None:
        """The latents that are explained and judged; None for all that are sampled."""
        return frozenset().union(*self.batches) if self.batches else None

    @cached_property
    def prompts(self) -> Prompts:
        """The templates: the user's folder first, then the shipped ones."""
        return Prompts(Path(self.study.prompts) if self.study.prompts else None)

    @cached_property
    def scorers(self) -> dict[str, Scorer]:
        """The scorers by the names that their judgements carry.

        Raises:
            StudyError: two dictionaries share a name, so their judgements could not be distinguished.
        """
        built = [member.module.build(member.settings, self.prompts) for member in self.study.scorers]
        names = [scorer.name for scorer in built]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise StudyError(
                f"scorers: names must differ; twice: {', '.join(twice)} (score other settings in another run directory)"
            )
        if reserved := sorted(RESERVED.intersection(names)):
            raise StudyError(f"scorers: the name {reserved[0]!r} is reserved for tables; give the scorer another one")
        return dict(zip(names, built, strict=True))

    @cached_property
    def subject(self) -> HookedSubject:
        """The subject model."""
        return self._loaded()

    def _loaded(self, *, copy: bool = False) -> HookedSubject:
        if self.study.subject.model.startswith(OBJECT):
            return self.objects.loaded(self.study.subject.model, copy=copy)
        for member in {self.study.explainer_llm.module, self.study.judge_llm.module}:
            if getattr(member, "FILLS_GPU", False):
                member.free_idle()
        wanted = self.study.subject
        return subject_model.load(wanted, self._n_blocks(wanted) if self.only_reads else None)

    def _n_blocks(self, wanted: SubjectConfig) -> int | None:
        """Number of the subject's blocks that the dictionaries' sites need; None for all."""
        model = skeleton.skeleton(wanted.model, wanted.revision, trust_remote_code=wanted.trust_remote_code)
        reads = [sites.resolve(model, one.site_in, _role(one)) for one in self.opened]
        writes = [sites.resolve(model, one.site_out, "output") for one in self.opened]
        return skeleton.blocks_needed(model, [*reads, *writes])

    @cached_property
    def opened(self) -> list[Dictionary]:
        """The dictionaries, memory-mapped."""
        return [self._open(one) for one in self._named()]

    def _named(self) -> list[DictionaryConfig]:
        """The dictionaries as the study names them, embedded ones by path, a control as its source dictionary."""
        named = {one.name: one for one in self.study.dictionaries}
        found = [
            one if one.control is None else named[one.source].model_copy(update={"name": one.name})
            for one in self.study.dictionaries
        ]
        return [one.model_copy(update={"source": located(one.source)}) for one in found]

    def _open(self, one: DictionaryConfig) -> Dictionary:
        """Open a dictionary, and keep its hash in the run directory.

        Raises:
            DictionaryError: it is another one than this invocation began with.
        """
        if one.source.startswith(OBJECT):
            return self.objects.dictionary(one)
        began = time.time()
        dictionary = loading.open_dictionary(one)
        sha256 = dictionary.provenance.sha256
        if self.known_hashes.get(one.name, sha256) != sha256:
            raise DictionaryError(f"{one.name}: {one.source} changed while this ran; run the same command again")
        identity.remember(one, dictionary, self.run / CHECKPOINTS, began=began)
        return dictionary

    @cached_property
    def arms(self) -> list[Arm]:
        """The dictionaries with the sites they read and reconstruct, moved to the subject and past the load gate."""
        model, device = self.subject.model, str(self.subject.device)
        moved = [one.to(device) for one in self.opened]
        reads = [sites.resolve(model, one.site_in, _role(one)) for one in moved]
        # Before any text is read: a dictionary that does not fit its site is said at once.
        check(self.subject, [Placed(dictionary=one, site=site) for one, site in zip(moved, reads, strict=True)])
        writes = [sites.resolve(model, one.site_out, "output") for one in moved]
        bos = corpus.bos_id(self.subject.tokenizer, self.study.windows.bos)
        rows = FirstRows(self.subject, self.first_documents, {*reads, *writes}, bos)
        return [self._admitted(*one, rows) for one in zip(moved, reads, writes, strict=True)]

    def _admitted(self, dictionary: Dictionary, site_in: Site, site_out: Site, rows: FirstRows) -> Arm:
        """Check a dictionary's FVU, L0 and alive share on the first documents; print the result."""
        wanted = next(one for one in self.study.dictionaries if one.name == dictionary.name)
        if wanted.control is not None:
            settled, _ = load_check.settled(dictionary, *rows.at(site_in, site_out))
            made = control_arms.made(
                wanted.control,
                settled,
                site_in,
                subject=self.subject,
                redrawn=lambda: self.redrawn,
                tokens=self.tokens,
                study=self.study,
            )
            return Arm(made, site_in, site_out)
        x, y = rows.at(site_in, site_out)
        place = elsewhere.Place(
            subject=self.subject,
            documents=self.first_documents,
            bos=rows.bos,
            own=(site_in, site_out),
            others=neighbours.elsewhere(self.subject.model, site_in, site_out),
        )
        admitted = load_check.admit(
            dictionary, x, y, accept=wanted.accept, elsewhere=partial(elsewhere.look, dictionary, place)
        )
        for words in admitted.notes:
            note(words)
        return Arm(admitted.dictionary, site_in, site_out)

    @cached_property
    def first_documents(self) -> list[NDArray[np.int64]]:
        """Token ids of the corpus's first documents, each cut to one context: enough for the load gate.

        Raises:
            CorpusError: the corpus has no document.
        """
        member, length = self.study.corpus, self.study.windows.context_length
        documents = itertools.islice(member.module.documents(member.settings), GATE_DOCUMENTS)
        encoded = corpus.Encoder(self.subject.tokenizer, length).each(documents)
        found = [one.ids for one in encoded if len(one.ids)]
        if not found:
            raise CorpusError(f"corpus {member.use}: it holds no text")
        return found

    @cached_property
    def collected(self) -> Collection:
        """The corpus as windows and the sampled latents' activations on it: collected now, or taken up again."""
        names = [one.name for one in self.study.dictionaries]
        if unknown := sorted(set(self.study.sampling.latents) - set(names)):
            raise StudyError(f"sampling.latents: unknown dictionary {unknown[0]!r}; the study has: {', '.join(names)}")
        redrawn = {one.name for one in self.study.dictionaries if one.control == "random_subject"}
        placed = [Placed(dictionary=arm.dictionary, site=arm.site_in) for arm in self.arms]
        others = [place for place in placed if place.dictionary.name in redrawn]
        found = self._collect(self.subject, [place for place in placed if place not in others], "activations")
        if not others:
            return found
        return found.joined(self._collect(self.redrawn, others, "activations-random-subject", self.study.seed))

    def _collect(
        self, subject: HookedSubject, placed: list[Placed], folder: str, redrawn: int | None = None
    ) -> Collection:
        study, execution = self.study, self.study.execution
        if execution.use != "local" and self.objects:
            raise StudyError(f"execution: {execution.use} cannot reach objects in memory; use `execution: local`")
        run = partial(execution.module.run, execution.settings)
        return collect(
            subject,
            placed,
            self.tokens,
            collection=study.collection,
            sampling=study.sampling,
            examples=study.examples,
            folder=self.run / folder,
            seed=study.seed,
            engine=Engine(run=run, subject=study.subject, redrawn=redrawn),
        )

    @cached_property
    def tokens(self) -> Tokens:
        """The tokenised corpus, stored in the run directory; it may still grow."""
        study, member = self.study, self.study.corpus
        return corpus.read(
            member.module.documents(member.settings),
            self.subject.tokenizer,
            study.windows,
            self.run / "tokens",
            seed=study.seed,
            source=fingerprint(member.model_dump(mode="json")),
            both_splits=True,
        )

    @cached_property
    def redrawn(self) -> HookedSubject:
        """The subject with redrawn random weights, for control dictionaries."""
        return redraw.redrawn(self._loaded(copy=True), self.study.seed)

    @contextmanager
    def asking(
        self, role: str, back_end: LLMMember | None = None, *, stage: str = ""
    ) -> Iterator[tuple[LLM, StageUsage]]:
        """Open a role's LLM with limits and response store; its identity and usage go into the manifest.

        Roles are `explainer` and `judge`, and those of scorers that bring a `back_end` of their own. `stage` names the
        usage in the manifest where it is not the role's own stage.
        """
        member = back_end or (self.study.explainer_llm if role == "explainer" else self.study.judge_llm)
        if getattr(member.module, "FILLS_GPU", False):
            self.free_gpu()
        backend = member.module.open(member.settings)
        usage = StageUsage(price=member.price)
        store = self.run / "responses.sqlite" if self.cache else None
        try:
            with deferred_interrupts():
                yield ask.connect(backend, store=store, budget=self.budget, price=member.price), usage
        finally:
            facts = backend.facts() if isinstance(backend, Served) else {}
            backend.close()
            manifest = self.run.manifest
            role_facts = {"use": member.use, "fingerprint": backend.fingerprint, **facts}
            self.run.update_manifest(
                llms={**manifest.get("llms", {}), role: role_facts},
                usage={**manifest.get("usage", {}), stage or STAGE_OF.get(role, role): usage.manifest()},
            )

    def free_gpu(self) -> None:
        """Drop the subject and its dictionaries from a GPU; they are opened again if a later stage needs them."""
        if "subject" not in vars(self) or self.subject.device.type == "cpu":
            return
        for name in ("subject", "redrawn", "arms"):
            vars(self).pop(name, None)
        gc.collect()
        torch.cuda.empty_cache()

    def templates(self, stage: str) -> dict[str, str]:
        """Return the hashes of the templates that a stage renders, and of the user's own code that renders them."""
        built, code = [], {}
        if stage == "qualify":
            return {**self.templates("explain"), **self.templates("judge")}
        if stage == "explain":
            built = [self.study.explainer.module.build(self.study.explainer.settings, self.prompts)]
            code = plugins.outside("explainers", self.study.explainer.use)
        elif stage == "judge":
            built = self.scorers.values()
            for family, uses in (
                ("scorers", [member.use for member in self.study.scorers]),
                ("llm", [one.needs for one in built]),
            ):
                code |= {name: mark for use in uses for name, mark in plugins.outside(family, use).items()}
        return {name: self.prompts.hash(name) for one in built for name in one.templates} | code

    def inputs(self) -> list[object]:
        """Return what tells whether the files the study names are still those that were read."""
        found = self.objects.inputs() + states(self.study)
        if len(self.known_hashes) == len(self.study.dictionaries):
            return [*found, *self.known_hashes.values()]
        return [*found, *(one.provenance.sha256 for one in self.opened)]

    @cached_property
    def known_hashes(self) -> dict[str, str]:
        """Hashes of the dictionaries whose files are unchanged since an earlier invocation hashed them."""
        objects, memory = self.objects.hashes(self._named()), self.run / CHECKPOINTS
        hashes = {one.name: objects.get(one.name) or identity.recall(one, memory) for one in self._named()}
        return {name: sha256 for name, sha256 in hashes.items() if sha256 is not None}

    def provenance(self) -> dict[str, Any]:
        """Return what the manifest says of the study, the software and the machine."""
        study = dump_study(self.study)
        return {
            "autointerp": __version__,
            "name": self.study.name,
            "created": self.run.manifest.get("created", now()),
            "study_fingerprint": self.study.fingerprint(),
            "prompts": {**self.templates("explain"), **self.templates("judge")},
            **provenance.software(),
            "subject": study["subject"],
            "corpus": study["corpus"],
        }


def _role(dictionary: Dictionary) -> Literal["input", "output"]:
    """Return which side of a bare module path a dictionary reads."""
    return "output" if dictionary.architecture == "sae" else "input"
