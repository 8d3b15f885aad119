"""The words of every output: one label per population, metric, statistic, verdict and control, and a glossary."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """A reconstruction metric's label, its digits, and whether an interval over documents is shown."""

    label: str
    digits: int = 3
    interval: bool = True


POPULATIONS = {
    "eligible": "eligible latents",
    "standardised": "equal firing rates",
    "iti": "all latents (ITI)",
    "freq": "weighted by firing",
}
# What a comparison is of: scores over a population; F1 and precision at the firing rates of real text.
COMPARED = {"eligible": "eligible", "iti": "all latents", "f1": "F1", "precision": "precision"}
METRICS = {
    "fvu": Metric("FVU"),
    "ce_increase": Metric("CE increase (nats)"),
    "kl": Metric("KL (nats)"),
    "l0": Metric("L0", digits=1),
    # A share of latents over the documents' union: resampling documents can only lower it, so it has no interval here.
    "dead_share": Metric("silent in these documents", interval=False),
    "dense_share": Metric("dense in these documents", interval=False),
}
VERDICTS = {
    "better": "better",
    "worse": "worse",
    "equivalent": "equivalent",
    "better_but_negligible": "better, below the margin",
    "worse_but_negligible": "worse, below the margin",
    "inconclusive": "inconclusive",
    "invalid": "INVALID",
    "exploratory": "exploratory",
}
PRESERVED = {
    **VERDICTS,
    "better": "loses less",
    "worse": "loses more",
    "better_but_negligible": "loses less, below the margin",
    "worse_but_negligible": "loses more, below the margin",
}
CONTROLS = {
    "shuffled": "shuffled explanation",
    "empty": "empty explanation",
    "lexical": "modal tokens, no judge",
    "planted": "planted latents",
    "missing": "unanswered questions",
    "duplicate": "question asked twice",
}
MEASURES = {
    "score": "balanced accuracy",
    "score_hard": "balanced accuracy, hard negatives",
    "sensitivity + specificity - 1": "sensitivity + specificity − 1",
    "share": "share",
    "moved": "change of sensitivity + specificity − 1",
    "gap": "largest difference between dictionaries",
}
COVERAGE = {
    "total": "total",
    "alive": "alive",
    "eligible": "eligible",
    "sampled": "sampled",
    "explained": "explained",
    "scored": "scored",
}
# Terms of the field, in the order of an experiment; the first page of the documentation lists them.
TERMS = {
    "subject": "The language model whose activations are studied.",
    "site": "A point in the subject where activations are read, such as model.layers.5.mlp.output.",
    "dictionary": "A sparse autoencoder (SAE), transcoder or skip transcoder: an encoder to many latents and a "
    "decoder back.",
    "latent": 'One unit of a dictionary (elsewhere: "feature").',
    "window": "A fixed number of consecutive tokens of one document; the unit that is shown and judged.",
    "example": "A window with one latent's activations on it.",
    "positive, negative": "An example on which the latent is active; one on which it is silent.",
    "hard negative": "A negative similar to the positives: shared words, a neighbouring latent, near by embedding.",
    "explain split, held-out split": "Documents shown to the explainer; documents that explanations are judged on.",
    "decile": "A tenth of a latent's active windows by strength; positives are sampled evenly over deciles.",
    "explainer": "Writes an explanation of a latent from examples of the explain split.",
    "judge": "Answers whether a held-out window matches an explanation.",
    "scorer": "Turns held-out examples into questions and replies into judgements: detection, fuzzing, intruder, "
    "embedding.",
    "detection": "The judge is asked which windows activate the latent.",
    "fuzzing": "The judge is asked whether the marked tokens are those that activate the latent.",
    "balanced accuracy": "Mean of recall over deciles and specificity; 0.5 for a judge that ignores the text, 1 is "
    "perfect. By embeddings the score is the AUROC instead, on the same scale.",
    "control": "Questions with a known score: shuffled, empty and planted explanations, duplicates, a lexical "
    "baseline.",
    "planted latents": "Control: rules with known explanations, run over the study's own text; a usable judge "
    "recognises them.",
    "alive": "Latents that fired at least once in the collected text; the others are dead.",
    "eligible": "Alive latents with enough activating contexts to explain and judge, and not dense.",
    "population": "The latents that an estimate is about; one of the next four.",
    "eligible latents": "Mean over the latents that fire often enough, and not too often, to be explained and judged.",
    "equal firing rates": "The same mean after weighting every dictionary's latents to the same distribution of "
    "firing rates, so that a difference is not one of frequency.",
    "all latents (ITI)": "Intent to interpret: every latent of the dictionary counts; one that cannot be judged "
    "counts as chance (0.5).",
    "weighted by firing": "Mean over eligible latents, each weighted by how often it fires.",
    "FVU": "Fraction of the activations' variance that the dictionary's reconstruction leaves unexplained.",
    "L0": "Mean number of latents that fire on a token.",
    "CE increase (nats)": "Rise of the subject's next-token cross-entropy if reconstructions replace its activations.",
    "verdict": "better, worse, equivalent, inconclusive or INVALID; a word is printed only if its test passed.",
    "gate": "A sequential non-inferiority test of a new run against a reference run, for CI.",
    "look": "One of the planned times at which a gate may stop.",
}
# TERMS and labels of tables.
GLOSSARY = {
    **TERMS,
    "all latents": "Mean score over all latents (ITI): one that cannot be judged counts as chance (0.5).",
    "F1": "F1 of the judge's answers in real text, where latents fire rarely: punishes broad labels.",
    "precision": "Share of yes answers that are right in real text, where latents fire rarely.",
    "intruder": "Scorer: the judge picks the one context in which the latent does not fire.",
    "embedding": "Scorer: contexts are ranked by the similarity of their embedding to the explanation's.",
    "KL (nats)": "KL divergence of the model's predictions with the reconstruction from those without.",
    "silent in these documents": "Share of latents that fire on no token of the held-out documents used for "
    "reconstruction; far more text is read before a latent is called dead (see Coverage, alive).",
    "dense in these documents": "Share of latents that fire on more than a tenth of the tokens of these documents.",
    "total": "All latents of the dictionary.",
    "sampled": "Eligible latents drawn at random for explaining and judging.",
    "explained": "Sampled latents for which the explainer gave an explanation.",
    "scored": "Explained latents with at least one answered question.",
    "explanation failed": "Sampled latents for which the explainer gave no usable explanation.",
    "shuffled explanation": "Control: the judge gets another latent's explanation; it must score 0.5.",
    "empty explanation": "Control: the judge gets no explanation; it must score 0.5.",
    "modal tokens, no judge": "For information: score of the rule “contains the latent's most frequent peak tokens”.",
    "unanswered questions": "Control: share of questions without a readable answer, and its difference between "
    "dictionaries.",
    "question asked twice": "For information: agreement of the judge with itself.",
    "better": "The difference is significant after adjustment for multiple comparisons.",
    "worse": "The difference is significant after adjustment for multiple comparisons.",
    "equivalent": "The equivalence test passed: the difference is smaller than the margin.",
    "inconclusive": "Neither a difference nor equivalence could be shown with this many latents.",
    "INVALID": "A control failed, so that these scores must not be read as results.",
    "trivial": "At least 90 % of the latent's strongest contexts peak on one and the same token.",
    "p (adjusted)": "p value of the difference, adjusted for multiple comparisons within its family.",
    "p (equivalence)": "p value of the test that the difference is smaller than the margin, adjusted likewise.",
}


def explain(term: str) -> str:
    """Return the glossary's line for a term, or nothing."""
    return GLOSSARY.get(term, "")
