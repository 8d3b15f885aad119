"""delphi: `run_config.json`, `explanations/<hookpoint>_latent<i>.txt`, `scores/<scorer>/<hookpoint>_latent<i>.txt`.

Source: github.com/EleutherAI/delphi at 3c2e139 (`__main__.py`, `config.py`, `scorers/classifier/sample.py`). A score
file is a JSON list of judged contexts; the score is the balanced accuracy of those with a prediction, as delphi's
`log/result_analysis.py` computes it, but missing where a latent has no positives or no negatives.
"""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from autointerp.report.imports.base import Imported, table_of

NAME = re.compile(r"(?P<hookpoint>.+)_latent(?P<latent>\d+)")
CLASSIFIERS = {"fuzz": "fuzzing", "detection": "detection"}
NOTES = (
    "delphi's scores: explanations may have been written from the documents they are judged on, and no control was run",
)


def recognises(folder: Path) -> bool:
    """Whether this is a folder of one delphi run."""
    return (folder / "scores").is_dir() and (
        (folder / "run_config.json").is_file() or (folder / "explanations").is_dir()
    )


def read(folder: Path) -> Imported:
    """Read scores, explanations and settings.

    Raises:
        TableError: no score file can be read.
    """
    left: Counter[str] = Counter()
    rows = []
    for path in sorted((folder / "scores").glob("*/*.txt")):
        found, items = NAME.fullmatch(path.stem), _json(path)
        scorer = CLASSIFIERS.get(path.parent.name)
        if scorer is None:
            left[f"files of scorer {path.parent.name}, which has no counterpart"] += 1
        elif found is None or not isinstance(items, list) or not all(map(_is_item, items)):
            left["unreadable score files"] += 1
        else:
            row = {"dictionary": found["hookpoint"].replace("--", "/"), "latent": int(found["latent"])}
            text = _json(folder / "explanations" / f"{path.stem.replace('--', '/')}.txt")
            rows.append(
                {**row, "scorer": scorer, **score(items), "explanation": text if isinstance(text, str) else None}
            )
    config = _json(folder / "run_config.json")
    settings = study(config) if isinstance(config, dict) else {}
    return Imported(table=table_of(rows, folder), study=settings, left_out=dict(left), notes=NOTES)


def score(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Return recall, specificity and their mean over judged contexts; those without a prediction are unanswered."""
    answered = [item for item in items if item.get("prediction") is not None]
    positive = [bool(item["prediction"]) for item in answered if item["activating"]]
    negative = [not item["prediction"] for item in answered if not item["activating"]]
    recall, specificity = (sum(side) / len(side) if side else None for side in (positive, negative))
    mean = None if recall is None or specificity is None else (recall + specificity) / 2
    return {
        "score": mean,
        "recall": recall,
        "specificity": specificity,
        "n_items": len(items),
        "n_unanswered": len(items) - len(answered),
    }


def study(config: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a study that does what a delphi run's settings say."""
    cache, constructor, sampler = (config.get(f"{name}_cfg") or {} for name in ("cache", "constructor", "sampler"))
    source, per_prompt = config.get("sparse_model", ""), config.get("num_examples_per_scorer_prompt", 5)
    scorers = [CLASSIFIERS[name] for name in config.get("scorers", []) if name in CLASSIFIERS]
    local = "/" not in source or source.startswith((".", "/"))
    hard = {"neighbours": ["cofiring"], "FAISS": ["embedding"]}.get(constructor.get("non_activating_source", ""), [])
    model = {"model": config.get("explainer_model", "")}
    offline = config.get("explainer_provider", "offline") == "offline"
    server = {"use": "openai", "base_url": "https://openrouter.ai/api/v1", "api_key_env": "OPENROUTER_API_KEY"}
    llm = {"use": "vllm", **model} if offline else {**server, **model}
    embedding = {"embedding_model": constructor.get("faiss_embedding_model")} if hard == ["embedding"] else {}
    return {
        "name": re.sub(r"[^A-Za-z0-9._-]+", "-", config.get("name") or "delphi").strip("-.") or "delphi",
        "seed": config.get("seed", 22),
        "subject": {"model": config.get("model", "")},
        "corpus": {
            "use": "huggingface",
            "name": cache.get("dataset_repo", ""),
            "split": re.sub(r"\[.*\]", "", cache.get("dataset_split", "train")),
            **({"subset": cache["dataset_name"]} if cache.get("dataset_name") else {}),
        },
        "windows": {
            "n_tokens": cache.get("n_tokens", 10**7),
            "context_length": cache.get("cache_ctx_len", 256),
            "window_length": constructor.get("example_ctx_len", 32),
        },
        "dictionaries": [
            {"name": hook, "source": f"{source}{'/' if local else ':'}{hook}"} for hook in config.get("hookpoints", [])
        ],
        "sampling": {"n_latents": config.get("max_latents") or "all"},
        "examples": {
            "min_windows": constructor.get("min_examples", 200),
            "n_explain": sampler.get("n_examples_train", 40),
            "n_positives": sampler.get("n_examples_test", 50),
            "n_negatives": constructor.get("n_non_activating", 50),
            **({"hard": hard, **embedding} if hard else {"n_hard": 0}),
        },
        "explainer": {"use": "default", "n_examples": sampler.get("n_examples_train", 40)},
        "explainer_llm": llm,
        "judge_llm": llm,
        "scorers": [{"use": name, "n_per_question": per_prompt} for name in scorers or CLASSIFIERS.values()],
    }


def _is_item(item: object) -> bool:
    return isinstance(item, dict) and isinstance(item.get("activating"), bool) and "prediction" in item


def _json(path: Path) -> Any:
    """Read a JSON file; None where it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
