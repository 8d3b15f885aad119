"""Software versions and machine of a run, for its manifest."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("torch", "transformers", "datasets", "vllm", "numpy", "pandas", "scipy", "statsmodels", "safetensors")


def software() -> dict[str, object]:
    """Return versions of packages and of Python, the machine, and the checkout's commit."""
    return {
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "python": platform.python_version(),
        "hardware": {"machine": platform.machine(), "system": platform.platform(), "cpus": os.cpu_count()},
        "git": _git(),
    }


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _git() -> dict[str, object]:
    """Return commit and dirtiness of the checkout that this code runs from; nothing for an installed package."""
    here = Path(__file__).parent.parent.parent
    if not (here / ".git").exists():
        return {}

    def ask_git(*words: str) -> str:
        done = subprocess.run(["git", "-C", here, *words], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return {"commit": ask_git("rev-parse", "HEAD"), "dirty": bool(ask_git("status", "--porcelain"))}
