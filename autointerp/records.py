"""Frozen records that stages pass on. Imports nothing else of the package.

Each stage adds records keyed by a `LatentId`; none is filled in later.
"""

from dataclasses import dataclass, field
from typing import Literal, get_args

Kind = Literal["positive", "random", "hard", "mismarked"]
Answer = Literal["yes", "no", "unanswered"]
Control = Literal["none", "shuffled", "empty", "planted", "lexical", "duplicate"]

# Dictionary name of the planted latents in tables; the columns `planted` and `control` mark them.
PLANTED = "planted"
# Keys of tables next to the names of dictionaries and scorers: no dictionary or scorer may have one of them.
RESERVED = frozenset({"all", "explain", "explainer", "judge", *get_args(Control)})


@dataclass(frozen=True, slots=True, order=True)
class Site:
    """A point of the subject model where activations are read: `<module path>.<input|output>`.

    `transform` is "" for the plain tensor, "pre_gain" for a norm's output before its gain (TransformerLens'
    `ln2.hook_normalized`), and `x0.22` for the tensor times a factor.
    """

    module: str
    side: Literal["input", "output"]
    transform: str = ""

    def __str__(self) -> str:
        """Write the site as users do: `model.layers.2.mlp.output`."""
        return f"{self.module}.{self.side}" + (f":{self.transform}" if self.transform else "")


@dataclass(frozen=True, slots=True, order=True)
class LatentId:
    """One latent of one dictionary. `site` is the site the dictionary reads, as text.

    `planted` marks a rule with a known true explanation. Random draws do not depend on it.
    """

    dictionary: str
    site: str
    index: int
    planted: bool = field(default=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One window of text with one latent's activations on it.

    `pieces` are the texts of the window's tokens (joined they are the window's text); `activations` has the
    same length and is 0 where the latent is silent. `stratum` is the activation decile 0..9 (9 strongest) for a
    positive, the index of its negative stratum otherwise; `stratum_share` is the share of the latent's population
    of its class (activating windows, or non-activating windows) that this stratum represents.
    """

    window: int
    document: int
    pieces: tuple[str, ...]
    activations: tuple[float, ...]
    kind: Kind
    stratum: int
    stratum_share: float

    @property
    def text(self) -> str:
        """The window's text."""
        return "".join(self.pieces)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentExamples:
    """What one latent is explained by and judged on; the two come from different documents.

    `explain` are positives and `explain_contrast` non-activating windows of the explain documents (for contrastive
    explainers); `held_out` are positives and `contrast` non-activating windows of the held-out documents.
    """

    latent: LatentId
    explain: tuple[Example, ...]
    explain_contrast: tuple[Example, ...]
    held_out: tuple[Example, ...]
    contrast: tuple[Example, ...]

    def __post_init__(self) -> None:
        """Check that no document is both shown to an explainer and judged."""
        shown = {example.document for example in self.explain + self.explain_contrast}
        judged = {example.document for example in self.held_out + self.contrast}
        assert not shown & judged, f"{self.latent}: documents {sorted(shown & judged)[:5]} are in both splits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """An explanation of a latent. `text` is None if the explainer failed; `status` is the reason.

    `explanation_id` is unique in a run and stable over resumes. A control judges a latent by an explanation that is
    not its own (`shuffled`: another latent's; `empty`: no words), identified by `explanation_id`.
    """

    explanation_id: str
    latent: LatentId
    text: str | None
    explainer: str
    prompt_hash: str
    raw: str
    status: Literal["ok", "unparsed", "refused", "empty", "truncated", "failed"] = "ok"
    n_retries: int = 0


@dataclass(frozen=True, slots=True)
class Message:
    """One chat message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownExample:
    """An example as an explainer's prompt shows it: token texts and activations quantised to 0..10."""

    pieces: tuple[str, ...]
    levels: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownItem:
    """A context as a judge's prompt shows it: plain text, and marked character spans (none in detection)."""

    text: str
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainTask:
    """An explainer's prompt in structured form: only what the prompt shows."""

    examples: tuple[ShownExample, ...]
    counterexamples: tuple[ShownExample, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeTask:
    """A judge's prompt in structured form: only what the prompt shows.

    `form` tells the question: `yes_no` asks every item for itself, `choose_one` for the odd one out.
    """

    explanation: str
    items: tuple[ShownItem, ...]
    form: Literal["yes_no", "choose_one"] = "yes_no"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an LLM samples one reply. `top_logprobs` 0 asks for none."""

    temperature: float = 0.0
    max_tokens: int = 256
    seed: int = 0
    top_logprobs: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One prompt. `key` is unique among the requests in flight; `schema` is a JSON schema as JSON text, or None.

    `task` is the prompt in structured form, for back ends that are programs rather than language models.
    """

    key: str
    messages: tuple[Message, ...]
    task: ExplainTask | JudgeTask
    sampling: Sampling = field(default_factory=Sampling)
    schema: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens and time of one reply, as the back end reports them; 0 where it does not.

    `calls` counts the requests sent for it, repeats after transport errors included. `tokens_cached` is part of
    `tokens_in`, `tokens_thinking` of `tokens_out`. `estimated`: the server counts no tokens, or absurdly many, and the
    numbers are estimated from the lengths of the texts.
    """

    calls: int = 1
    tokens_in: int = 0
    tokens_cached: int = 0
    tokens_out: int = 0
    latency_s: float = 0.0
    tokens_thinking: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token with the alternatives at its position as (token text, log-probability)."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """The reply to `key`. `text` is None if the request failed; `failure` then gives the reason in one word."""

    key: str
    text: str | None
    failure: str = ""
    finish_reason: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    usage: Usage = field(default_factory=Usage)
    from_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One judged context of a question: where it comes from and what is true of it. Never rendered as such."""

    window: int
    document: int
    kind: Kind
    stratum: int
    stratum_share: float
    truth: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One prompt to a judge about one latent, with the items it asks about in the order shown."""

    question_id: str
    latent: LatentId
    scorer: str
    control: Control
    explanation_id: str
    items: tuple[Item, ...]
    messages: tuple[Message, ...]
    task: JudgeTask
    sampling: Sampling
    schema: str | None = None

    def request(self) -> Request:
        """Return the question as a request to an LLM."""
        return Request(
            key=self.question_id,
            messages=self.messages,
            task=self.task,
            sampling=self.sampling,
            schema=self.schema,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """A judge's answer about one item: `unanswered` when the reply could not be read, with the reason in `status`."""

    latent: LatentId
    scorer: str
    control: Control
    question_id: str
    position: int
    item: Item
    answer: Answer
    probability: float | None
    explanation_id: str
    status: str = "ok"
    n_retries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptRecord:
    """One prompt and how it ended: a row of `tables.QUESTIONS`, one field per column."""

    question_id: str
    dictionary: str
    site: str
    latent: int
    scorer: str
    control: str
    prompt: str
    reply: str | None
    failure: str
    retried_for: str
    n_left_out: int
    n_calls: int
    tokens_in: int
    tokens_cached: int
    tokens_out: int
    latency_s: float
    from_cache: bool
    n_retries: int
