"""A draw depends on what it is for, never on when it happens."""

from autointerp.seeds import generator


def test_draws_do_not_depend_on_order() -> None:
    """Two purposes drawn in either order give the same numbers."""
    first = generator(1, "a").random(), generator(1, "b").random()
    second = generator(1, "b").random(), generator(1, "a").random()
    assert first == second[::-1]


def test_purposes_do_not_share_draws() -> None:
    """("ab", "c") and ("a", "bc") are different purposes."""
    assert generator(1, "ab", "c").random() != generator(1, "a", "bc").random()
