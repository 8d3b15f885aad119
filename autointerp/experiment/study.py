"""The study file: what is measured, on which text, by which LLMs; frozen, unknown keys rejected, validated first.

Every section is defined in the room that uses it; this file only puts them together. Paths are relative to the
directory the command runs in; `embedded/...` is what the package ships.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    ValidationError,
    model_serializer,
    model_validator,
)

from autointerp import plugins
from autointerp.asking.ask import AskConfig
from autointerp.asking.budget import LimitsConfig
from autointerp.collection.base import CollectConfig, SamplingConfig
from autointerp.corpus.base import WindowsConfig
from autointerp.dictionaries import globs
from autointerp.dictionaries.base import DictionaryConfig
from autointerp.dictionaries.registry import look_up
from autointerp.errors import StudyError
from autointerp.examples.base import ExamplesConfig
from autointerp.experiment.settings import override, problems, truth_value_as_number, validated
from autointerp.llm import base as llm
from autointerp.qualification.base import QualifyConfig
from autointerp.reconstruction.base import ReconstructionConfig
from autointerp.records import RESERVED
from autointerp.run import yaml_files
from autointerp.run.files import fingerprint
from autointerp.scorers.base import ControlsConfig
from autointerp.statistics.base import StatisticsConfig
from autointerp.subject.base import EMBEDDED as EMBEDDED
from autointerp.subject.base import SubjectConfig, located

# Sections that change how fast or how safely a run goes, never its results.
OPERATIONAL = ("limits", "ask", "execution")
# Sections that two runs must share before their scores may be compared.
PROTOCOL = ("windows", "examples", "explainer", "scorers", "controls", "corpus")


class Member(BaseModel):
    """A member of a plugin family with its settings: `{use: detection, n_per_question: 5}`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: ClassVar[str] = ""

    use: str
    settings: SerializeAsAny[BaseModel]

    @model_validator(mode="before")
    @classmethod
    def _find(cls, value: object) -> object:
        if isinstance(value, str):
            value = {"use": value}
        if not isinstance(value, Mapping) or "use" not in value:
            raise ValueError(f"should be a name or {{use: name, ...}}; names: {', '.join(plugins.names(cls.family))}")
        if set(value) == {"use", "settings"} and isinstance(value["settings"], BaseModel):
            return value
        if not isinstance(value["use"], str):
            raise ValueError(f"use: should be a name (it is {yaml_files.short(value['use'])})")
        module = plugins.load(cls.family, value["use"])
        rest = {key: item for key, item in value.items() if key != "use"}
        try:
            settings = module.Config.model_validate(rest)
        except ValidationError as error:
            raise ValueError("; ".join(problems(error))) from error
        if wrong := truth_value_as_number(rest, settings.model_dump(mode="json")):
            raise ValueError(wrong)
        return {"use": value["use"], "settings": settings}

    @model_serializer
    def _flat(self) -> dict[str, Any]:
        return {"use": self.use, **self.settings.model_dump(mode="json")}

    @property
    def module(self) -> Any:
        """The member's module."""
        return plugins.load(self.family, self.use)


class CorpusMember(Member):
    """A source of text."""

    family = "corpus"


class ExplainerMember(Member):
    """The explainer's prompt and settings."""

    family = "explainers"


class ScorerMember(Member):
    """A scorer and its settings."""

    family = "scorers"


class ExecutionMember(Member):
    """Settings of where shards are computed."""

    family = "execution"


class LLMMember(Member):
    """A back end that replies to prompts."""

    family = "llm"

    @property
    def title(self) -> str:
        """The back end with the name of its model, where it has one."""
        model = getattr(self.settings, "model", "")
        return f"{self.use}:{model}" if model else self.use

    @property
    def price(self) -> llm.Price:
        """Price of its tokens; free for a back end without a price."""
        return getattr(self.settings, "price", llm.Price())


