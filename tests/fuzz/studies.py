"""Studies with any value in any place, and YAML with damaged characters."""

import random
import tempfile
from pathlib import Path

from autointerp.experiment.study import EMBEDDED, Study, dump_study, load_study, study_yaml, validate_study
from autointerp.run import yaml_files
from tests.experiment.test_bad_studies import VALUES, places, put
from tests.fuzz import Found, main, tried

PIECES = (
    *":-[]{}&*!|>'\"#%@`,?\t\n \\\x00é\ud800",
    "<<: *a",
    "&a [*a]",
    "!!python/object:os.system",
    "1:30",
    "yes",
    "---",
)


def fuzz(n: int, seed: int) -> Found:
    """Load n studies; one that is accepted must come back equal from the YAML it is written as."""
    rng, found = random.Random(seed), Found()
    whole = dump_study(load_study(EMBEDDED / "study.yaml"))
    text, everywhere = yaml_files.dump(whole), places(whole)

    def as_study(study: Study) -> str:
        again = validate_study(yaml_files.load(study_yaml(study)), source="again")
        return "accepted" if again == study else "fault: it comes back as another study"

    path = Path(tempfile.mkdtemp()) / "study.yaml"
    for number in range(n):
        if number % 2:
            values = whole
            for _ in range(rng.choice([1, 1, 2, 4])):
                values = put(
                    values, rng.choice(places(values) if values is not whole else everywhere), rng.choice(VALUES)
                )
            tried(found, number, lambda values=values: as_study(validate_study(values, source="mutant")))
        else:
            path.write_bytes(damaged(text, rng).encode("utf-8", "surrogatepass"))
            tried(found, number, lambda: as_study(load_study(path)))
    return found


def damaged(text: str, rng: random.Random) -> str:
    """Insert, delete, repeat or replace pieces of a text."""
    for _ in range(rng.choice([1, 2, 5, 20])):
        at, length = rng.randrange(len(text) + 1), rng.choice([0, 1, 5, 50])
        middle = rng.choice([rng.choice(PIECES), text[at : at + length] * 2, ""])
        text = text[:at] + middle + text[at + length :]
    return text


if __name__ == "__main__":
    main(fuzz)
