"""Files of a checkpoint, local or on the hub: named relative to one folder, and never outside it."""

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from autointerp.console import note
from autointerp.dictionaries.registry import Entry, look_up
from autointerp.errors import DictionaryError
from autointerp.run import yaml_files

# org/repo[@revision][:path]; a revision may hold slashes (refs/pr/3).
HUB = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:]+))?(?::(?P<path>.*))?")
# A configuration file is text by and for people; one larger than this is not one.
MAX_CONFIG_BYTES = 10 * 2**20
# File names by which a folder inside a run or repository is known to be one dictionary.
_HALLMARKS = "sae.safetensors sae_weights.safetensors ae.pt params.npz params.safetensors hyperparams.json"
HALLMARKS = set(_HALLMARKS.split())
# Files that may be large, and the size that is said before a download.
WEIGHTS = {".safetensors", ".pt", ".pth", ".npz", ".bin"}
LARGE_BYTES = 10**9
# Longer names no file system takes.
MAX_SOURCE = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Files:
    """A folder with a checkpoint.

    `source` is the folder or file as a study names it; `focus` the file it names, "" where it names the folder;
    `folder` the folder's path on disk or on the hub, from which formats read layer numbers and the like; `names` every
    file below it, as sorted posix paths relative to it; `fetch` turns one of them into a local path. `registry` is the
    entry of SAELens' registry that it was found by.
    """

    source: str
    folder: str
    names: tuple[str, ...]
    fetch: Callable[[str], Path] = field(repr=False)
    focus: str = ""
    revision: str = ""
    registry: Entry | None = None

    def path(self, name: str) -> Path:
        """Return one file as a local path, downloaded first where needed.

        Raises:
            DictionaryError: it is missing, or its name leads outside the folder.
        """
        if inside(name, "file") not in self.names:
            raise DictionaryError(f"{self.source}: {name} is missing; the folder has: {shortened(self.names)}")
        return self.fetch(inside(name, "file"))

    def naming(self, name: str) -> str:
        """Return what a study writes to name something in this folder."""
        folder = self.source.removesuffix(self.focus) if self.focus else self.source
        joined = "" if folder.endswith(("/", ":")) else "/" if not self.revision or ":" in folder else ":"
        return f"{folder}{joined}{name}"


def inside(name: str, what: str = "path") -> str:
    """Return a relative posix path that stays inside its folder.

    Raises:
        DictionaryError: it is absolute or climbs out.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match(r"[A-Za-z]:", name):
        raise DictionaryError(f"{what} {name!r} leads outside its folder; give a plain relative path")
    return str(path) if str(path) != "." else ""


def layer_in(path: str) -> int | None:
    """Layer number in a path such as `layer_20/width_16k`, `layers.20.mlp`, `h.20` or `L20R`; None for none."""
    found = re.search(r"(?:layers?[._-]?|blocks\.|W_enc_)(\d+)", path)
    found = found or re.search(r"(?:^|[/_-])L(\d+)|(?:^|[:/.])h\.(\d+)", path)
    return int(next(number for number in found.groups() if number)) if found else None


def find(source: str, revision: str | None = None) -> Files:
    """Find a checkpoint folder or file.

    Args:
        source: a local path; else a name of SAELens' registry or Neuronpedia (`autointerp.dictionaries.registry`); else
            `org/repo[@revision][:path]` on the hub.
        revision: branch, tag or commit on the hub, where the source names none.

    Raises:
        DictionaryError: none of these, a path that leads outside its repository, or a dictionary that is not read.
    """
    path = Path(source).expanduser()
    if source.strip() and len(source) <= MAX_SOURCE:
        if path.is_dir():
            return _local(path)
        if path.is_file():
            return _local(path.parent, focus=path.name)
    if named := look_up(source[:MAX_SOURCE]):
        entry = named.entry
        if entry.refusal:
            raise DictionaryError(f"{source} ({entry.repo}: {entry.path}): {entry.refusal}")
        return replace(_hub(entry.repo, revision, inside(entry.file, "hub path")), registry=entry)
    match = HUB.fullmatch(source[:MAX_SOURCE])
    if source.startswith((".", "/", "~")) or not match:
        raise DictionaryError(
            f"{source[:200] or repr(source)}: no such folder or file, and not a hub name such as org/repo, "
            "org/repo@revision or org/repo:folder/in/it, nor a name of a registry such as saelens:RELEASE/ID"
        )
    if revision and match["revision"] not in (None, revision):
        raise DictionaryError(f"{source}: names a revision, and `revision: {revision}` another one; remove one")
    return _hub(match["repo"], match["revision"] or revision, inside(match["path"] or "", "hub path").strip("/"))


def repository(source: str) -> str:
    """Return the hub repository that a source without a revision names; "" for a local path or a named revision."""
    if Path(source).expanduser().exists() or source.startswith((".", "/", "~")):
        return ""
    if named := look_up(source[:MAX_SOURCE]):
        return named.entry.repo
    match = HUB.fullmatch(source[:MAX_SOURCE])
    return match["repo"] if match and not match["revision"] else ""


def commit_of(repo: str) -> str | None:
    """Return the commit that a repository's main branch points to now, or in the cache; None if unknown.

    Raises:
        DictionaryError: no such repository, or it is out of reach and not in the cache.
    """
    return _listing(repo, None)[0] or None


def _local(root: Path, focus: str = "") -> Files:
    folder = root.resolve().as_posix()
    return Files(
        source=str(root / focus), folder=folder, names=_below(root), fetch=lambda name: root / name, focus=focus
    )


def _below(root: Path) -> tuple[str, ...]:
    return tuple(sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()))


def _hub(repo: str, revision: str | None, path: str) -> Files:
    commit, listing = _listing(repo, revision)
    folder, _, focus = path.rpartition("/") if path in listing else (path, "", "")
    prefix = f"{folder}/" if folder else ""
    names = tuple(sorted(name.removeprefix(prefix) for name in listing if name.startswith(prefix)))
    if not names:
        raise DictionaryError(f"{repo}@{commit}: no folder or file {path!r}; it has: {shortened(listing)}")
    return Files(
        source=f"{repo}@{commit}" + (f":{path}" if path else ""),
        folder=f"{repo}/{folder}".rstrip("/"),
        names=names,
        focus=focus,
        revision=commit,
        fetch=lambda name: _fetched(repo, prefix + name, commit, revision or "main"),
    )


def _listing(repo: str, revision: str | None) -> tuple[str, tuple[str, ...]]:
    """Commit and files of a hub repository; of its local cache where the hub is out of reach."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        info = HfApi().model_info(repo, revision=revision)
        names = [sibling.rfilename for sibling in info.siblings or ()]
        return info.sha or revision or "", tuple(inside(name, "hub file") for name in names)
    except (*_network_errors(), HFValidationError) as error:
        refusal = _refusal(error, repo)
        if not refusal:
            if cached := _cached(repo, revision or "main"):
                return cached.name, _below(cached)
            refusal = f"the hub is out of reach ({_reason(error)}), and its cache has none; give a local folder"
        name = repo + (f"@{revision}" if revision else "")
        raise DictionaryError(f"{name}: no such local folder, and {refusal}") from error


