"""Numbers, arrays and tables as JSON has them."""

from typing import Any

import numpy as np
import pandas as pd


def plain(value: object) -> Any:
    """Turn numpy numbers and arrays into Python's; NaN, infinity and NA become null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(inner) for inner in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return None if not np.isfinite(value) else float(value)
    if value is None or value is pd.NA:
        return None
    return value if isinstance(value, str) else str(value)


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Turn a table into JSON-able records; an absent number is null."""
    return [plain(row) for row in table.to_dict("records")]