def _unique(dictionaries: tuple[DictionaryConfig, ...]) -> tuple[DictionaryConfig, ...]:
    names = [dictionary.name for dictionary in dictionaries]
    if reserved := sorted(RESERVED.intersection(names)):
        raise ValueError(f"the name {reserved[0]!r} is reserved for tables; reserved: {', '.join(sorted(RESERVED))}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"names must differ; twice: {', '.join(twice)} (set `name:` on each)")
    trained = [dictionary.name for dictionary in dictionaries if dictionary.control is None]
    for dictionary in dictionaries:
        if dictionary.control is not None and dictionary.source not in trained:
            raise ValueError(
                f"{dictionary.name}: a control's source names a dictionary of this study, not {dictionary.source!r}; "
                f"use one of: {', '.join(trained) or 'none'}"
            )
    return dictionaries


class Study(BaseModel):
    """A whole experiment."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(description="names the run directory results/<name>", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    seed: int = Field(default=0, ge=0, lt=2**63, description="of every random draw")
    subject: SubjectConfig = Field(description="model that the dictionaries were trained on")
    corpus: CorpusMember = Field(description="the text it reads")
    windows: WindowsConfig = Field(default_factory=WindowsConfig, description="how text becomes contexts and windows")
    dictionaries: Annotated[tuple[DictionaryConfig, ...], AfterValidator(_unique)] = Field(
        min_length=1, description="the sparse autoencoders and transcoders to compare"
    )
    collection: CollectConfig = Field(default_factory=CollectConfig, description="the pass over the subject")
    sampling: SamplingConfig = Field(default_factory=SamplingConfig, description="which latents are explained")
    examples: ExamplesConfig = Field(default_factory=ExamplesConfig, description="what is shown and what is judged")
    reconstruction: ReconstructionConfig = Field(
        default_factory=ReconstructionConfig, description="what the dictionaries preserve"
    )
    explainer: ExplainerMember = Field(
        default_factory=lambda: ExplainerMember.model_validate("default"), description="writes explanations"
    )
    explainer_llm: LLMMember = Field(description="answers the explainer's prompts")
    scorers: tuple[ScorerMember, ...] = Field(
        default_factory=lambda: tuple(ScorerMember.model_validate(name) for name in ("detection", "fuzzing")),
        min_length=1,
        description="judge the explanations",
    )
    judge_llm: LLMMember = Field(description="answers the scorers' prompts")
    qualify: QualifyConfig = Field(
        default_factory=QualifyConfig, description="planted rules that explainer and judge must pass first"
    )
    controls: ControlsConfig = Field(default_factory=ControlsConfig, description="checks that every run carries")
    prompts: str | None = Field(default=None, description="a folder of templates to use instead of the shipped ones")
    execution: ExecutionMember = Field(
        default_factory=lambda: ExecutionMember.model_validate("local"),
        description="where the subject runs: this process, several, a Ray cluster or a Slurm array; changes no result",
    )
    ask: AskConfig = Field(default_factory=AskConfig, description="retries, caching")
    limits: LimitsConfig = Field(default_factory=LimitsConfig, description="stop cleanly when these are reached")
    statistics: StatisticsConfig = Field(default_factory=StatisticsConfig, description="levels, margins")

    @model_validator(mode="after")
    def _reference_is_a_dictionary(self) -> "Study":
        names = [one.name for one in self.dictionaries]
        if self.statistics.reference not in (None, *names):
            raise ValueError(
                f"statistics.reference {self.statistics.reference!r} is not a dictionary of this study; "
                f"use one of: {', '.join(names)}"
            )
        return self

    @property
    def control_names(self) -> frozenset[str]:
        """Names of the dictionaries that are controls of another one."""
        return frozenset(one.name for one in self.dictionaries if one.control is not None)

    def protocol(self) -> dict[str, Any]:
        """Return the sections that two runs must share before their scores may be compared."""
        return {name: value for name, value in dump_study(self).items() if name in PROTOCOL}

    def fingerprint(self) -> str:
        """Hash everything that can change a result."""
        return fingerprint(essential(dump_study(self)))


def essential(values: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a dumped study that can change a result."""
    kept = {section: value for section, value in values.items() if section not in OPERATIONAL}
    if isinstance(kept.get("qualify"), dict) and kept["qualify"].get("mode") != "auto":
        del kept["qualify"]  # it decides whether a run continues, never its results
    for section in ("explainer_llm", "judge_llm"):
        if isinstance(kept.get(section), dict):
            kept[section] = {key: value for key, value in kept[section].items() if key not in llm.OPERATIONAL}
    return kept


def dump_study(study: Study) -> dict[str, Any]:
    """Return the study as plain YAML-able values, defaults written out."""
    return study.model_dump(mode="json")


def study_yaml(study: Study) -> str:
    """Write the study as YAML that `load` reads back to an equal study."""
    return yaml_files.dump(dump_study(study))


def validate_study(values: Mapping[str, Any], *, source: str) -> Study:
    """Check a study.

    Raises:
        StudyError: all problems, one a line, with similar names for unknown settings.
        DictionaryError: a pattern of dictionaries that matches nothing, or dictionaries of several subjects.
    """
    if isinstance(named := values.get("dictionaries"), list | tuple):
        values = _chosen({**values, "dictionaries": globs.expanded(named)})
    return validated(Study, values, source=source)


def _chosen(values: dict[str, Any]) -> dict[str, Any]:
    """Return a study in which Neuronpedia's names of single latents are a dictionary and its chosen latents.

    Several latents of one dictionary, each named by itself, become one dictionary.
    """
    kept: dict[str, Any] = {}
    latents: dict[str, list[int]] = {}
    for one in values["dictionaries"]:
        source = one.get("source") if isinstance(one, Mapping) else None
        named = look_up(located(source)) if isinstance(source, str) and not one.get("control") else None
        if named is None or named.latent is None:
            kept[f"{len(kept)} {source}"] = one
            continue
        held = kept.setdefault(named.entry.name, {**one, "source": named.entry.name})
        latents.setdefault(held["name"], []).append(named.latent)
    if not latents:
        return values
    sampling = values.get("sampling") or {}
    return {
        **values,
        "dictionaries": list(kept.values()),
        "sampling": {**sampling, "latents": latents | dict(sampling.get("latents") or {})},
    }


def load_study(path: Path | str, overrides: list[str] | None = None) -> Study:
    """Read a study file and apply `key.sub=value` overrides.

    Raises:
        StudyError: the file is missing, not YAML, or not a valid study.
    """
    return validate_study(override(read_study(path), overrides or []), source=str(path))


def read_study(path: Path | str) -> dict[str, Any]:
    """Read the settings of a study file, unchecked.

    Raises:
        StudyError: the file is missing, not YAML, or holds no settings.
    """
    path = Path(path)
    try:
        values = yaml_files.load(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StudyError(f"study file {path}: {error.strerror}; `autointerp init {path}` writes one") from error
    except ValueError as error:
        raise StudyError(f"study file {path} is not YAML of settings: {error}") from error
    if not isinstance(values, dict):
        raise StudyError(
            f"study file {path} should hold settings like `name: my-study`; it holds {yaml_files.short(values)}"
        )
    return values
