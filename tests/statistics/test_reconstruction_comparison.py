"""FVU and cross-entropy increase of arms compared: over documents, over seeds, over layers."""

import numpy as np
import pandas as pd
import pytest

from autointerp.errors import TableError
from autointerp.statistics import StatisticsConfig, compare_reconstruction
from autointerp.statistics.reconstruction_comparison import of_documents, over_seeds
from tests.helpers.bands import band
from tests.helpers.simulate import Arm, dictionaries_table

SAE, TC, SKIP = "sae", "transcoder", "skip-transcoder"


def measured(
    arms: list[Arm], losses: dict[str, float], rng: np.random.Generator, n: int = 60, noise: float = 0.01
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Documents of unequal length; each shifts the loss of all dictionaries alike, and of each one by `noise`."""
    tokens = rng.integers(20, 200, n).astype(float)
    hard = rng.normal(0, 0.02, n)
    parts, rows = [], []
    for arm in arms:
        total = tokens * (losses[arm.name] + hard + rng.normal(0, noise, n))
        parts.append(pd.DataFrame({"dictionary": arm.name, "metric": "ce_increase", "document": np.arange(n),
                                   "total": total, "weight": tokens}))  # fmt: skip
        value = total.sum() / tokens.sum()
        interval = {"value": value, "low": value - 0.006, "high": value + 0.006, "level": 0.95}
        rows.append({"dictionary": arm.name, "metric": "ce_increase", **interval, "n_documents": n, "n_tokens": 9})
    return pd.DataFrame(rows), dictionaries_table(arms), pd.concat(parts, ignore_index=True)


def test_paired_error_equals_the_jackknife_over_documents() -> None:
    arms = [Arm(name="a"), Arm(name="b", architecture=TC)]
    rng = np.random.default_rng(1)
    table, dictionaries, documents = measured(arms, {"a": 0.05, "b": 0.03}, rng)
    row = compare_reconstruction(table, dictionaries, documents).iloc[0]
    wide = documents.pivot(index="document", columns="dictionary", values="total")
    d, w = (wide["b"] - wide["a"]).to_numpy(), documents.loc[documents["dictionary"] == "a", "weight"].to_numpy()
    left = (d.sum() - d) / (w.sum() - w)
    jackknife = np.sqrt((len(d) - 1) / len(d) * ((left - left.mean()) ** 2).sum())
    assert row["diff"] == pytest.approx(d.sum() / w.sum())
    assert row["se"] == pytest.approx(jackknife, rel=0.03)
    assert (row["design"], row["scope"], row["n_documents"]) == ("documents", "these_dictionaries", 60)
    assert row["verdict"] == "better"  # less is better
    wider = compare_reconstruction(table, dictionaries).iloc[0]
    assert wider["design"] == "intervals"
    assert wider["se"] > 1.5 * row["se"]
    # One that stopped earlier is compared on the documents that both read.
    short = documents[(documents["dictionary"] == "a") | (documents["document"] < 40)]
    both = documents[documents["document"] < 40]
    columns = ["design", "diff", "se", "n_documents", "verdict"]
    mixed, exact = (compare_reconstruction(table, dictionaries, one).iloc[0] for one in (short, both))
    assert mixed[columns].tolist() == exact[columns].tolist()
    assert mixed["n_documents"] == 40


def test_the_same_dictionary_twice_is_equivalent_and_other_documents_are_not_paired() -> None:
    arms = [Arm(name="a"), Arm(name="b", architecture=TC)]
    table, dictionaries, documents = measured(arms, {"a": 0.05, "b": 0.03}, np.random.default_rng(2))
    copy = documents[documents["dictionary"] == "a"]
    same = pd.concat([copy, copy.assign(dictionary="b")])
    row = compare_reconstruction(table, dictionaries, same).iloc[0]
    assert (row["diff"], row["verdict"]) == (0.0, "equivalent")
    other = pd.concat([copy, copy.assign(dictionary="b", weight=copy["weight"] + 1)])
    assert compare_reconstruction(table, dictionaries, other).iloc[0]["design"] == "intervals"


def seeds(n: int, layers: tuple[int, ...] = (2,)) -> list[Arm]:
    return [
        Arm(name=f"{architecture}-{layer}-{seed}", architecture=architecture, seed=seed, layer=layer)
        for architecture in (TC, SKIP) for layer in layers for seed in range(n)
    ]  # fmt: skip


@pytest.mark.parametrize("spread", [0.0, 0.004])
def test_architectures_that_are_alike_differ_in_at_most_five_percent_whatever_seeds_and_documents_do(
    spread: float,
) -> None:
    """Both sources of error count: an effect of documents per architecture (.03) and a spread between seeds."""
    r, n, rejected, rng = 1000, 40, 0, np.random.default_rng(3)
    for _ in range(r):
        tokens = rng.integers(20, 200, n).astype(float)
        arms = []
        for _ in (TC, SKIP):
            of_arm = rng.normal(0, 0.03, n)
            losses = [0.05 + rng.normal(0, spread) + of_arm + rng.normal(0, 0.002, n) for _ in range(3)]
            arms.append([of_documents(tokens * loss, tokens, tokens) for loss in losses])
        row = over_seeds(arms[0], arms[1], "ce_increase", StatisticsConfig())
        rejected += float(str(row["p_diff"])) < 0.05
    assert rejected / r <= band(0.05, r)[1]


def test_seeds_are_the_replicates_of_an_architecture_and_layers_pool() -> None:
    arms, rng = seeds(3, (1, 2)), np.random.default_rng(4)
    losses = {arm.name: (0.05 if arm.architecture == TC else 0.03) + rng.normal(0, 0.001) for arm in arms}
    found = compare_reconstruction(*measured(arms, losses, rng))
    tops = found[(found["scope"] == "architecture")]
    assert sorted(tops["layer"]) == [-1, 1, 2]
    assert set(tops["verdict"]) == {"better"}
    assert set(tops[tops["over"] == "dictionaries"]["n_a"]) == {3}
    assert np.isfinite(found.select_dtypes("number").to_numpy(float)).all()
    one = found[(found["layer"] == 1) & (found["scope"] == "these_dictionaries")]
    assert len(one) == 3  # a pair per seed


def test_one_seed_makes_no_claim_about_architectures() -> None:
    found = compare_reconstruction(
        *measured(seeds(1), {f"{a}-2-0": 0.05 for a in (TC, SKIP)}, np.random.default_rng(5))
    )
    assert set(found["scope"]) == {"these_dictionaries"}


def test_nothing_to_compare_is_an_empty_table_and_nan_is_refused() -> None:
    table, dictionaries, documents = measured([Arm(name="a")], {"a": 0.05}, np.random.default_rng(6))
    assert compare_reconstruction(table, dictionaries, documents).empty
    with pytest.raises(TableError, match="must be finite"):
        compare_reconstruction(table.assign(value=np.nan), dictionaries)


def test_margins_are_settings() -> None:
    arms = [Arm(name="a"), Arm(name="b", architecture=TC)]
    found = measured(arms, {"a": 0.05, "b": 0.03}, np.random.default_rng(7))
    wide = StatisticsConfig.model_validate({"reconstruction_margins": {"ce_increase": 0.1}})
    assert compare_reconstruction(*found, wide).iloc[0]["verdict"] == "better_but_negligible"
