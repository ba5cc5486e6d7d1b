"""KEY=VALUE pairs of a command line that are handed on to recipes."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def parse_settings(assignments: Sequence[str], *, set_here: Collection[str]) -> dict[str, str]:
    """Read what ``--set`` collected.

    Arguments
    ---------
    assignments : sequence of str
        KEY=VALUE.
    set_here : collection of str
        Keys that the benchmark sets itself.

    Raises
    ------
    ValueError
        If one has no key, or a key of `set_here`.

    Example
    -------
    >>> parse_settings(["batch_size=16"], set_here=["seed"])
    {'batch_size': '16'}
    """
    settings = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not key.isidentifier() or not equals:
            raise ValueError(f"--set takes KEY=VALUE, such as batch_size=16; got {assignment!r}")
        if key in set_here:
            raise ValueError(f"{key} is set by this benchmark for each run; leave out --set {key}")
        settings[key] = value
    return settings
