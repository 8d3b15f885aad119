"""Write the package's index of SAELens' registry from the library's own file.

    pip download --no-deps sae-lens
    python -m tests.helpers.saelens_registry sae_lens-*.whl autointerp/dictionaries/saelens_registry.json.gz

The index holds what names a checkpoint: repository, path, loader, model, L0, normalisation scale, Neuronpedia id and
the settings that the registry overrides. SAELens is MIT-licensed.
"""

import gzip
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import yaml

FIELDS = ("id", "path", "l0", "neuronpedia", "norm_scaling_factor", "variance_explained")


def compact(releases: dict[str, Any], version: str) -> bytes:
    """Return the index as gzipped JSON, the same bytes for the same registry."""
    found = {}
    for name, release in releases.items():
        rows = []
        for entry in release["saes"]:
            row = [entry.get(field) for field in FIELDS]
            row[1] = None if str(entry["path"]) == entry["id"] else str(entry["path"])
            while row[-1] is None:
                row.pop()
            rows.append(row)
        about = {"repo": release["repo_id"], "model": release["model"], "loader": release["conversion_func"] or ""}
        if release.get("config_overrides"):
            about["overrides"] = release["config_overrides"]
        found[name] = about | {"entries": rows}
    index = {"library": "sae-lens", "version": version, "licence": "MIT", "fields": FIELDS, "releases": found}
    return gzip.compress(json.dumps(index, separators=(",", ":")).encode(), 9, mtime=0)


def of_wheel(wheel: Path) -> bytes:
    """Return the index of the registry in a wheel of sae-lens."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("sae_lens/pretrained_saes.yaml")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return compact(yaml.load(text, Loader=loader), wheel.name.split("-")[1])


if __name__ == "__main__":
    Path(sys.argv[2]).write_bytes(of_wheel(Path(sys.argv[1])))
