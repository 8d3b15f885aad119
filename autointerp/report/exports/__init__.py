"""Hand a run on in another tool's form."""

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from pydantic import ValidationError

from autointerp import plugins
from autointerp.errors import StudyError
from autointerp.report.exports.base import Export, ExportModule
from autointerp.report.run import ReportRun


def export(run: ReportRun | Path | str, to: str, out: Path, settings: Sequence[str] = ()) -> Export:
    """Write a run in the form `to`, with settings as `name=value`.

    Raises:
        StudyError: no such form, or a setting that it does not have.
    """
    module = cast("ExportModule", plugins.load("report.exports", to))
    given: dict[str, str] = {}
    for one in settings:
        name, equals, value = one.partition("=")
        if not equals:
            raise StudyError(
                f"--set {one!r} is not understood; write name=value, such as --set "
                f"{next(iter(module.Config.model_fields))}=..."
            )
        given[name] = value
    try:
        config = module.Config(**given)
    except ValidationError as error:
        first = error.errors()[0]
        known = ", ".join(module.Config.model_fields)
        raise StudyError(
            f"export {to}: {'.'.join(map(str, first['loc']))}: {first['msg']}; settings: {known}"
        ) from error
    return module.write(run if isinstance(run, ReportRun) else ReportRun(run), out, config)
