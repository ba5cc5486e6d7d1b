"""Streaming steps as modules of tensors only, which can be exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from sb_alexa.lengths import length_mask
from sb_alexa.streaming.state import map_tensors, named_tensors


@dataclass(frozen=True)
class StateTensor:
    """A tensor that a graph takes and gives back changed.

    Arguments
    ---------
    name : str
        Dotted name within the state.
    initial : Tensor
        Value at the start of a stream.
    """

    name: str
    initial: Tensor

    def as_dict(self) -> dict[str, Any]:
        """For JSON; a constant tensor is described by its one value."""
        values = self.initial.flatten().tolist()
        return {
            "input": f"state.{self.name}",
            "output": f"next.{self.name}",
            "shape": list(self.initial.shape),
            "dtype": dtype_name(self.initial),
            "initial": values[0] if len(set(values)) == 1 else values,
        }


class _Step(nn.Module):
    """A step with its state spread over arguments and results.

    Tensors without elements, which some states hold to tell the batch size, are no part of a graph.
    """

    def __init__(self, modules: Sequence[nn.Module], initial: Any) -> None:
        super().__init__()
        self.parts = nn.ModuleList(modules)
        self._initial = initial
        # Cloned, because a state may hold one tensor twice (zeros), and the exporter would take two
        # arguments that are one tensor for one argument.
        self.state = [StateTensor(n, t.clone()) for n, t in named_tensors(initial) if t.numel()]

    def unflatten(self, tensors: Sequence[Tensor]) -> Any:
        given = iter(tensors)
        return map_tensors(lambda t: next(given) if t.numel() else t, self._initial)

    def flatten(self, state: Any) -> tuple[Tensor, ...]:
        return tuple(tensor for _, tensor in named_tensors(state) if tensor.numel())


class EncoderStep(_Step):
    """Front end and encoder on one chunk.

    Arguments
    ---------
    features : StreamingModule
        Samples to frames.
    encoder : StreamingModule
        Frames to frames.
    batch_size : int
        Number of streams.
    """

    def __init__(self, features: Any, encoder: Any, batch_size: int) -> None:
        initial = (features.initial_state(batch_size), encoder.initial_state(batch_size))
        super().__init__([features, encoder], initial)

    def forward(self, samples: Tensor, num_samples: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """Make one step.

        Arguments
        ---------
        samples : Tensor
            (B, N).
        num_samples : Tensor
            (B,) valid samples, fewer than N in the last chunk of a stream only.
        *state : Tensor
            As listed in `state`.

        Returns
        -------
        tuple of Tensor
            Encoder frames (B, T, C), then the next state.
        """
        features, encoder = self.parts
        before_features, before_encoder = self.unflatten(state)
        frames, after_features = features.forward_chunk(samples, before_features)  # type: ignore[operator]
        # After the end of a stream there are zero frames, which silent samples do not give.
        num_frames = features.num_outputs(num_samples)  # type: ignore[operator]
        frames = frames * length_mask(num_frames, frames.shape[1])[..., None]
        y, after_encoder = encoder.forward_chunk(frames, before_encoder)  # type: ignore[operator]
        return (y, *self.flatten((after_features, after_encoder)))


class PredictorStep(_Step):
    """The label encoder on one label.

    Arguments
    ---------
    predictor : Predictor
        Its state before the start symbol is the initial one.
    batch_size : int
        Number of streams.
    """

    def __init__(self, predictor: Any, batch_size: int) -> None:
        super().__init__([predictor], predictor.empty_state(batch_size))

    def forward(self, labels: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        """(B, 1) labels and the state to (B, P) vectors and the next state."""
        y, after = self.parts[0].forward_chunk(labels, self.unflatten(state))  # type: ignore[operator]
        return (y[:, 0], *self.flatten(after))


class JoinerStep(nn.Module):
    """The joiner on one encoder frame.

    Arguments
    ---------
    joiner : Joiner
        With its projections.
    """

    def __init__(self, joiner: Any) -> None:
        super().__init__()
        self.joiner = joiner

    def forward(self, encoder_frame: Tensor, predictor_out: Tensor) -> Tensor:
        """(B, C) and (B, P) to logits (B, V)."""
        encoder_part = self.joiner.project_encoder(encoder_frame)
        return self.joiner(encoder_part, self.joiner.project_predictor(predictor_out))


def dtype_name(tensor: Tensor) -> str:
    """For JSON, in numpy's words."""
    return str(tensor.dtype).removeprefix("torch.")
