"""Latents, items per latent, calls, tokens, money and power that a claim needs, before anything is spent.

Variance components come from a pilot run (--pilot), or from stated defaults: detection on 237 GPT-2 latents, true
spread .13, recall and specificity .8. A pilot of about 100 latents is worth its price.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

# Tokens per call of the established prompts (2410.13928: 20 calls of 5 contexts): fuzzing 980, detection 850 in, of
# which 710 and 595 are a shared prefix; an explanation from 40 examples of 32 tokens is an estimate.
TOKENS_PER_QUESTION = {"in": 915, "cached": 650, "out": 12}
TOKENS_PER_EXPLANATION = {"in": 3000, "cached": 900, "out": 60}


def _at_least_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= 10**6:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 to 1,000,000")
    return int(text)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add arguments."""
    parser.add_argument(
        "--kind",
        choices=("superiority", "tost", "ni"),
        default="tost",
        help="superiority; tost: equivalence; ni: not worse (tost)",
    )
    parser.add_argument("--margin", type=float, default=0.02, help="smallest difference that matters (.02)")
    parser.add_argument("--power", type=float, default=0.8, help="chance to succeed (.8)")
    parser.add_argument("--alpha", type=float, default=0.05, help="error rate (.05)")
    parser.add_argument("--pilot", type=Path, help="run directory that variance components and costs are taken from")
    parser.add_argument("--scorer", default="detection", help="scorer of the pilot to plan for (detection)")
    parser.add_argument("--tau", type=float, help="true spread of latents' scores")
    parser.add_argument("--recall", type=float, help="mean recall")
    parser.add_argument("--specificity", type=float, help="mean specificity")
    parser.add_argument(
        "--positives", type=_at_least_one, default=20, help="activating contexts per latent and scorer (20)"
    )
    parser.add_argument("--negatives", type=_at_least_one, default=20, help="other contexts per latent and scorer (20)")
    parser.add_argument("--rho", type=float, help="paired design: correlation of true scores at two checkpoints")
    parser.add_argument(
        "--arms", type=_at_least_one, default=2, help="dictionaries to be judged, all pairs compared (2)"
    )
    parser.add_argument(
        "--proportional-share",
        type=float,
        help="share of latents drawn by firing rate (the sampling's default)",
    )
    parser.add_argument("--rate-sd", type=float, default=2.0, help="spread of log firing rates (2)")
    parser.add_argument("--scorers", type=_at_least_one, default=2, help="scorers per latent (2)")
    parser.add_argument("--per-question", type=_at_least_one, default=5, help="contexts per prompt (5)")
    parser.add_argument("--seed-sd", type=float, help="also: training seeds needed at this spread between seeds")
    parser.add_argument("--price-in", type=float, default=0.0, help="money per million tokens in")
    parser.add_argument("--price-cached", type=float, help="money per million cached tokens (as --price-in)")
    parser.add_argument("--price-out", type=float, default=0.0, help="money per million tokens out")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Plan and print."""
    import json
    from dataclasses import asdict

    from autointerp.cli import _tables
    from autointerp.errors import StudyError
    from autointerp.statistics.planning import DEFAULT_PROPORTIONAL_SHARE, allocate, plan, seeds_needed

    parts = _components(args)
    shared: dict[str, Any] = {name: parts[name] for name in ("tau", "recall", "specificity")}
    given = args.proportional_share
    try:
        found = plan(
            margin=args.margin,
            kind=args.kind,
            **shared,
            n_positive=args.positives,
            n_negative=args.negatives,
            rho=args.rho,
            alpha=args.alpha,
            power=args.power,
            arms=args.arms,
            scorers=args.scorers,
            n_per_question=args.per_question,
            rate_sd=args.rate_sd,
            n_eff_share=parts["n_eff_share"] or None,
            proportional_share=DEFAULT_PROPORTIONAL_SHARE if given is None else given,
        )
        per_item = parts["question_tokens"] / args.per_question
        best = allocate(**shared, cost_explain=parts["explain_tokens"], cost_item=per_item * args.scorers, rho=args.rho)
        seeds = None
        if args.seed_sd is not None:
            se = (found.variance / found.n_latents / found.study.share) ** 0.5
            seeds = seeds_needed(
                margin=args.margin, seed_sd=args.seed_sd, se_mean=se, kind=args.kind, alpha=args.alpha, power=args.power
            )
    except ValueError as error:
        raise StudyError(str(error)) from error
    cost = _cost(args, found.n_latents * args.arms, found.n_questions)
    table = {n: found.study.power(n) for n in (50, 100, 200, 400, 800, 1600)}
    value = {
        "components": parts,
        "plan": asdict(found),
        "cost": cost,
        "power": table,
        "allocation": asdict(best),
        "seeds": seeds,
    }
    if args.json:
        print(json.dumps(value, indent=2))
        return 0
    _tables.show(*_shown(value, args))
    return 0


def _components(args: argparse.Namespace) -> dict[str, float]:
    """Take variance components from flags, else the pilot, else the defaults."""
    from autointerp.errors import StudyError
    from autointerp.run.reading import read_tables, refuse_empty
    from autointerp.statistics import latent_scores
    from autointerp.statistics.planning import DEFAULT_RECALL, DEFAULT_SPECIFICITY, DEFAULT_TAU
    from autointerp.statistics.variance import varcomp

    found = {
        "tau": DEFAULT_TAU,
        "recall": DEFAULT_RECALL,
        "specificity": DEFAULT_SPECIFICITY,
        "n_eff_share": 0.0,  # 0: from the sampling design
        "question_tokens": float(TOKENS_PER_QUESTION["in"]),
        "explain_tokens": float(TOKENS_PER_EXPLANATION["in"]),
    }
    if args.pilot:
        pilot = read_tables(args.pilot)
        refuse_empty(pilot, args.pilot)
        scores = latent_scores(pilot.judgements, pilot.latents)
        table = varcomp(scores)
        rows = table[table["scorer"] == args.scorer] if len(table) else table
        if rows.empty:
            there = ", ".join(table["scorer"].unique()) if len(table) else "none with answers"
            raise StudyError(f"--scorer {args.scorer} was not scored in {args.pilot}; use one of: {there}")
        if int(rows["n"].max()) < 2:
            raise StudyError(
                f"--pilot {args.pilot} has one scored latent; how far latents differ takes at least two latents of one "
                "dictionary (100 are a fair pilot), or give --tau"
            )
        found["tau"] = float((rows["tau"] ** 2).mean() ** 0.5)
        found["n_eff_share"] = _effective_share(scores[scores["scorer"] == args.scorer])
        found["recall"], found["specificity"] = float(rows["recall"].mean()), float(rows["specificity"].mean())
    given = {name: getattr(args, name) for name in ("tau", "recall", "specificity") if getattr(args, name) is not None}
    return {**found, **given}


def _effective_share(scores: "pd.DataFrame") -> float:
    """Return n_eff / n of a pilot's sampling, the least over its dictionaries."""
    import numpy as np

    weights = [1 / part["inclusion_probability"].to_numpy(float) for _, part in scores.groupby("dictionary")]
    return min(float(np.sum(w) ** 2 / np.sum(w**2) / len(w)) for w in weights)


