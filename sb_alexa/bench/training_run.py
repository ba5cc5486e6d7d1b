"""The measurements of `sb-alexa bench training`."""

from __future__ import annotations

import gc
import logging
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor
from tqdm import tqdm

from sb_alexa.assets import find_recipe
from sb_alexa.bench.memory import peak_memory_gib, reset_peak_memory
from sb_alexa.bench.models import RECIPE, SUBJECT, build_hparams, prefix, title
from sb_alexa.bench.pacing import TOKENS_PER_SECOND
from sb_alexa.commands.figures import machine_description
from sb_alexa.commands.recipe import load_script
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.training.dataio import SpeechBatch, collate
from sb_alexa.training.recognition import RecognitionExperiment
from sb_alexa.training.run_log import RunLog

logger = logging.getLogger(__name__)

DEFAULT_MODELS = (SUBJECT, "conformer")
# Mean duration of LibriSpeech's training utterances.
_UTTERANCE_SECONDS = 12.3
_BATCH_SECONDS_ON_CPU = 30.0


@dataclass(frozen=True)
class TrainingResult:
    """What was measured of one model.

    Arguments
    ---------
    name : str
        Its YAML.
    precision : str
        ``bf16`` or ``fp32``.
    num_parameters : int
        Parameters of all modules.
    batch_seconds : float
        Audio in a batch, padding excluded.
    step_ms : tuple of float
        Time of each measured step.
    peak_memory_gib : float | None
        Of the device; None where the system does not tell.

    Example
    -------
    >>> TrainingResult("conv_rnnt", "fp32", 10, 36.0, (90.0, 100.0, 110.0), None).hours_per_hour
    360.0
    """

    name: str
    precision: str
    num_parameters: int
    batch_seconds: float
    step_ms: tuple[float, ...]
    peak_memory_gib: float | None

    @property
    def step_ms_p50(self) -> float:
        """Median time of a step."""
        return float(np.median(self.step_ms))

    @property
    def hours_per_hour(self) -> float:
        """Hours of audio in an hour of training."""
        return 1000.0 * self.batch_seconds / self.step_ms_p50

    @property
    def figures(self) -> dict[str, float | None]:
        """Flat figures with the model's prefix."""
        figures = {
            "hours_per_hour": self.hours_per_hour,
            "step_ms_p50": self.step_ms_p50,
            "peak_memory_gib": self.peak_memory_gib,
            "batch_seconds": self.batch_seconds,
            "parameters_m": self.num_parameters / 1e6,
            "bf16": int(self.precision == "bf16"),
        }
        return {prefix(self.name) + key: value for key, value in figures.items()}


def measure_training(
    name: str,
    *,
    device: str,
    precision: str = "auto",
    batch_seconds: float | None = None,
    num_steps: int = 20,
    warm_up_steps: int = 3,
    spec_augment: bool = True,
) -> TrainingResult:
    """Take training steps of one model on a synthetic batch.

    A batch too large for the memory of the GPU is halved until it fits, down to one utterance, and
    the log says so.

    Arguments
    ---------
    name : str
        YAML of the recipe.
    device : str
        Such as ``cuda:0`` or ``cpu``.
    precision : str
        ``auto`` (bf16 on a GPU, fp32 on a CPU), ``bf16`` or ``fp32``.
    batch_seconds : float | None
        Audio in a batch; None takes the YAML's `max_batch_seconds` on a GPU and 30 on a CPU.
    num_steps, warm_up_steps : int
        Steps measured, and steps before.
    spec_augment : bool
        Whether the YAML's SpecAugment takes part.

    Returns
    -------
    TrainingResult
        Times and memory.
    """
    hparams = build_hparams(name)
    if precision == "auto":
        precision = "fp32" if device == "cpu" else "bf16"
    hparams["precision"] = precision
    if not spec_augment:
        hparams["spec_augment"] = None
    if batch_seconds is None:
        batch_seconds = _BATCH_SECONDS_ON_CPU if device == "cpu" else hparams["max_batch_seconds"]
    with tempfile.TemporaryDirectory() as folder:
        experiment = build_experiment(hparams, device, RunLog(folder))
        timing = None
        while timing is None:
            batch = synthetic_batch(
                batch_seconds, num_labels=hparams["num_labels"], seed=hparams["seed"]
            ).to(device)
            try:
                timing = _time_steps(experiment, batch, num_steps, warm_up_steps, title(name))
            except torch.OutOfMemoryError:
                if len(batch) == 1:
                    raise
                batch_seconds /= 2
                logger.warning("out of memory: %s goes on with %g s", title(name), batch_seconds)
                experiment.zero_grad(set_to_none=True)
                gc.collect()
                torch.cuda.empty_cache()
    num_parameters = sum(parameter.numel() for parameter in experiment.modules.parameters())
    return TrainingResult(name, precision, num_parameters, batch.seconds, *timing)


