"""What `sb-alexa bench loss` compares on the same tensors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from sb_alexa.bench.loss_cases import JointTensors, LogitsTensors, LossTensors
from sb_alexa.bench.loss_peers import PEERS, Peer
from sb_alexa.lengths import relative_lengths
from sb_alexa.losses.transducer import transducer_loss, transducer_loss_from_logits

OCCUPANCY_FLOOR = 1e-6


@dataclass(frozen=True)
class Variant:
    """One way to compute the loss.

    Arguments
    ---------
    figure : str
        In the names of its absolute figures, ``seconds_<figure>``.
    title : str
        In tables.
    loss : Callable
        The loss of the tensors, ready for `backward`.
    ratio : str | None
        Beginning of the names of our ratios, ``<ratio>time_ratio_<peer>``; None for a peer.
    peer : Peer | None
        Whose loss it is; None for ours.
    occupancy_floor : float
        Of ours.
    """

    figure: str
    title: str
    loss: Callable[[Any], Tensor]
    ratio: str | None = None
    peer: Peer | None = None
    occupancy_floor: float = 0.0


@dataclass
class Comparison:
    """Variants on the same tensors.

    Arguments
    ---------
    title : str
        What the tensors are.
    tensors : LossTensors
        Input of all variants.
    variants : list of Variant
        Those that can run, ours first.
    skipped : dict
        Title of a peer: why it cannot run.
    others : dict
        Computations that take turns with the variants, by name.
    """

    title: str
    tensors: LossTensors
    variants: list[Variant]
    skipped: dict[str, str] = field(default_factory=dict)
    others: dict[str, Callable[[], object]] = field(default_factory=dict)


def exact(tensors: LossTensors) -> Tensor:
    """Ours as it comes."""
    if isinstance(tensors, JointTensors):
        return _from_joint(tensors, occupancy_floor=0.0)
    assert isinstance(tensors, LogitsTensors)
    _, frames, width, _ = tensors.logits.shape
    return transducer_loss_from_logits(
        tensors.logits,
        tensors.targets,
        relative_lengths(tensors.num_frames, frames),
        relative_lengths(tensors.num_labels, width - 1),
        blank_index=0,
    )


def with_floor(tensors: JointTensors) -> Tensor:
    """Ours with a backward pass on the cells that matter."""
    return _from_joint(tensors, occupancy_floor=OCCUPANCY_FLOOR)


def random_comparison(tensors: JointTensors) -> Comparison:
    """Exact and with a floor, random weights, against all peers."""
    ours = [_exact("exact", ""), _with_floor("floor_random")]
    return _with_peers("random weights", tensors, ours, "", PEERS)


def full_length_comparison(tensors: JointTensors) -> Comparison:
    """Exact, on a batch without padding."""
    ours = [_exact("full_length", "full_length_")]
    return _with_peers("full-length batch", tensors, ours, "full_length_", PEERS[:1])


def trained_comparison(tensors: JointTensors) -> Comparison:
    """With a floor, on a model that has learned to align."""
    ours = [_with_floor("floor_trained")]
    return _with_peers("trained model", tensors, ours, "trained_", PEERS[:1])


def logits_comparison(tensors: LogitsTensors) -> Comparison:
    """The loss alone."""
    ours = [_exact("loss_only", "loss_only_")]
    return _with_peers("loss alone, ready logits", tensors, ours, "loss_only_", PEERS)


def _exact(figure: str, ratio: str) -> Variant:
    return Variant(figure, "ours, exact", exact, ratio=ratio)


def _with_floor(figure: str) -> Variant:
    title = f"ours, floor {OCCUPANCY_FLOOR:.0e}".replace("e-0", "e-")
    return Variant(figure, title, with_floor, ratio=f"{figure}_", occupancy_floor=OCCUPANCY_FLOOR)


def _with_peers(
    title: str,
    tensors: LossTensors,
    ours: list[Variant],
    prefix: str,
    peers: tuple[Peer, ...],
) -> Comparison:
    comparison = Comparison(title, tensors, list(ours))
    for peer in peers:
        obstacle = peer.obstacle(tensors.size, tensors.device)
        if obstacle is not None:
            comparison.skipped[peer.title] = obstacle
            continue
        figure = f"{prefix}{peer.name}"
        comparison.variants.append(Variant(figure, peer.title, _plain_joint(peer), peer=peer))
    return comparison


def _plain_joint(peer: Peer) -> Callable[[LossTensors], Tensor]:
    """The peer behind the padded joint, which is what its users do."""

    def loss(tensors: LossTensors) -> Tensor:
        if isinstance(tensors, JointTensors):
            return peer.loss(tensors.logits(), tensors)
        assert isinstance(tensors, LogitsTensors)
        return peer.loss(tensors.logits, tensors)

    return loss


def _from_joint(tensors: JointTensors, *, occupancy_floor: float) -> Tensor:
    return transducer_loss(
        tensors.encoder_out,
        tensors.predictor_out,
        tensors.joiner,
        tensors.targets,
        num_frames=tensors.num_frames,
        num_labels=tensors.num_labels,
        occupancy_floor=occupancy_floor,
    )
