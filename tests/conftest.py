"""How pytest names this suite's tests."""


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name bytes by their argument: compressed bytes hold the time, and xdist's workers must agree on names."""
    return argname if isinstance(val, bytes) else None
