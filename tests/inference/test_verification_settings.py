"""What a folder says about scores: written whole, checked on reading, tied to its weights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from sb_alexa.inference import verification_settings
from sb_alexa.inference.model_folder import WEIGHTS, ModelFolderError
from sb_alexa.inference.verification_settings import (
    COHORT,
    VERIFICATION,
    read_verification,
    write_verification,
)
from sb_alexa.metrics.score_calibration import Calibration

NUMBERS = {
    "calibration": Calibration(scale=2.0, offset=-7.0),
    "threshold": 3.5,
    "target_prior": 0.01,
    "top_n": 4,
    "eer": 2.5,
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / WEIGHTS).write_bytes(b"weights")
    write_verification(tmp_path, cohort=torch.arange(12.0).view(6, 2).double(), **NUMBERS)
    return tmp_path


def test_written_and_read_again(folder: Path) -> None:
    settings = read_verification(folder)
    assert settings is not None
    assert {name: getattr(settings, name) for name in NUMBERS} == NUMBERS
    assert settings.cohort is not None and settings.cohort.dtype == torch.float32
    assert settings.cohort.tolist() == torch.arange(12.0).view(6, 2).tolist()
    assert settings.normalization == "as_norm"
    content = json.loads((folder / VERIFICATION).read_text())
    assert len(content.pop("weights")) == 64
    assert content == {
        "scale": 2.0,
        "offset": -7.0,
        "threshold": 3.5,
        "target_prior": 0.01,
        "normalization": "as_norm",
        "top_n": 4,
        "eer": 2.5,
    }


def test_what_need_not_be_there(folder: Path) -> None:
    (folder / VERIFICATION).unlink()
    assert read_verification(folder) is None
    write_verification(folder, cohort=None, calibration=None, threshold=0.5, target_prior=0.5)
    settings = read_verification(folder)
    assert settings is not None, "the cohort of an earlier training is left aside"
    assert (settings.cohort, settings.calibration, settings.top_n, settings.eer) == (None,) * 4
    assert settings.normalization == "none"


def test_settings_of_other_weights_are_refused(folder: Path, tmp_path: Path) -> None:
    old_cohort = (folder / COHORT).read_bytes()
    (folder / WEIGHTS).write_bytes(b"other weights")
    with pytest.raises(ModelFolderError, match=r"verification\.json names no weights or others"):
        read_verification(folder)
    write_verification(folder, cohort=torch.ones(5, 2), **NUMBERS)
    (folder / COHORT).write_bytes(old_cohort)
    with pytest.raises(ModelFolderError, match=r"cohort\.safetensors names no weights or others"):
        read_verification(folder)
    (folder / WEIGHTS).unlink()
    with pytest.raises(ModelFolderError, match=f"it lacks {WEIGHTS}"):
        write_verification(folder, cohort=None, calibration=None, threshold=1.0, target_prior=0.1)


def test_settings_that_name_no_weights_are_refused(folder: Path) -> None:
    content = json.loads((folder / VERIFICATION).read_text())
    del content["weights"]
    (folder / VERIFICATION).write_text(json.dumps(content))
    with pytest.raises(ModelFolderError, match=r"verification\.json names no weights or others"):
        read_verification(folder)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"threshold": float("nan")}, "threshold is nan instead of a finite number"),
        ({"threshold": None}, "threshold is None and target_prior 0.01"),
        ({"threshold": "high"}, "threshold is 'high' instead"),
        ({"threshold": True}, "threshold is True instead"),
        ({"target_prior": 1.0}, "target_prior must lie between 0 and 1, got 1"),
        ({"scale": -1.0}, "scale must be above 0"),
        ({"scale": None}, "a calibration has both"),
        ({"eer": 101}, "eer must lie between 0 and 100"),
        ({"normalization": "z_norm"}, "normalization is 'z_norm' instead of as_norm or none"),
        ({"normalization": "none"}, "top_n is 4, and there is no cohort"),
        ({"top_n": 7}, "top_n must lie between 2 and the 6 cohort speakers, got 7"),
        ({"top_n": 3.0}, "top_n is 3.0 instead of a whole number"),
    ],
)
def test_numbers_are_checked(folder: Path, change: dict, match: str) -> None:
    path = folder / VERIFICATION
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(ModelFolderError, match=rf"verification\.json: .*{match}"):
        read_verification(folder)


def test_damaged_files(folder: Path) -> None:
    path = folder / VERIFICATION
    content = json.loads(path.read_text())
    del content["eer"], content["scale"]
    for text, match in (
        ("{", "damaged or not JSON"),
        ("[]", "not a JSON object"),
        (json.dumps(content), "lacks scale, eer; evaluate"),
    ):
        path.write_text(text)
        with pytest.raises(ModelFolderError, match=match):
            read_verification(folder)
    write_verification(folder, cohort=torch.ones(5, 2), **NUMBERS)
    (folder / COHORT).write_bytes(b"PK")
    with pytest.raises(ModelFolderError, match="damaged or not a cohort"):
        read_verification(folder)
    (folder / COHORT).unlink()
    with pytest.raises(ModelFolderError, match=r"lacks cohort\.safetensors, by which"):
        read_verification(folder)


@pytest.mark.parametrize(
    ("cohort", "change", "match"),
    [
        (torch.ones(1, 2), {}, "of two speakers at least"),
        (torch.full((6, 2), float("nan")), {}, "finite"),
        (torch.ones(6), {}, r"\(speakers, embedding size\)"),
        (torch.ones(6, 2), {"threshold": float("inf")}, "threshold must be finite"),
    ],
)
def test_nothing_wrong_is_written(folder: Path, cohort, change, match) -> None:
    before = [(folder / name).read_bytes() for name in (VERIFICATION, COHORT)]
    with pytest.raises(ValueError, match=match):
        write_verification(folder, cohort=cohort, **{**NUMBERS, **change})
    assert [(folder / name).read_bytes() for name in (VERIFICATION, COHORT)] == before


def test_a_full_disk_leaves_the_old_settings(folder: Path, monkeypatch) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(verification_settings.safetensors.torch, "save_file", full)
    with pytest.raises(OSError, match="No space"):
        write_verification(folder, cohort=torch.ones(5, 2), **NUMBERS)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