def _cached(repo: str, revision: str) -> Path | None:
    """Folder of a commit in the hub's local cache, with the files that were fetched of it."""
    from huggingface_hub import constants, scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        repos = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return None
    commits = [commit for one in repos if (one.repo_id, one.repo_type) == (repo, "model") for commit in one.revisions]
    return next((one.snapshot_path for one in commits if revision in (one.commit_hash, *one.refs)), None)


def _refusal(error: Exception, repo: str) -> str:
    """Return the hub's reason for a refusal; "" if it gave none."""
    from huggingface_hub import constants, errors

    if isinstance(error, errors.GatedRepoError):
        page = f"{constants.ENDPOINT}/{repo}"
        return f"on the hub it is gated: accept the licence at {page}, and set HF_TOKEN to a token of that account"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the hub does not have this revision; check the name after @"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "the hub has no such repository, or HF_TOKEN does not open it; check the name, or set HF_TOKEN"
    if isinstance(error, errors.HFValidationError):
        return f"no hub name ({_reason(error)})"
    status = getattr(getattr(error, "response", None), "status_code", 0) or 0
    return f"the hub refuses it ({_reason(error)}); check the name and HF_TOKEN" if 400 <= status < 500 else ""


def _fetched(repo: str, name: str, commit: str, revision: str) -> Path:
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    announce = PurePosixPath(name).suffix in WEIGHTS
    try:
        if isinstance(held := try_to_load_from_cache(repo, name, revision=commit), str):
            return Path(held)
        if announce:
            _check_size(repo, name, commit)
        # Asked for by the name it was given, the cache notes which commit that is, for a time without the hub.
        path = Path(hf_hub_download(repo, name, revision=revision))
        return path if commit in path.parts else Path(hf_hub_download(repo, name, revision=commit))
    except _network_errors() as error:
        raise DictionaryError(
            f"{repo}@{commit}: {name} could not be downloaded ({_refusal(error, repo) or _reason(error)})"
        ) from error


def _check_size(repo: str, name: str, commit: str) -> None:
    """Say how large a large download is, before it begins.

    Raises:
        DictionaryError: the disk has too little space for it.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    size = get_hf_file_metadata(hf_hub_url(repo, name, revision=commit)).size or 0
    cache = Path(constants.HF_HUB_CACHE)
    place = next(folder for folder in (cache, *cache.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if size > free:
        raise DictionaryError(
            f"{repo}: {name} has {size / 1e9:.1f} GB, and {cache} has {free / 1e9:.1f} GB free; set HF_HOME elsewhere"
        )
    if size > LARGE_BYTES:
        note(f"{repo}: downloading {name}, {size / 1e9:.1f} GB, to {cache}; an interrupted download resumes")


def _network_errors() -> tuple[type[Exception], ...]:
    """Return the exceptions of the hub's client: its own, and those of its HTTP library (which changed)."""
    from huggingface_hub.errors import HfHubHTTPError

    return OSError, *(base for base in HfHubHTTPError.__mro__ if base.__name__ in ("HTTPError", "RequestException"))


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def shortened(names: Iterable[str], limit: int = 12) -> str:
    """List names for a message, cut after `limit`."""
    names = list(names)
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "") or "nothing"


def read_config(files: Files, name: str) -> dict[str, object]:
    """Read a JSON or YAML file that holds one mapping.

    Raises:
        DictionaryError: missing, too large, not JSON (YAML) or not a mapping.
    """
    path = files.path(name)
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise DictionaryError(f"{path}: {path.stat().st_size:,} bytes is too large for a configuration file")
    try:
        text = path.read_text(encoding="utf-8-sig")
        value = yaml_files.load(text) if name.endswith((".yaml", ".yml")) else json.loads(text)
    except (ValueError, RecursionError, OSError) as error:
        raise DictionaryError(f"{path}: cannot be read ({str(error).splitlines()[0]})") from error
    if not isinstance(value, dict):
        raise DictionaryError(f"{path}: holds a {type(value).__name__}, not a mapping of settings")
    return value


def sha256(path: Path) -> str:
    """Hash a file, hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
