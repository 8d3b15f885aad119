"""Arguments shared by the verbs that run a study, and the study they describe."""

import argparse
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autointerp.errors import StudyError

if TYPE_CHECKING:
    from autointerp.experiment.study import Study

YAML = (".yaml", ".yml")
# Back ends that are programs: any number of contexts in a prompt costs them the same.
PROGRAMS = frozenset({"pattern", "cross_encoder", "scripted"})
# A source with one stands for every dictionary that matches it.
PATTERN = re.compile(r"[*?]")
# What a name in front of `=` looks like; anything else is part of a path.
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that name a study: a file, or a model and dictionaries, or nothing (the embedded default)."""
    parser.add_argument(
        "what",
        nargs="*",
        metavar="STUDY.yaml | MODEL DICTIONARY",
        help="a study file; or a model and its dictionaries (local folders or hub ids, each as PATH or NAME=PATH); "
        "nothing runs the embedded default",
    )
    group = parser.add_argument_group("the common case without a study file")
    group.add_argument(
        "--data",
        metavar="PATH_OR_NAME",
        help="text, jsonl or parquet file or folder; `docstrings`; or a hub data set as org/name[:subset[:split]]",
    )
    group.add_argument(
        "--explainer", metavar="NAME", help="pattern (no LLM), vllm:MODEL, hosted:PROVIDER/MODEL or http://host:port/v1"
    )
    group.add_argument("--explainer-model", metavar="MODEL", help="model of an http explainer that serves several")
    group.add_argument(
        "--judge", metavar="NAME", help="as --explainer, or cross_encoder:DIR (train-judge); default: the explainer"
    )
    group.add_argument("--judge-model", metavar="MODEL", help="model of an http judge that serves several")
    group.add_argument("--tokens", type=count, metavar="N", help="tokens of text to read, such as 500k or 10M")
    group.add_argument(
        "--layers", metavar="N-M", help="of dictionaries named by a pattern, release or folder: 0-33 or 0,4,8"
    )
    group.add_argument("--latents", metavar="N", help="latents to explain per dictionary, or `all`")
    group.add_argument("--scorers", metavar="NAME,...", help="detection, fuzzing, intruder, embedding, or ./mine.py")
    group.add_argument("--explainer-prompt", metavar="NAME", help="default, contrastive, single_token, or ./mine.py")
    group.add_argument("--seed", type=int, metavar="N", help="seed of every random draw")
    group.add_argument("--device", metavar="NAME", help="where the subject runs: cpu, cuda, cuda:1")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY.SUB=VALUE",
        dest="overrides",
        help="override one setting of the study; may be given several times",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the run directory; default: results/<study name>")


def count(text: str) -> int:
    """Read a count such as 2000, 500k or 10M."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMbB]?)", text)
    if not match:
        raise argparse.ArgumentTypeError(f"{text!r} is not a count such as 2000, 500k or 10M")
    return int(float(match[1]) * {"": 1, "k": 10**3, "m": 10**6, "b": 10**9}[match[2].lower()])


def study_of(args: argparse.Namespace) -> "Study":
    """Return the study that the arguments describe.

    Raises:
        StudyError: the arguments do not go together, or the study is not valid.
    """
    from autointerp.experiment.study import EMBEDDED, read_study

    what: list[str] = args.what
    if not what:
        values, source = read_study(EMBEDDED / "study.yaml"), "the embedded study"
    elif what[0].endswith(YAML):
        if len(what) > 1:
            raise StudyError(f"a study file names its own dictionaries; what are {' '.join(what[1:])} for?")
        values, source = read_study(what[0]), what[0]
    elif len(what) == 1:
        raise StudyError(f"{what[0]}: a study file ends in .yaml; for a model, name its dictionaries after it")
    else:
        values, source = _from_names(what[0], what[1:], args), "arguments"
    return study_with(values, source, args)


def study_with(values: dict[str, Any], source: str, args: argparse.Namespace) -> "Study":
    """Return the study of these settings, changed as the other arguments say.

    Raises:
        StudyError: the arguments do not go together, or the study is not valid.
    """
    from autointerp.experiment.settings import override
    from autointerp.experiment.study import validate_study

    values = with_layers(values, args.layers)
    return validate_study(override(with_llms(values, args), [*_shortcuts(args), *args.overrides]), source=source)


def out_of(args: argparse.Namespace, study: "Study") -> Path:
    """Return the run directory."""
    return args.out or Path("results") / study.name


def _shortcuts(args: argparse.Namespace) -> list[str]:
    """Return the settings that the short flags set."""
    from autointerp.run import yaml_files

    given = {
        "windows.n_tokens": args.tokens,
        "sampling.n_latents": args.latents,
        "seed": args.seed,
        "subject.device": args.device,
        "scorers": args.scorers and f"[{args.scorers}]",
        "explainer": args.explainer_prompt,
    }
    settings = [f"{key}={value}" for key, value in given.items() if value is not None]
    if args.data:
        corpus = yaml_files.dump(corpus_of(args.data), default_flow_style=True, width=10**6)
        settings.append(f"corpus={corpus.strip()}")
    return settings


