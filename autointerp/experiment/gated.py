"""`autointerp score --gate BASELINE`: score a candidate only as far as a decision against the baseline needs.

Dead latents and cross-entropy come first: they need no LLM, and a rise past a limit ends the gate. Then the baseline's
latents are explained and judged in its look order, as many as each look of `gate.decide` asks for. Replies are stored
as they come, so a run that was killed repeats none.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from autointerp.console import note
from autointerp.experiment import pipeline
from autointerp.experiment.context import Experiment
from autointerp.experiment.study import Study
from autointerp.gate import decide, endpoints, offline, output
from autointerp.gate.base import GateConfig, GateResult
from autointerp.qualification import show
from autointerp.records import LatentId
from autointerp.report.page import write_report
from autointerp.run import record_rows
from autointerp.run.files import fingerprint
from autointerp.run.lock import claimed
from autointerp.run.reading import RunTables, differences, read_judgements, read_tables, refuse_empty
from autointerp.run.store import Run
from autointerp.statistics import latent_scores
from autointerp.statistics.pairing import with_lost

# Stages that ask no LLM.
FREE = ("collect", "reconstruct", "select")
POOL = ("context_pool_hash", "context_pool")


def score(
    study: Study, path: Path, baseline: Path, *, config: GateConfig, update: bool = False, allow: bool = False
) -> tuple[Run, GateResult]:
    """Run a study in its run directory as far as the gate against a baseline needs.

    Args:
        study: the candidate's; `sampling.same_as` must be the baseline.
        path: the candidate's run directory.
        baseline: a finished run of the same protocol.
        config: margin, error rates, looks, endpoints, limits.
        update: as `pipeline.score`.
        allow: compare even if the protocols differ; the result lists the differences.

    Raises:
        UserError: something in the study, its inputs, the baseline or the directory is wrong.
        StoppedError: an LLM or a limit stopped it; finished work is kept and the same command continues.
    """
    base = read_tables(baseline)
    refuse_empty(base, baseline)
    with claimed(path) as run:
        gated = Gated(Experiment(study=study, run=run), base, config, allow=allow)
        gated.prepare(update=update)
        result = gated.decided()
        if run.has("estimates"):
            write_report(run.path)
        output.write(result, run.path)
    return run, result


class Gated:
    """An experiment under a gate: answers the looks' wishes by explaining and judging."""

    def __init__(self, experiment: Experiment, base: RunTables, config: GateConfig, *, allow: bool) -> None:
        self.experiment, self.base, self.config, self.allow = experiment, base, config, allow
        self.notes: list[str] = []
        self.n_looks = 0

    def prepare(self, *, update: bool) -> None:
        """Run the stages that need no LLM, and reject a baseline of another protocol."""
        experiment, manifest = self.experiment, self.base.manifests[0]
        pipeline.begin(experiment, update=update)
        run = experiment.run
        run.update_manifest(gate={"looks": self.config.looks})
        self._same("protocol", experiment.study.protocol())
        self._same("prompts", run.manifest.get("prompts"))
        self.marks = pipeline.fingerprints(experiment)
        pipeline.reach(experiment, self.marks)
        for name in FREE:
            pipeline.do(experiment, name, self.marks[name])
        pools = [{name: one.get(name) for name in POOL} for one in (manifest, run.manifest)]
        self.notes += offline.refused(differences(pools), allow=self.allow)
        self.base, self.new = offline.matched(self.base, read_tables(run.path, judged=False))

    def _same(self, entry: str, new: Mapping[str, Any] | None) -> None:
        self.notes += offline.refused_settings(self.base.manifests[0].get(entry), new, allow=self.allow)

    def decided(self) -> GateResult:
        """Test the limits, then look by look what the LLM must answer for; then settle the controls."""
        limits = endpoints.limit_rows(self.base, self.new, self.config)
        if any(row.decision != "PASS" for row in limits):
            rows = offline.with_all(limits)
            reasons = (
                "no latent was explained: a limit on dead latents or cross-entropy is not shown to hold",
                *self.notes,
            )
            return offline.combined(
                GateResult(decision=decide.decision_of(rows), rows=tuple(rows), reasons=reasons), "", []
            )
        scores = latent_scores(self.base.judgements, self.base.latents)
        self.scores = scores[scores["dictionary"].isin(self.base.dictionaries["dictionary"])].reset_index(drop=True)
        self.orders = endpoints.look_orders(self.scores)
        if words := endpoints.shortage(self.scores, self.config):
            note(f"gate: {words}")
            self.notes.append(words)
        pipeline.do(self.experiment, "qualify", self.marks["qualify"])
        self.notes += show.of_run(self.experiment.run.path)
        held = {name: len(order) for name, order in self.orders.items()}
        looks = decide.looks(held, self.config, offline.first_look(self.scores, self.config), len(limits))
        found = decide.run(looks, self._answer)
        status, problems = self._settled(found, held)
        rows = [*offline.with_all(found.rows, self._scored(self.wanted)), *offline.with_all(limits)]
        found = GateResult(decision=found.decision, rows=tuple(rows), reasons=tuple(dict.fromkeys(self.notes)))
        pipeline.do(self.experiment, "estimate", self._mark("estimate"))
        calls = self._asked_so_far().calls_per_latent
        return offline.combined(offline.with_calls(found, calls, held), status, problems)

    def _answer(self, wanted: Mapping[str, int]) -> decide.Scored:
        self.n_looks += 1
        words = ", ".join(f"{name} {n:,}" for name, n in wanted.items())
        note(f"gate: look {self.n_looks} of at most {self.config.looks}; latents: {words}")
        self._ask(wanted)
        if self.n_looks == 1:
            self._same("llms", self.experiment.run.manifest.get("llms"))
        return self._scored(wanted)

    def _ask(self, wanted: Mapping[str, int]) -> None:
        """Explain and judge the first latents of each dictionary in look order."""
        sites = self.new.latents.drop_duplicates("dictionary").set_index("dictionary")["site"]
        chosen = frozenset(
            LatentId(name, str(sites[name]), int(latent))
            for name, n in wanted.items()
            for latent in self.orders[name][:n]
        )
        experiment = self.experiment
        experiment.batches = (*experiment.batches, chosen - (experiment.asked or frozenset()))
        self.wanted = dict(wanted)
        for name in ("explain", "judge"):
            pipeline.do(experiment, name, self._mark(name))

    def _scored(self, wanted: Mapping[str, int]) -> decide.Scored:
        latents = record_rows.with_status(self.experiment.run, self.experiment.asked)
        asked = [(name, latent) for name, n in wanted.items() for latent in self.orders[name][:n]]
        ours = self.scores[pd.MultiIndex.from_frame(self.scores[["dictionary", "latent"]]).isin(asked)]
        theirs = latent_scores(self._judgements(), latents)
        return endpoints.scored(self.scores, with_lost(ours, theirs, latents), wanted, self.config)

    def _settled(self, found: GateResult, held: Mapping[str, int]) -> tuple[str, list[str]]:
        """Judge the controls; where they leave a PASS undecided, ask for more latents until they are decided."""
        while True:
            new = self._asked_so_far()
            scores = latent_scores(self._judgements(), new.latents, control=None)
            status, problems = offline.judged(self.base, new, scores, self.config)
            more = {name: min(held[name], n + max(decide.LEAST_LATENTS, n // 2)) for name, n in self.wanted.items()}
            if status != "undecided" or found.decision != "PASS" or more == self.wanted:
                return status, problems
            note("gate: the scores pass; more latents are scored to decide the controls")
            self._ask(more)

    def _asked_so_far(self) -> RunTables:
        """Return the candidate's tables with today's manifest, and with the status that each latent has reached."""
        latents = record_rows.with_status(self.experiment.run, self.experiment.asked)
        return replace(self.new, latents=latents, manifests=(self.experiment.run.manifest,))

    def _judgements(self) -> pd.DataFrame:
        return read_judgements(self.experiment.run)

    def _mark(self, stage: str) -> str:
        """Mark a stage done for these latents only; a whole run's mark differs, so `score` would complete it."""
        return fingerprint(self.marks[stage], sorted(map(str, self.experiment.asked or ())))
