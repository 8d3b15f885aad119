"""The forms of a gate's decision: each has every number, and a file that cannot be written changes no exit code."""

import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from autointerp.__main__ import main
from autointerp.gate import offline, output
from autointerp.gate.base import GateConfig, GateResult
from tests.helpers.gates import World, draw
from tests.helpers.simulate import Arm, simulate, write_run


def decided(loss: float, looks: int = 5) -> GateResult:
    pair = draw(World(n_baseline=300, loss=loss, gain=max(0.0, -loss)), np.random.default_rng(0))
    found = offline.gate(pair.table("base"), pair.table("candidate"), config=GateConfig(looks=looks))
    return offline.with_calls(found, 9.0, {"d0": 300})


@pytest.mark.parametrize(("loss", "decision"), [(-0.05, "PASS"), (0.1, "FAIL")])
def test_every_form_tells_look_latents_difference_interval_bound_margin_and_calls(loss: float, decision: str) -> None:
    found = decided(loss)
    assert found.decision == decision
    row = found.last[0]
    interval = f"[{output.signed(row.low_judged)}, {output.signed(row.high_judged)}]"
    bound = output.signed(row.upper if row.decision == "FAIL" else row.lower)
    texts = [output.as_text(found), output.as_markdown(found), output.as_junit(found)]
    for text in texts:
        for wanted in (interval, output.signed(row.diff_judged), bound, f"-{row.margin:g}", row.decision, "saved"):
            assert wanted in text
    assert f"look {row.look}, {row.n} latents" in texts[0]
    assert f"over {row.n_judged} judged latents" in texts[0]
    saved = round(9 * (300 - row.n_judged))
    assert json.loads(output.as_json(found))["endpoints"][0]["llm_calls_saved"] == saved
    suite = ElementTree.fromstring(texts[2])[0]
    assert int(suite.get("tests") or 0) == len(suite) == 3
    assert (int(suite.get("failures") or 0) > 0) == (decision == "FAIL")


def test_a_decision_before_the_last_latent_shows_the_difference_of_all_judged_ones() -> None:
    """Two numbers, where it stopped and over all; the second is not the first's."""
    found = decided(0.1)
    row = next(one for one in found.last if one.decision == "FAIL")
    assert row.n < row.n_judged == 300
    assert f"{output.signed(row.diff_judged)} [" in output.explain(row)
    assert f"{row.n} latents: {output.signed(row.diff)}" in output.explain(row)


def test_files_that_cannot_be_written_are_reported_and_the_decision_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder in place of each file makes writing fail for root, too."""
    run = simulate([Arm(name="sae", mean=0.7), Arm(name="tc", architecture="transcoder")], seed=1)
    base, same = (write_run(run, tmp_path / name) for name in ("base", "same"))
    for name in ("gate.parquet", "gate.json", "gate.xml", "summary.md", "report.json"):
        (same / name).mkdir()
    arguments = ["--junit", str(same / "gate.xml"), "--summary", str(same / "summary.md")]
    code = main(["gate", str(same), "--baseline", str(base), *arguments, "--report", str(same / "report.json")])
    shown = capsys.readouterr()
    assert code == 0
    assert shown.out.startswith("gate: PASS")
    for name in ("gate.json", "gate.xml", "summary.md", "report.json"):
        assert f"{name} was not written" in shown.err
    assert "Traceback" not in shown.err
