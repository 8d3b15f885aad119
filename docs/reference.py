"""MkDocs hook: writes references, a page per scorer and explainer, and figures from code and reference run."""

import inspect
import re
import shutil
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

# Families of members: section of the study -> folder of the package.
FAMILIES = {
    "corpus": "corpus",
    "explainer": "explainers",
    "scorers": "scorers",
    "explainer_llm, judge_llm": "llm",
    "execution": "execution",
}


DOCS = Path(__file__).parent
REFERENCE = DOCS.parent / "results" / "reference" / "embedded"
# Figures of the reference run that pages show as img/<name>.svg.
FIGURES = ("scores", "estimands", "controls", "layers", "pareto")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace a `::name` line by the generated reference of that name."""
    for name, write in (("settings", settings), ("cli", cli), ("python", python), ("formats", formats)):
        if f"::{name}\n" in markdown + "\n":
            markdown = (markdown + "\n").replace(f"::{name}\n", "\n".join(write()) + "\n")
    return markdown


def on_config(config: Any) -> Any:
    """Add the generated pages to the navigation."""
    config.nav.append({"Scorers and explainers": [{title: path} for path, (title, _) in members().items()]})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the generated pages and the figures."""
    from mkdocs.structure.files import File

    for path, (_, text) in members().items():
        files.append(File.generated(config, path, content=text))
    folder = Path(config.site_dir) / ".figures"
    draw(folder)
    for name in FIGURES:
        files.append(File.generated(config, f"img/{name}.svg", content=(folder / f"{name}.svg").read_bytes()))
    shutil.rmtree(folder)
    return files


def draw(folder: Path) -> None:
    """Draw the figures of the reference run."""
    from autointerp.report.drawing import write_figures

    write_figures(REFERENCE, folder, formats=("svg",), style="paper", names=FIGURES)


def members() -> dict[str, tuple[str, str]]:
    """Return the page of each scorer and explainer: path -> title and Markdown."""
    from autointerp import plugins

    pages = {}
    for family, word in (("scorers", "scorer"), ("explainers", "explainer")):
        for name in plugins.names(family):
            module = plugins.load(family, name)
            first, _, rest = inspect.cleandoc(module.__doc__ or "").partition("\n")
            key = "scorers" if family == "scorers" else "explainer"
            example = f"{key}: [{{use: {name}}}]" if family == "scorers" else f"{key}: {{use: {name}}}"
            lines = [f"# {word.capitalize()} `{name}`", first, rest.strip(), f"```yaml\n{example}\n```"]
            lines += list(table("Settings", module.Config))
            template = DOCS.parent / "prompts" / family / f"{name}.jinja"
            if template.exists():
                lines += ["\n## Prompt\n", f"```jinja\n{template.read_text(encoding='utf-8').rstrip()}\n```"]
            pages[f"{family}/{name}.md"] = (
                f"{word} {name}",
                "\n\n".join(lines[:4]) + "\n" + "\n".join(lines[4:]) + "\n",
            )
    return pages


def formats() -> Iterator[str]:
    """Yield every checkpoint format: files, and what it holds."""
    from autointerp import plugins

    yield "| `format` | files and contents | source |\n|---|---|---|"
    for name in plugins.names("dictionaries.formats"):
        doc = inspect.cleandoc(plugins.load("dictionaries.formats", name).__doc__ or "")
        source = re.search(r"(?:github\.com|huggingface\.co)/[\w./-]*\w", doc)
        link = f"[{source[0]}](https://{source[0]})" if source else ""
        yield f"| `{name}` | {escaped(doc.splitlines()[0])} | {link} |"


def settings() -> Iterator[str]:
    """Yield every setting of a study, and of every member of a family, as tables."""
    from autointerp import plugins
    from autointerp.experiment.study import Study

    yield from table("study", Study)
    for name, field in Study.model_fields.items():
        for model in models(field.annotation):
            if set(model.model_fields) != {"use", "settings"}:
                yield from table(name, model)
    for section, family in FAMILIES.items():
        for member in plugins.names(family):
            module = plugins.load(family, member)
            yield from table(f"{section}: {member}", module.Config)


def models(annotation: Any) -> list[type[BaseModel]]:
    """Return the settings models within a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models(part)]


def table(title: str, model: type[BaseModel]) -> Iterator[str]:
    """Yield one model's settings with types, defaults and meanings."""
    yield f"\n## {title}\n\n{(model.__doc__ or '').strip().splitlines()[0]}\n"
    yield "| setting | type | default | meaning |\n|---|---|---|---|"
    for name, field in model.model_fields.items():
        kind = inspect.formatannotation(field.annotation).replace("typing.", "").replace("|", "\\|")
        kind = kind.rpartition(".")[2] if models(field.annotation) else kind
        default = "" if field.default is PydanticUndefined else f"`{field.default}`"
        default = "see its section" if field.default_factory is not None else default or "required"
        yield f"| `{name}` | {escaped(kind)} | {default} | {escaped(field.description or '')} |"


def escaped(text: str) -> str:
    """Return text that is safe in a table cell."""
    return text.replace("<", "&lt;").replace("\n", " ").replace("|", "\\|").replace("\\\\|", "\\|")


def cli() -> Iterator[str]:
    """Yield the help of every verb."""
    from autointerp.__main__ import parser, verb_names

    for verb in verb_names():
        top = parser([verb])
        (choices,) = [action.choices for action in top._subparsers._group_actions]  # type: ignore[union-attr]
        yield f"\n## autointerp {verb}\n\n```text\n{choices[verb].format_help().rstrip()}\n```\n"


def python() -> Iterator[str]:
    """Yield signature and docstring of every public name."""
    import autointerp

    for name in autointerp.__all__:
        value = getattr(autointerp, name)
        signature = "" if isinstance(value, type) else str(inspect.signature(value))
        yield f"\n## autointerp.{name}\n\n```text\n{name}{signature}\n\n{inspect.getdoc(value)}\n```\n"
