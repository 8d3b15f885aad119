"""Send an export to where it belongs: a dataset folder to the Hugging Face hub, upload batches to Neuronpedia."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path

from autointerp.errors import StudyError
from autointerp.report.exports.base import Export

NEURONPEDIA, KEY = "https://www.neuronpedia.org", "NEURONPEDIA_API_KEY"
UPLOAD = "/api/feature/upload-batch"
TIMEOUT_S = 120


def push(to: str, found: Export, out: Path, target: str) -> str:
    """Send an export that was written; return where it is.

    Args:
        to: `huggingface` or `neuronpedia`.
        found: what the export wrote.
        out: its folder.
        target: `org/name` of a dataset on the hub; for Neuronpedia an address, "" for the service's own.

    Raises:
        StudyError: the export cannot be sent, a key is missing, or the receiver refused it; files stay as they are.
    """
    if to == "huggingface":
        return _to_hub(out, target)
    if to == "neuronpedia":
        return _to_neuronpedia([Path(file) for file in found.files], target or NEURONPEDIA)
    raise StudyError(f"--push sends huggingface and neuronpedia exports, not {to}; its files can be copied")


def _to_hub(out: Path, repo: str) -> str:
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    if repo.count("/") != 1:
        raise StudyError(f"--push {repo or '(nothing)'}: name the dataset on the hub as org/name")
    api = HfApi()
    try:
        api.create_repo(repo, repo_type="dataset", private=True, exist_ok=True)
        api.upload_folder(folder_path=out, repo_id=repo, repo_type="dataset", commit_message="autointerp results")
    except Exception as error:
        if not isinstance(error, HfHubHTTPError | HFValidationError | OSError) and not _of_http(error):
            raise
        reason = " ".join(str(error).split())[:300]
        raise StudyError(f"--push {repo}: the hub refused it ({reason}); log in with `hf auth login`") from error
    return f"{api.endpoint}/datasets/{repo} (private if it was new)"


def _of_http(error: Exception) -> bool:
    """Return whether an error comes from the hub client's HTTP library, whichever version it uses."""
    return type(error).__module__.partition(".")[0] in {"httpx", "httpx2", "httpcore", "httpcore2", "requests"}


def _to_neuronpedia(files: list[Path], address: str) -> str:
    key = os.environ.get(KEY, "")
    if not key:
        raise StudyError(f"--push: set the environment variable {KEY} to your key (neuronpedia.org/account)")
    batches = [
        line
        for file in files
        if not file.name.endswith(".scores.jsonl")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    url = f"{address.rstrip('/')}{UPLOAD}"
    for number, line in enumerate(batches, 1):
        headers = {"Content-Type": "application/json", "x-api-key": key}
        request = urllib.request.Request(url, data=line.encode(), headers=headers, method="POST")
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S):
                pass
        except urllib.error.HTTPError as error:
            with error:
                reason = _reason(error.read())
            sent = f"{number - 1} of {len(batches)} batches were sent"
            raise StudyError(f"--push: {url} refused a batch ({error.code} {reason}); {sent}") from error
        except OSError as error:
            raise StudyError(f"--push: no answer from {url} ({error}); {number - 1} batches were sent") from error
    return f"{address} ({len(batches)} batches)"


def _reason(body: bytes) -> str:
    """Return what a refusal says, in at most 200 characters."""
    text = body.decode("utf-8", "replace")
    try:
        found = json.loads(text)
        text = str(found.get("message") or found.get("error") or text) if isinstance(found, dict) else text
    except ValueError:
        pass
    return " ".join(text.split())[:200]
