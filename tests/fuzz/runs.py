"""Damaged run directories through every verb that reads one."""

import random
import shutil
import tempfile
from pathlib import Path

from tests.fuzz import Found, main, tried
from tests.helpers.damage import called, mutants, readers
from tests.run.test_integrity import sealed


def fuzz(n: int, seed: int, n_verbs: int = 0) -> Found:
    """Put n damaged run directories through all verbs, or `n_verbs` of them: as undamaged, or one line."""
    found, rng = Found(), random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, other = sealed(folder / "run"), sealed(folder / "other", seed=7)
        base = Path(shutil.copytree(run, folder / "base"))
        clean = Path(shutil.copytree(run, folder / "clean" / "run"))
        out = folder / "out"
        expected = {}

        def check(verb: str, argv: list[str], path: Path) -> str:
            code, text, err = called(argv)
            if (code, text.replace(str(path.parent), "")) == expected[verb]:
                return "as undamaged"
            if code == 2 and len(err.strip().splitlines()) == 1:
                return "refused"
            return f"fault: exit {code}, {text[:100]!r}, {err[-300:]!r}"

        for mutant in mutants(run, other, folder, n, seed):
            commands = readers(mutant.path, base, out)
            for verb in rng.sample(list(commands), n_verbs) if n_verbs else commands:
                if verb not in expected:
                    code, text, _ = called(readers(clean, base, out)[verb])
                    expected[verb] = code, text.replace(str(clean.parent), "")
                what = f"{verb} with {mutant.file} {mutant.what}"
                tried(found, what, lambda verb=verb, argv=commands[verb], path=mutant.path: check(verb, argv, path))
    return found


if __name__ == "__main__":
    main(fuzz)
