"""Dictionaries: checkpoints of every format over one in-memory spec. `load` opens one."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from autointerp.dictionaries.base import Architecture, DictionaryConfig

if TYPE_CHECKING:
    from autointerp.dictionaries.spec import Dictionary

__all__ = ["DictionaryConfig", "load"]


def load(
    source: str | Path,
    *,
    format: str = "auto",
    name: str = "dictionary",
    site_in: str | None = None,
    site_out: str | None = None,
    architecture: Architecture | None = None,
    pre_bias: bool | None = None,
    k: int | None = None,
    activation: Literal["relu"] | None = None,
    input_scale: float | None = None,
    revision: str | None = None,
    device: str = "cpu",
) -> "Dictionary":
    """Open a dictionary checkpoint of any known format.

    Args:
        source: local folder or file; hub `org/repo[@revision][:path in the repository]`; or a name of SAELens' registry
            or Neuronpedia, see `autointerp.dictionaries.registry`.
        format: a module name of `autointerp/dictionaries/formats/`; `auto` looks at the files.
        name: its name in tables.
        site_in: the site it reads, where the checkpoint does not say or is wrong; likewise `site_out`, which it
            reconstructs, `k`, and `input_scale`, a factor on activations before encoding.
        site_out: see `site_in`.
        architecture: the expected architecture; loading fails if the weights contradict it.
        pre_bias: whether b_dec is subtracted from the input, for formats that do not record it.
        k: see `site_in`.
        activation: confirms ReLU for a checkpoint that records no activation.
        revision: branch, tag or commit on the hub, where the source names none.
        input_scale: see `site_in`.
        device: where the weights go; on `cpu` they stay memory-mapped.

    Raises:
        DictionaryError: no such checkpoint, unknown format, or one that would be read wrongly.
    """
    from pydantic import ValidationError

    from autointerp.dictionaries.loading import open_dictionary
    from autointerp.errors import DictionaryError

    try:
        config = DictionaryConfig(
            name=name,
            source=str(source),
            format=format,
            site_in=site_in,
            site_out=site_out,
            architecture=architecture,
            pre_bias=pre_bias,
            k=k,
            activation=activation,
            input_scale=input_scale,
            revision=revision,
        )
    except ValidationError as error:
        said = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
        raise DictionaryError(f"{source}: {said}") from error
    return open_dictionary(config, device=device)
