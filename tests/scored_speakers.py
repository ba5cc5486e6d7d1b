"""Scores of made-up speakers in two groups, of which one is harder."""

from __future__ import annotations

import numpy as np

from sb_alexa.inference.scored_trials import ScoredTrials


def group_of(speaker: str) -> str:
    """The first letter."""
    return speaker[0]


def scored_trials(
    name: str = "mine", *, num_speakers: int = 24, seed: int = 0, worse_by: float = 0.0
) -> ScoredTrials:
    """All pairs of speakers `a00`, `b01`, ...; targets of group b score lower."""
    generator = np.random.default_rng(seed)
    speakers = [f"{'ab'[number % 2]}{number:02d}" for number in range(num_speakers)]
    enrol, test, scores = [], [], []
    for one in speakers:
        for other in speakers:
            for session in range(4 if one == other else 1):
                enrol.append(f"{one}/s0/1")
                test.append(f"{other}/s1/{session}")
                lift = (3.0 - worse_by if one[0] == "a" else 1.6 - worse_by) * (one == other)
                scores.append(generator.normal() + lift)
    enrol_speakers, test_speakers = ([name[:3] for name in side] for side in (enrol, test))
    return ScoredTrials(
        name,
        np.array(scores),
        np.array([one == other for one, other in zip(enrol_speakers, test_speakers, strict=True)]),
        enrol=enrol,
        test=test,
        enrol_speakers=enrol_speakers,
        test_speakers=test_speakers,
    )
