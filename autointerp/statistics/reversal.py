"""Comparisons seen from the other side: A minus B as B minus A."""

import pandas as pd

# Columns that change their sign; bounds change their sign and their place.
SIGNED = ("diff", "comp_part", "within_part", "J_star_diff", "hedges_g", "g_true", "cliff_delta")
BOUNDS = (
    ("ci95_lo", "ci95_hi"),
    ("ci90_lo", "ci90_hi"),
    ("cliff_lo", "cliff_hi"),
    ("missing_diff_lo", "missing_diff_hi"),
    ("band_lo", "band_hi"),
)
VERDICTS = {
    "better": "worse",
    "worse": "better",
    "better_but_negligible": "worse_but_negligible",
    "worse_but_negligible": "better_but_negligible",
}


def reversed_comparisons(rows: pd.DataFrame) -> pd.DataFrame:
    """Turn rows of `tables.COMPARISONS` round; `p_ni`, a one-sided p value of the other direction, becomes NaN."""
    out = rows.copy()
    for name in SIGNED:
        if name in rows:
            out[name] = -rows[name]
    for low, high in BOUNDS:
        if low in rows:
            out[low], out[high] = -rows[high], -rows[low]
    sides = [str(name).removesuffix("_a") for name in rows.columns if str(name).endswith("_a")]
    for name in sides:
        out[f"{name}_a"], out[f"{name}_b"] = rows[f"{name}_b"], rows[f"{name}_a"]
    out["a"], out["b"] = rows["b"], rows["a"]
    out["contrast"] = [" - ".join(reversed(str(name).split(" - ", 1))) for name in rows["contrast"]]
    out["verdict"] = rows["verdict"].replace(VERDICTS)
    return out.assign(p_ni=float("nan"))
