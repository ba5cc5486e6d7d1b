"""What a speaker model's folder knows about its scores: normalisation, calibration, threshold.

====================  =========================================================================
verification.json     threshold, calibration, the development EER and how scores are normalised
cohort.safetensors    embeddings of the cohort speakers (only where scores are normalised)
====================  =========================================================================

Both name the weights that they were measured with, since another training may put its own into the
folder.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors.torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.inference.model_folder import WEIGHTS, ModelFolderError
from sb_alexa.metrics.score_calibration import Calibration

VERIFICATION = "verification.json"
COHORT = "cohort.safetensors"

_AS_NORM, _NONE = "as_norm", "none"
_KEYS = ("scale", "offset", "threshold", "target_prior", "normalization", "top_n", "eer")


@dataclass(frozen=True, eq=False)
class VerificationSettings:
    """How to get from two embeddings to a decision.

    Arguments
    ---------
    threshold : float
        The score, after normalisation, from which on two recordings count as one speaker's.
    target_prior : float
        How probable it is that speakers are the same, for which threshold and calibration were
        made; between 0 and 1.
    calibration : Calibration | None
        Scores after normalisation to log-likelihood ratios; None where it could not be fitted.
    cohort : Tensor | None
        (C, E) of the cohort that scores are normalised by; None leaves cosines.
    top_n : int | None
        So many of the cohort, those most alike to each recording; None takes all.
    eer : float | None
        Equal error rate on the development trials, in percent.

    Raises
    ------
    ValueError
        If a number is out of its range.
    """

    threshold: float
    target_prior: float
    calibration: Calibration | None = None
    cohort: Tensor | None = None
    top_n: int | None = None
    eer: float | None = None

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold):
            raise ValueError(f"threshold must be finite, got {self.threshold}")
        if not 0.0 < self.target_prior < 1.0:
            raise ValueError(f"target_prior must lie between 0 and 1, got {self.target_prior}")
        if self.eer is not None and not 0.0 <= self.eer <= 100.0:
            raise ValueError(f"eer must lie between 0 and 100 percent, got {self.eer}")
        _check_cohort(self.cohort, self.top_n)

    @property
    def normalization(self) -> str:
        """`as_norm` or `none`."""
        return _NONE if self.cohort is None else _AS_NORM


def write_verification(
    folder: str | os.PathLike[str],
    *,
    cohort: Tensor | None,
    calibration: Calibration | None,
    threshold: float,
    target_prior: float,
    top_n: int | None = None,
    eer: float | None = None,
) -> None:
    """Add to a model folder what its scores mean; call it after `write_model_folder`.

    Arguments
    ---------
    folder : str or path-like
        The folder of a speaker model.
    cohort, calibration, threshold, target_prior, top_n, eer
        As `VerificationSettings`.

    Raises
    ------
    ModelFolderError
        If the folder holds no weights.
    ValueError
        If a number is out of its range; nothing is written.

    Example
    -------
    >>> folder = getfixture("tmp_path")
    >>> _ = (folder / "model.safetensors").write_bytes(b"weights")
    >>> write_verification(
    ...     folder,
    ...     cohort=None,
    ...     calibration=Calibration(scale=10.0, offset=-4.0),
    ...     threshold=0.5,
    ...     target_prior=0.01,
    ... )
    >>> settings = read_verification(folder)
    >>> settings.threshold, settings.calibration, settings.normalization
    (0.5, Calibration(scale=10.0, offset=-4.0), 'none')
    """
    folder = Path(folder)
    settings = VerificationSettings(
        threshold=float(threshold),
        target_prior=float(target_prior),
        calibration=calibration,
        cohort=None if cohort is None else cohort.detach().float().cpu().contiguous(),
        top_n=top_n,
        eer=None if eer is None else float(eer),
    )
    weights = _digest_of_weights(folder)
    content = {
        "scale": calibration and calibration.scale,
        "offset": calibration and calibration.offset,
        "threshold": settings.threshold,
        "target_prior": settings.target_prior,
        "normalization": settings.normalization,
        "top_n": top_n,
        "eer": settings.eer,
        "weights": weights,
    }
    with ExitStack() as files:
        # Left in reverse order: the JSON, which says whether there is a cohort, takes its place
        # last.
        json_path = files.enter_context(replaced_atomically(folder / VERIFICATION))
        if settings.cohort is not None:
            cohort_path = files.enter_context(replaced_atomically(folder / COHORT))
            metadata = {"weights": weights}
            safetensors.torch.save_file({"cohort": settings.cohort}, cohort_path, metadata=metadata)
        json_path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def read_verification(folder: str | os.PathLike[str]) -> VerificationSettings | None:
    """Read what a model folder knows about its scores.

    Arguments
    ---------
    folder : str or path-like
        The folder of a speaker model.

    Returns
    -------
    VerificationSettings | None
        None where nothing was measured: then only cosines are known.

    Raises
    ------
    ModelFolderError
        If a file is damaged, a number is missing or out of its range, or they belong to other
        weights.
    """
    folder = Path(folder)
    path = folder / VERIFICATION
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelFolderError(f"{path}: damaged or not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ModelFolderError(f"{path}: not a JSON object with {', '.join(_KEYS)}")
    weights = _digest_of_weights(folder)
    if content.get("weights") != weights:
        raise ModelFolderError(_other_weights(path))
    try:
        return _settings(content, folder, weights)
    except ModelFolderError:
        raise
    except ValueError as error:
        raise ModelFolderError(f"{path}: {error}") from error


def _settings(content: Mapping[str, Any], folder: Path, weights: str) -> VerificationSettings:
    absent = [key for key in _KEYS if key not in content]
    if absent:
        raise ValueError(f"lacks {', '.join(absent)}; evaluate the model again")
    normalization = content["normalization"]
    if normalization not in (_AS_NORM, _NONE):
        raise ValueError(f"normalization is {normalization!r} instead of {_AS_NORM} or {_NONE}")
    scale, offset = _number(content, "scale"), _number(content, "offset")
    if (scale is None) != (offset is None):
        raise ValueError(f"scale is {scale} and offset {offset}; a calibration has both")
    calibration = None
    if scale is not None and offset is not None:
        calibration = Calibration(scale, offset)
    threshold, target_prior = (_number(content, key) for key in ("threshold", "target_prior"))
    if threshold is None or target_prior is None:
        raise ValueError(f"threshold is {threshold} and target_prior {target_prior}; both matter")
    top_n = content["top_n"]
    if top_n is not None and type(top_n) is not int:
        raise ValueError(f"top_n is {top_n!r} instead of a whole number or null")
    return VerificationSettings(
        threshold=threshold,
        target_prior=target_prior,
        calibration=calibration,
        cohort=_read_cohort(folder, weights) if normalization == _AS_NORM else None,
        top_n=top_n,
        eer=_number(content, "eer"),
    )


def _number(content: Mapping[str, Any], key: str) -> float | None:
    value = content[key]
    # JSON as Python reads it has NaN and infinity; true is a number to Python.
    if value is not None and (type(value) not in (int, float) or not math.isfinite(value)):
        raise ValueError(f"{key} is {value!r} instead of a finite number")
    return None if value is None else float(value)


def _read_cohort(folder: Path, weights: str) -> Tensor:
    path = folder / COHORT
    if not path.is_file():
        raise ModelFolderError(
            f"{folder} lacks {COHORT}, by which its {VERIFICATION} normalises scores; copy the "
            "whole folder"
        )
    try:
        with safe_open(path, framework="pt") as file:
            if (file.metadata() or {}).get("weights") != weights:
                raise ModelFolderError(_other_weights(path))
            cohort = file.get_tensor("cohort")
    except SafetensorError as error:
        raise ModelFolderError(f"{path}: damaged or not a cohort: {error}") from error
    return cohort.float()


def _check_cohort(cohort: Tensor | None, top_n: int | None) -> None:
    if cohort is None:
        if top_n is not None:
            raise ValueError(f"top_n is {top_n}, and there is no cohort to choose from")
        return
    if cohort.ndim != 2 or len(cohort) < 2 or not cohort.isfinite().all():
        raise ValueError(
            "the cohort must be (speakers, embedding size), finite and of two speakers at least, "
            f"got shape {tuple(cohort.shape)}"
        )
    if top_n is not None and not 2 <= top_n <= len(cohort):
        raise ValueError(
            f"top_n must lie between 2 and the {len(cohort)} cohort speakers, got {top_n}"
        )


def _digest_of_weights(folder: Path) -> str:
    path = folder / WEIGHTS
    if not path.is_file():
        raise ModelFolderError(f"{folder} is not a model folder: it lacks {WEIGHTS}")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _other_weights(path: Path) -> str:
    return (
        f"{path} names no weights or others than {WEIGHTS}, so its figures may be another model's; "
        "evaluate the model again, or remove the file"
    )
