"""What rates a simulation may show: exact binomial bands, from nothing but the number of replicates."""

from scipy import stats


def band(nominal: float, r: int) -> tuple[float, float]:
    """Exact 99.9 % binomial band of a rate seen in r replicates."""
    return float(stats.binom.ppf(0.0005, r, nominal)) / r, float(stats.binom.ppf(0.9995, r, nominal)) / r


def inside(rate: float, nominal: float, r: int) -> bool:
    """Tell whether a rate is what r replicates show of its nominal value."""
    low, high = band(nominal, r)
    return low <= rate <= high
