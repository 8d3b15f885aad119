"""Control dictionaries of a study, derived from a trained one and matched to its firing rates on the survey."""

from collections.abc import Callable

from autointerp.collection.collect import survey_shards
from autointerp.collection.device import Clock, Device
from autointerp.corpus.base import Tokens
from autointerp.dictionaries import random
from autointerp.dictionaries.base import ControlKind
from autointerp.dictionaries.spec import Dictionary
from autointerp.errors import CorpusError
from autointerp.experiment.study import Study
from autointerp.records import Site
from autointerp.seeds import generator
from autointerp.subject.model import HookedSubject


def made(
    kind: ControlKind,
    dictionary: Dictionary,
    site: Site,
    *,
    subject: HookedSubject,
    redrawn: Callable[[], HookedSubject],
    tokens: Tokens,
    study: Study,
) -> Dictionary:
    """Return a control dictionary.

    Args:
        kind: which.
        dictionary: the trained dictionary, under the arm's name.
        site: what both read.
        subject: what the trained one reads in.
        redrawn: makes the subject with redrawn random weights, for the arm that reads in it.
        tokens: the corpus; rates are matched on tokens of contexts drawn from all of its survey.
        study: the study.

    Raises:
        CorpusError: the corpus has no text.
        DictionaryError: the dictionary can have no such control.
    """
    numbers = survey_shards(tokens, study.sampling, study.collection)
    found = [shard for number in numbers if (shard := tokens.shard(number, study.collection.shard_tokens))]
    if not found:
        raise CorpusError("no text to match the firing rates of control dictionaries on")
    subjects = [subject, redrawn()] if kind == "random_subject" else [subject]
    x, *own = (
        Device(one, [], study.collection, Clock()).rows(
            found, site, random.n_rows(dictionary), generator(study.seed, "control arm's rows")
        )
        for one in subjects
    )
    rng = generator(study.seed, "control arm", dictionary.name)
    return random.arm(kind, dictionary, x, own[0] if own else x, rng)
