"""Location of a model's blocks, and its modules by path."""

from torch import nn

from autointerp.errors import SiteError, SubjectError

# Names of block lists, tried in this order below the model and below its trunk, before any list of the right length.
BLOCK_LISTS = ("layers", "h", "decoder.layers", "language_model.layers", "text_model.layers")


def block_list(model: nn.Module) -> tuple[str, int]:
    """Return the module path of the list of blocks, and their number.

    Raises:
        SiteError: the model has no list of blocks.
    """
    for trunk in dict.fromkeys(("", getattr(model, "base_model_prefix", ""))):
        for tail in BLOCK_LISTS:
            path = ".".join(part for part in (trunk, tail) if part)
            found = module_at(model, path)
            if isinstance(found, nn.ModuleList):
                return path, len(found)
    n_layers = getattr(text_config(model), "num_hidden_layers", 0)
    lists = [(path, len(one)) for path, one in model.named_modules() if isinstance(one, nn.ModuleList)]
    fitting = [(path, n_blocks) for path, n_blocks in lists if n_blocks == n_layers]
    if fitting:
        return min(fitting, key=lambda pair: pair[0].count("."))
    raise SiteError(
        f"{type(model).__name__}: no list of blocks; name a site by module path and side, such as {some_modules(model)}"
    )


def trunk_of(model: nn.Module) -> nn.Module:
    """Return the module below a model's head; the model itself if it has no head.

    Raises:
        SubjectError: `base_model_prefix` names no module (as in `Llama4ForCausalLM`), nor is there a module `model`.
    """
    trunk = getattr(model, "base_model", model)
    if trunk is model and isinstance(inner := getattr(model, "model", None), nn.Module):
        return inner
    if trunk is model and getattr(model, "get_output_embeddings", lambda: None)() is not None:
        raise SubjectError(f"{type(model).__name__}: the module below its head is unknown; use another subject")
    return trunk


def module_at(model: nn.Module, path: str) -> nn.Module | None:
    """Return the module at a path, None where there is none."""
    try:
        return model.get_submodule(path)
    except AttributeError:
        return None


def text_config(model: nn.Module) -> object:
    """Return the configuration of the text part, of a multi-modal model too."""
    config = getattr(model, "config", None)
    return config.get_text_config() if config is not None and hasattr(config, "get_text_config") else config


def some_modules(model: nn.Module, limit: int = 8) -> str:
    """List a few module outputs for a message."""
    names = [
        f"{name}.output" for name, module in model.named_modules() if name and not isinstance(module, nn.ModuleList)
    ]
    return ", ".join(names[:limit]) + (f" and {len(names) - limit:,} more" if len(names) > limit else "")
