"""Embeddings kept in a file, as long as they are those of the same model and recordings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.stamp import replaced_atomically

_EMBEDDINGS, _STAMP = "embeddings", "stamp"


def embedding_stamp(
    encoder: nn.Module,
    utterances: Sequence[Utterance],
    *,
    sample_rate: int,
    max_seconds: float | None,
) -> str:
    """Digest of all that decides the embeddings.

    Arguments
    ---------
    encoder : torch.nn.Module
        Its weights and its structure.
    utterances : sequence of Utterance
        Names in their order, and size and time of modification of their files.
    sample_rate : int
        Samples per second that the encoder reads.
    max_seconds : float, optional
        How much of each recording is used.

    Returns
    -------
    str
        64 hexadecimal digits (SHA-256).
    """
    digest = hashlib.sha256(repr(encoder).encode())
    for name, tensor in sorted(encoder.state_dict().items()):
        plain = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(plain.view(torch.uint8).numpy())
    settings = {"sample_rate": sample_rate, "max_seconds": max_seconds}
    digest.update(json.dumps(settings).encode())
    for utterance in utterances:
        digest.update(f"{utterance.id}\0{_file_state(utterance.path)}\n".encode())
    return digest.hexdigest()


def read_cached(path: Path, stamp: str) -> Tensor | None:
    """Embeddings (U, E) from a file, or None where it holds none of this stamp.

    Arguments
    ---------
    path : Path
        As written by `write_cached`; a damaged file counts as none.
    stamp : str
        From `embedding_stamp`.

    Example
    -------
    >>> path = getfixture("tmp_path") / "embeddings.safetensors"
    >>> write_cached(path, "f00d", torch.ones(1, 2))
    >>> read_cached(path, "f00d"), read_cached(path, "beef")
    (tensor([[1., 1.]]), None)
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get(_STAMP) != stamp:
                return None
            return file.get_tensor(_EMBEDDINGS)
    except SafetensorError:
        return None


def write_cached(path: Path, stamp: str, values: Tensor) -> None:
    """Keep embeddings.

    Arguments
    ---------
    path : Path
        The file; replaced in one step.
    stamp : str
        From `embedding_stamp`.
    values : Tensor
        (U, E).
    """
    with replaced_atomically(path) as temporary:
        safetensors.torch.save_file({_EMBEDDINGS: values}, temporary, metadata={_STAMP: stamp})


def _file_state(path: str) -> str:
    # The time, too: uncompressed recordings of equal length are equally large.
    try:
        state = os.stat(path)
    except OSError:  # reading it will say what is wrong
        return "missing"
    return f"{state.st_size} {state.st_mtime_ns}"
