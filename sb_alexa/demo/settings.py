"""What a demo is asked to do, and where it keeps what it makes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoSettings:
    """What decides the outcome of a demo.

    Arguments
    ---------
    seed : int
        Of corpus and training.
    num_train_speakers : int
        Readers of the training set.
    hours : float
        Training speech, about.
    num_steps : int | None
        Optimiser steps; None for the number in the YAML.

    Raises
    ------
    ValueError
        If the number of steps leaves no room for the schedules.
    """

    seed: int = 0
    num_train_speakers: int = 96
    hours: float = 3.0
    num_steps: int | None = None

    def __post_init__(self) -> None:
        if self.num_steps is not None and self.num_steps < 10:
            raise ValueError(
                f"num_steps must be >= 10, got {self.num_steps}; 1000 make a usable model"
            )


@dataclass(frozen=True)
class DemoFiles:
    """Where a demo keeps what it makes: everything is below one folder."""

    output: Path

    @property
    def corpus(self) -> Path:
        """The embedded corpus."""
        return self.output / "corpus"

    @property
    def model(self) -> Path:
        """Output folder of the recipe, which is a model folder when the recipe has ended."""
        return self.output / "model"

    @property
    def page(self) -> Path:
        """The report."""
        return self.output / "demo.html"

    @property
    def picture(self) -> Path:
        """The report as a picture."""
        return self.output / "demo.png"

    @property
    def log(self) -> Path:
        """All that the libraries print."""
        return self.output / "demo.log"

    @property
    def journal(self) -> Path:
        """Which stages are done."""
        return self.output / "demo.json"
