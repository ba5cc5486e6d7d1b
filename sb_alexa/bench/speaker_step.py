"""`sb-alexa bench speaker-step`: what losses and adversary add to a step of speaker training."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

_RECIPE = "VoxCeleb/SpeakerRec"
_EPILOG = """\
A step of the recipe at its own batch size, taken apart: network, forward and backward; the losses
that compare all utterances of the batch; the adversary's turn; and the clusters, which are made
anew once in an epoch, by step. The network takes the batch in portions (--portion), since its time
is proportional to them and its memory is, too. Noise instead of speech: time does not depend on it.

example:
  sb-alexa bench speaker-step --json speaker_step.json
  sb-alexa bench speaker-step --hparams arw_pl --device cuda:0 --portion 256
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the benchmark."""
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("--hparams", default="arw_pw", help=f"YAML of {_RECIPE} [%(default)s]")
    add("--device", default="cpu", help="such as cuda:0 [%(default)s]")
    add("--threads", type=int, default=1, help="of the processor [%(default)s]")
    add("--portion", type=int, default=8, help="utterances at a time [%(default)s]")
    add("--rounds", type=int, default=9, help="measurements of each part [%(default)s]")
    add("--epoch-steps", type=int, default=4266, help="steps of an epoch [%(default)s: VoxCeleb2]")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="YAML key; can be repeated")
    add("--json", metavar="FILE", help="write the figures")


def run(args: argparse.Namespace) -> int:
    """Measure and print.

    Arguments
    ---------
    args : argparse.Namespace
        What `add_arguments` declares.

    Returns
    -------
    exit_code : int
        0; bad input raises ValueError or OSError.
    """
    for name in ("threads", "portion", "rounds", "epoch_steps"):
        if getattr(args, name) < 1:
            raise ValueError(f"--{name.replace('_', '-')} must be >= 1, got {getattr(args, name)}")
    from sb_alexa.bench.recipe_comparison import parse_settings
    from sb_alexa.commands.figures import write_figures

    settings = parse_settings(args.set, set_here=("adversary_warmup_batches",))
    threads = torch.get_num_threads()
    torch.set_num_threads(args.threads)
    try:
        parts = measure(
            build(args.hparams, settings, args.device),
            portion=args.portion,
            rounds=args.rounds,
            epoch_steps=args.epoch_steps,
        )
    finally:
        torch.set_num_threads(threads)
    if args.json:
        write_figures(args.json, "bench speaker-step", parts.figures())
    print(markdown(parts))
    return 0


@dataclass(frozen=True)
class StepParts:
    """Milliseconds of the parts of a training step, medians.

    Arguments
    ---------
    name : str
        Of the YAML.
    batch : (int, int)
        Speakers and utterances of each.
    network, losses, adversary, clusters : float
        Milliseconds; 0 where the objective has none.
    """

    name: str
    batch: tuple[int, int]
    network: float
    losses: float
    adversary: float
    clusters: float

    @property
    def overhead(self) -> float:
        """Losses, adversary and clusters in percent of the whole step."""
        extra = self.losses + self.adversary + self.clusters
        return 100.0 * extra / (self.network + extra)

    def figures(self) -> dict[str, float]:
        """Flat figures for JSON."""
        return {
            "network_ms": self.network,
            "losses_ms": self.losses,
            "adversary_ms": self.adversary,
            "clusters_ms": self.clusters,
            "overhead_percent": self.overhead,
        }


def build(hparams: str, settings: dict[str, str], device: str) -> dict[str, Any]:
    """The objects of a YAML of the recipe, its modules on a device."""
    from sb_alexa.assets import find_recipe
    from sb_alexa.training.configuration import Configuration

    path = find_recipe(_RECIPE).find_hparams(hparams)
    changes = {"data_folder": "none", "adversary_warmup_batches": 0, **settings}
    objects = Configuration.from_file(path, changes).build()
    for module in objects["modules"].values():
        module.to(device).train()
    objects["reweighting"].prepare(device)
    return {**objects, "name": hparams, "device": torch.device(device)}


def measure(objects: dict[str, Any], *, portion: int, rounds: int, epoch_steps: int) -> StepParts:
    """Time the parts of a step.

    Arguments
    ---------
    objects : dict
        From `build`.
    portion : int
        Utterances that the network takes at a time.
    rounds : int
        Measurements of each part; the median counts.
    epoch_steps : int
        Steps that share one refit of the clusters.
    """
    from sb_alexa.fairness.speaker_batch import SpeakerBatch

    device, reweighting = objects["device"], objects["reweighting"]
    size = objects["speakers_per_batch"], objects["utterances_per_speaker"]
    number = size[0] * size[1]
    speakers = torch.arange(size[0], device=device).repeat_interleave(size[1])
    embeddings = torch.randn(number, objects["embedding_size"], device=device)
    batch = SpeakerBatch.of(embeddings.requires_grad_(), speakers)
    encoder = objects["speaker_encoder"]
    num_samples = round(objects["crop_seconds"] * objects["sample_rate"])
    wavs = torch.randn(min(portion, number), num_samples, device=device)

    def network() -> None:
        encoder(wavs).square().sum().backward()

    def losses() -> None:
        reweighting.loss(batch).backward()

    clusters = reweighting.game.clusters if reweighting.game else None
    clusters_ms = 0.0
    if clusters is not None:
        clusters.remember(torch.randn(len(clusters.memory), clusters.embedding_size, device=device))
        refit = partial(clusters.refit, clusters.remembered, epoch=1)
        clusters_ms = _ms(refit, device) / epoch_steps
    in_turn = {"network": network, "losses": losses, "adversary": lambda: reweighting.update(batch)}
    times: dict[str, list[float]] = {name: [] for name in in_turn}
    for part in in_turn.values():  # memory is allocated, kernels are chosen
        part()
    for _ in range(rounds):
        for name, part in in_turn.items():
            times[name].append(_ms(part, device))
    medians = {name: float(torch.tensor(values).median()) for name, values in times.items()}
    medians["network"] *= number / len(wavs)
    if reweighting.game is None:
        medians["adversary"] = 0.0
    return StepParts(objects["name"], size, **medians, clusters=clusters_ms)


def markdown(parts: StepParts) -> str:
    """The parts as a table."""
    speakers, utterances = parts.batch
    return "\n".join(
        [
            f"`{parts.name}`: {speakers} speakers x {utterances} utterances",
            "",
            "| network | losses | adversary | clusters | overhead |",
            "|---|---|---|---|---|",
            f"| {parts.network:.0f} ms | {parts.losses:.1f} ms | {parts.adversary:.1f} ms | "
            f"{parts.clusters:.2f} ms | {parts.overhead:.2f} % |",
        ]
    )


def _ms(part: Callable[[], object], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    begun = time.perf_counter()
    part()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return 1000.0 * (time.perf_counter() - begun)