def synthetic_batch(
    seconds: float, *, num_labels: int, sample_rate: int = 16000, seed: int = 0
) -> SpeechBatch:
    """Noise with the lengths of a batch of similar utterances, and labels at the rate of speech.

    Arguments
    ---------
    seconds : float
        Audio in the batch, approximately.
    num_labels : int
        V, blank (0) included.
    sample_rate : int
        Samples per second.
    seed : int
        The same seed gives the same batch.

    Returns
    -------
    SpeechBatch
        Utterances of 12.3 s (LibriSpeech's mean) more or less a tenth.

    Example
    -------
    >>> batch = synthetic_batch(37.0, num_labels=30)
    >>> len(batch), 30 < batch.seconds < 44
    (3, True)
    """
    generator = torch.Generator().manual_seed(seed)
    size = max(1, round(seconds / _UTTERANCE_SECONDS))
    factors = 0.9 + 0.2 * torch.rand(size, generator=generator)
    items = [
        noise_item(
            number,
            duration_s,
            num_labels=num_labels,
            sample_rate=sample_rate,
            generator=generator,
        )
        for number, duration_s in enumerate((factors * seconds / size).tolist())
    ]
    return collate(items)


def noise_item(
    number: int,
    duration_s: float,
    *,
    num_labels: int,
    generator: torch.Generator,
    sample_rate: int = 16000,
) -> tuple[Utterance, Tensor, Tensor]:
    """Noise instead of an utterance, with as many labels as speech has.

    Arguments
    ---------
    number : int
        For its name.
    duration_s : float
        Its length in seconds.
    num_labels : int
        V, blank (0) included.
    generator : Generator
        Of the noise and of the labels.
    sample_rate : int
        Samples per second.

    Returns
    -------
    utterance, wav, labels : Utterance, Tensor, Tensor
        Shapes (N,) and (U,); what `sb_alexa.training.dataio.collate` takes.

    Example
    -------
    >>> _, wav, labels = noise_item(0, 2.0, num_labels=30, generator=torch.Generator())
    >>> wav.shape, labels.shape
    (torch.Size([32000]), torch.Size([7]))
    """
    count = max(1, round(duration_s * TOKENS_PER_SECOND))
    wav = 0.1 * torch.randn(round(duration_s * sample_rate), generator=generator)
    labels = torch.randint(1, num_labels, (count,), generator=generator)
    return Utterance(f"noise-{number}", duration_s, "", "", ""), wav, labels


def markdown(results: Sequence[TrainingResult], device: str) -> str:
    """The table.

    Arguments
    ---------
    results : sequence of TrainingResult
        One for each model.
    device : str
        Where they were measured.

    Returns
    -------
    str
        Markdown.
    """
    lines = [
        "| | parameters (M) | hours of audio per hour | step p50 (ms) | batch (s) | memory (GiB) |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        memory = "" if result.peak_memory_gib is None else f"{result.peak_memory_gib:.2f}"
        lines.append(
            f"| {title(result.name)} | {result.num_parameters / 1e6:.1f} "
            f"| **{result.hours_per_hour:.0f}** | {result.step_ms_p50:.0f} "
            f"| {result.batch_seconds:.0f} | {memory} |"
        )
    machine = machine_description()
    where = machine["cpu"] if device == "cpu" else machine["gpu"]
    lines += [
        "",
        f"{where}, {results[0].precision}, torch {machine['torch']}; whole training steps on "
        "synthetic batches, reading of audio not included.",
    ]
    return "\n".join(lines)


def build_experiment(hparams: dict[str, Any], device: str, log: RunLog) -> RecognitionExperiment:
    """The recipe's experiment with the weights it starts from, ready for a complete step.

    Arguments
    ---------
    hparams : dict
        From `sb_alexa.bench.models.build_hparams`.
    device : str
        Such as ``cpu`` or ``cuda:0``.
    log : RunLog
        Where the experiment reports to.

    Returns
    -------
    RecognitionExperiment
        Behind a start with the CTC loss alone, whose steps are cheaper than those that follow.
    """
    script = load_script(find_recipe(RECIPE))
    experiment = script.TransducerASR(
        modules=hparams["modules"],
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=RunOptions.from_dictionary({"device": device}),
        checkpointer=None,
        word_pieces=None,  # only validation turns labels into text
        log=log,
    )
    experiment.on_fit_start()
    experiment.modules.train()
    experiment.optimizer_step = hparams["ctc_only_steps"]
    return experiment


def _time_steps(
    experiment: RecognitionExperiment,
    batch: SpeechBatch,
    num_steps: int,
    warm_up_steps: int,
    name: str,
) -> tuple[tuple[float, ...], float | None]:
    device = str(batch.wavs.device)
    reset_peak_memory(device)
    step_ms = []
    for number in tqdm(range(warm_up_steps + num_steps), desc=name, unit="step", disable=None):
        start = time.perf_counter()
        experiment.fit_batch(batch)
        if device != "cpu":
            torch.cuda.synchronize()
        if number >= warm_up_steps:
            step_ms.append(1000.0 * (time.perf_counter() - start))
    return tuple(step_ms), peak_memory_gib(device)