def with_llms(values: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Return a study's values with the LLMs that `--explainer` and `--judge` name, and the settings that follow them.

    Without `--judge` the explainer judges too. The explainer's prompt is `pattern` for the `pattern` back end and never
    for another one. Contexts per prompt set for a program do not apply to a language model.

    Raises:
        StudyError: a name or a model without its server.
    """
    for flag in ("explainer", "judge"):
        if getattr(args, f"{flag}_model") and not getattr(args, flag):
            raise StudyError(f"--{flag}-model names a model of a server: add --{flag} http://host:port/v1")
    values = dict(values)
    explainer = llm_of(args.explainer, args.explainer_model) if args.explainer else None
    judge = llm_of(args.judge, args.judge_model) if args.judge else explainer
    if explainer is not None:
        if explainer["use"] == "cross_encoder":
            raise StudyError("--explainer: a cross_encoder judges and cannot explain; name it by --judge")
        values["explainer_llm"] = explainer
        if explainer["use"] == "pattern":
            values["explainer"] = "pattern"
        elif _use(values.get("explainer")) == "pattern":
            values["explainer"] = "default"
    if judge is not None:
        if _use(values.get("judge_llm")) in PROGRAMS and judge["use"] not in PROGRAMS:
            values["scorers"] = [_without_batch(scorer) for scorer in values.get("scorers", ["detection", "fuzzing"])]
        values["judge_llm"] = judge
    return values


def _use(member: Any) -> str | None:
    return member.get("use") if isinstance(member, dict) else member


def _without_batch(scorer: Any) -> Any:
    if not isinstance(scorer, dict):
        return scorer
    return {key: value for key, value in scorer.items() if key != "n_per_question"}


def study_name(model: str) -> str:
    """Return the default name of a study of a model."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", Path(model).name).strip("-.") or "study"


def _from_names(model: str, dictionaries: list[str], args: argparse.Namespace) -> dict[str, Any]:
    for flag in ("data", "explainer"):
        if not getattr(args, flag):
            raise StudyError(f"--{flag} is needed with a model and dictionaries (or write a study: autointerp init)")
    return {
        "name": study_name(model),
        "subject": {"model": model},
        "dictionaries": named(dictionaries),
    }


def with_layers(values: dict[str, Any], layers: str | None) -> dict[str, Any]:
    """Return a study's values with the layers that `--layers` keeps of every dictionary that stands for several."""
    named = values.get("dictionaries")
    if layers is None or not isinstance(named, list):
        return values
    return {**values, "dictionaries": [one if one.get("control") else {**one, "layers": layers} for one in named]}


def named(sources: list[str]) -> list[dict[str, str]]:
    """Name dictionaries: as `NAME=SOURCE` says, else by the shortest end of the path that no other one shares."""
    pairs = [source.partition("=") for source in sources]
    named = [
        bool(equals and NAME.fullmatch(left)) and not Path(left + equals + right).exists()
        for left, equals, right in pairs
    ]
    given = [
        (left, right) if is_named else ("", left + equals + right)
        for is_named, (left, equals, right) in zip(named, pairs, strict=True)
    ]
    paths = [[part for part in re.split(r"[/:]", source) if part not in {"", ".", ".."}] for _, source in given]
    depth = 1
    while depth < max(map(len, paths)) and len({tuple(parts[-depth:]) for parts in paths}) < len(paths):
        depth += 1
    tails = [re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(parts[-depth:])).strip("-.") or "dictionary" for parts in paths]
    tails = ["" if PATTERN.search(one) else tail for (_, one), tail in zip(given, tails, strict=True)]
    return [{"name": name or tail, "source": source} for (name, source), tail in zip(given, tails, strict=True)]


def corpus_of(text: str) -> dict[str, Any]:
    """Turn `--data` into the study's corpus section.

    Raises:
        CorpusError: local files of no known kind, or of several.
    """
    if text == "docstrings":
        return {"use": "docstrings"}
    from autointerp.corpus import kind_of, section

    if found := section(text):
        return found
    if kind := kind_of(Path(text)):
        return {"use": kind, "path": text}  # reading it says that it does not exist
    name, *rest = text.split(":")
    return {"use": "huggingface", "name": name, **dict(zip(("subset", "split"), rest, strict=False))}


def llm_of(text: str | dict[str, Any], model: str | None) -> dict[str, Any]:
    """Turn `--explainer` or `--judge` into the study's section; a section (from Python) stays as it is.

    Raises:
        StudyError: not one of the forms.
    """
    if isinstance(text, dict):
        return text
    if model and not text.startswith(("http://", "https://")):
        raise StudyError(f"{text!r} names its own model; --explainer-model and --judge-model are for http servers")
    if text == "pattern":
        return {"use": "pattern"}
    if text.startswith(("http://", "https://")):
        return {"use": "openai", "base_url": text, "model": model or ""}
    for use in ("vllm", "hosted", "cross_encoder"):
        if text.startswith(f"{use}:") and text != f"{use}:":
            return {"use": use, "model": text.removeprefix(f"{use}:")}
    raise StudyError(
        f"unknown LLM {text!r}; use pattern, vllm:MODEL, hosted:PROVIDER/MODEL, http://host:port/v1 or, as a judge, "
        "cross_encoder:DIR"
    )
