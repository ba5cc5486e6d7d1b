"""Pictures, where matplotlib is installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sb_alexa.corpora.stamp import replaced_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SUFFIXES = (".png", ".pdf", ".svg")


def new_figure(width_inches: float, height_inches: float) -> Figure:
    """An empty figure that arranges its parts by itself.

    Arguments
    ---------
    width_inches, height_inches : float
        Size.

    Returns
    -------
    Figure
        Not registered with pyplot, which would change the backend of a notebook that calls this.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine
    except ImportError as error:
        raise ImportError(
            f"the picture needs matplotlib: pip install 'sb-alexa[plots]' ({error})"
        ) from error
    layout = ConstrainedLayoutEngine(w_pad=0.03, h_pad=0.03, hspace=0.0, wspace=0.01)
    return Figure(figsize=(width_inches, height_inches), layout=layout)


def check_picture(path: str | os.PathLike[str]) -> None:
    """Refuse, before long work, a picture that could not be written after it.

    Arguments
    ---------
    path : str or path-like
        The file that `save_figure` is going to write.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the name does not end in one of ``.png``, ``.pdf`` and ``.svg``.
    """
    if Path(path).suffix.lower() not in _SUFFIXES:
        raise ValueError(
            f"a picture's name ends in {', '.join(_SUFFIXES)}, got {path}; .png is shown everywhere"
        )
    new_figure(1, 1)


def save_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure in the format of its name, replaced in one step.

    Arguments
    ---------
    figure : Figure
        Of matplotlib.
    path : str or path-like
        The file to write; its folder is created when it is missing.

    Raises
    ------
    ValueError
        If the name does not end in one of ``.png``, ``.pdf`` and ``.svg``.
    """
    check_picture(path)
    with replaced_atomically(path) as temporary:
        figure.savefig(temporary, dpi=130, format=Path(path).suffix.lower()[1:])
