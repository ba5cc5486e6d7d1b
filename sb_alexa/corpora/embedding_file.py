"""Embeddings of speakers or utterances, by name, from a file that cannot hold code."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from sb_alexa.corpora.text_files import CorpusError

_ARRAYS = ("names", "embeddings")


def read_embeddings(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Read a NumPy archive with the arrays `names` and `embeddings`.

    Write it with ``np.savez(path, names=names, embeddings=embeddings)``; names are those of
    speakers or of utterances.

    Arguments
    ---------
    path : str or path-like
        An ``.npz`` with names (N,) of text and embeddings (N, E) of numbers.

    Returns
    -------
    dict of str to numpy.ndarray
        (E,) float32 by name.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CorpusError
        If it is something else, names repeat, or there is none.

    Example
    -------
    >>> path = getfixture("tmp_path") / "voices.npz"
    >>> np.savez(path, names=["ann", "bob"], embeddings=np.eye(2))
    >>> read_embeddings(path)["bob"]
    array([0., 1.], dtype=float32)
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"embeddings {path} do not exist")
    try:
        # No pickles: an archive of somebody else's must not run code.
        with np.load(path, allow_pickle=False) as archive:
            names, embeddings = (archive[name] for name in _ARRAYS)
    except (ValueError, OSError, KeyError, TypeError, zipfile.BadZipFile) as error:
        raise CorpusError(
            f"{path} is no NumPy archive with the arrays names (text) and embeddings ({error}); "
            "write it with np.savez(path, names=names, embeddings=embeddings)"
        ) from error
    if names.ndim != 1 or names.dtype.kind != "U" or not len(names):
        raise CorpusError(f"{path}: names must be a list of text, got {names.dtype} {names.shape}")
    if embeddings.ndim != 2 or len(embeddings) != len(names) or embeddings.dtype.kind not in "fiu":
        raise CorpusError(
            f"{path}: embeddings must be ({len(names)}, E) numbers, a row for each name, got "
            f"{embeddings.dtype} {embeddings.shape}"
        )
    by_name = dict(zip(names.tolist(), embeddings.astype(np.float32), strict=True))
    if len(by_name) < len(names):
        twice = next(name for name in by_name if (names == name).sum() > 1)
        raise CorpusError(f"{path} has two embeddings of {twice!r}; leave one, or their mean")
    return by_name