def _cost(args: argparse.Namespace, n_explanations: int, n_questions: int) -> dict[str, float]:
    """Add up tokens and money of all explanations and questions."""
    tokens = {
        kind: n_questions * TOKENS_PER_QUESTION[kind] + n_explanations * TOKENS_PER_EXPLANATION[kind]
        for kind in ("in", "cached", "out")
    }
    price_cached = args.price_in if args.price_cached is None else args.price_cached
    fresh = tokens["in"] - tokens["cached"]
    money = (fresh * args.price_in + tokens["cached"] * price_cached + tokens["out"] * args.price_out) / 1e6
    return {
        "tokens_in": tokens["in"],
        "tokens_cached": tokens["cached"],
        "tokens_out": tokens["out"],
        "money": round(money, 2),
    }


def _shown(value: dict, args: argparse.Namespace) -> list:
    """Lay the plan out as tables."""
    from autointerp.cli._tables import grid

    found, cost, best = value["plan"], value["cost"], value["allocation"]
    unit = "latents per arm" if args.rho is None else "pairs"
    rows = [
        ["to show", f"{args.kind} at margin {args.margin:g}, power {args.power:g}, alpha {args.alpha:g}"],
        [
            "comparisons that share alpha",
            f"{found['n_comparisons']} ({args.arms} dictionaries, {args.scorers} scorers)",
        ],
        ["effective / drawn latents", f"{found['study']['share']:.2f}"],
        ["power by all scorers at once", f"{found['power_all']:.2f}"],
        [unit, str(found["n_latents"])],
        ["items per latent and scorer", f"{args.positives} + {args.negatives}"],
        ["best items per latent for the money", f"{best['n_positive']} + {best['n_negative']}"],
        ["calls", f"{found['n_calls']:,} ({found['n_questions']:,} questions)"],
        ["tokens in / cached / out", f"{cost['tokens_in']:,} / {cost['tokens_cached']:,} / {cost['tokens_out']:,}"],
        ["money", f"{cost['money']:,.2f}"],
        ["from", ", ".join(f"{name} {value['components'][name]:.3f}" for name in ("tau", "recall", "specificity"))],
    ]
    if value["seeds"] is not None:
        rows.append(["training seeds per arm", str(value["seeds"])])
    power = [[str(n), f"{each:.2f}", f"{every:.2f}"] for n, (each, every) in value["power"].items()]
    curve = [[str(n), f"{ratio:.2f}"] for n, ratio in best["curve"]]
    return [
        grid("Plan", ["", ""], rows),
        grid("Power of the verdict", [unit, "by one scorer", "by all"], power),
        grid("Items per latent: variance at equal cost, over the best", ["items", "ratio"], curve),
    ]
