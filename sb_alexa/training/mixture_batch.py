"""Batches of mixtures: audio, and what each output channel shall say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sb_alexa.lengths import relative_lengths
from sb_alexa.multitalker.arrangement import arrange_turns
from sb_alexa.multitalker.targets import ChannelTarget, channel_targets
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.turn import Turn

# Times are float32: an hour into a session they are exact to a quarter of a millisecond. A turn
# that reaches less than this into a frame does not touch it.
_TOLERANCE_S = 1e-3


@dataclass(frozen=True)
class MixtureInfo:
    """What is known of a mixture.

    Arguments
    ---------
    id : str
        Unique name.
    session : str
        What a bootstrap resamples; a simulated mixture is a session of its own.
    condition : str
        Group to which results are reported.
    duration_s : float
        Seconds.
    turns : tuple of Turn
        Seconds from the first sample.
    """

    id: str
    session: str
    condition: str
    duration_s: float
    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class MixtureItem:
    """One mixture before it is put into a batch.

    Arguments
    ---------
    info : MixtureInfo
        Names and turns.
    samples : Tensor
        (N,) float32.
    targets : tuple of ChannelTarget
        One for each channel.
    channel_turns : tuple of tuple of Turn
        The turns of each channel.
    arranged : bool
        False for a mixture whose turns the channels cannot hold: it has no targets.
    """

    info: MixtureInfo
    samples: Tensor
    targets: tuple[ChannelTarget, ...]
    channel_turns: tuple[tuple[Turn, ...], ...]
    arranged: bool = True


@dataclass(frozen=True)
class MixtureTargets:
    """Makes the items of batches: turns become labels of channels.

    Arguments
    ---------
    tokens : TurnTokens
        Labels of turn tokens.
    encode : callable
        Text to word pieces, such as `WordPieces.encode`.
    num_channels : int
        Output channels, 1 or 2.
    """

    tokens: TurnTokens
    encode: Callable[[str], Sequence[int]]
    num_channels: int = 2

    def item(self, info: MixtureInfo, samples: Tensor) -> MixtureItem:
        """The item of one mixture.

        Raises
        ------
        ValueError
            If three turns overlap, with two channels.
        """
        try:
            arrangement = arrange_turns(info.turns, self.num_channels)
            targets = channel_targets(arrangement, self.tokens, self.encode)
        except ValueError as error:
            raise ValueError(f"mixture {info.id}: {error}") from error
        return MixtureItem(info, samples, targets, arrangement.by_channel)

    def item_without_labels(self, info: MixtureInfo, samples: Tensor) -> MixtureItem:
        """The item of a mixture that cannot be arranged."""
        nothing = (ChannelTarget(),) * self.num_channels
        return MixtureItem(info, samples, nothing, ((),) * self.num_channels, arranged=False)


@dataclass(frozen=True)
class MixtureBatch:
    """Mixtures of one batch, for C output channels.

    Arguments
    ---------
    mixtures : tuple of MixtureInfo
        Names and turns.
    wavs : Tensor
        (B, N) samples, zero after the end.
    num_samples : Tensor
        (B,) int64.
    labels : tuple of Tensor
        For each channel (B, U) int64 word pieces and turn tokens, blank (0) after the end; U is 0
        if nobody speaks there.
    num_labels : tuple of Tensor
        For each channel (B,) int64.
    turn_end_s : tuple of Tensor
        For each channel (B, U) float32: where the label is <eot>, when its turn ends; else NaN.
    turn_bounds_s : Tensor
        (B, C, R, 2) float32 start and end of the turns of each channel, NaN after the last.
    arranged : Tensor
        (B,) bool, False for mixtures without labels (see `RecordedMixtureDataset`).
    """

    mixtures: tuple[MixtureInfo, ...]
    wavs: Tensor
    num_samples: Tensor
    labels: tuple[Tensor, ...]
    num_labels: tuple[Tensor, ...]
    turn_end_s: tuple[Tensor, ...]
    turn_bounds_s: Tensor
    arranged: Tensor

    def __len__(self) -> int:
        return self.wavs.shape[0]

    @property
    def utterances(self) -> tuple[MixtureInfo, ...]:
        """The mixtures, under the name by which `Experiment` reports a batch that fails."""
        return self.mixtures

    @property
    def num_channels(self) -> int:
        """C."""
        return len(self.labels)

    @property
    def wav_lens(self) -> Tensor:
        """(B,) SpeechBrain's relative lengths."""
        return relative_lengths(self.num_samples, self.wavs.shape[1])

    @property
    def seconds(self) -> float:
        """Seconds of audio, padding excluded."""
        return sum(mixture.duration_s for mixture in self.mixtures)

    def active_mask(
        self, num_frames: int, seconds_per_frame: float, *, collar_s: float = 0.0
    ) -> Tensor:
        """Mark the frames in which a channel has an active turn.

        Arguments
        ---------
        num_frames : int
            T, of the longest mixture; frames after the end of a shorter one are not active.
        seconds_per_frame : float
            Frame t lasts from t to t + 1 times this.
        collar_s : float
            Turns count as active for so long after their end.

        Returns
        -------
        Tensor
            (B, C, T) bool, True where a turn touches the frame.
        """
        edges = torch.arange(num_frames + 1, device=self.turn_bounds_s.device) * seconds_per_frame
        starts, ends = self.turn_bounds_s[..., None, :].unbind(-1)  # (B, C, R, 1)
        # Comparisons with NaN are false: there is no turn.
        touched = (starts < edges[1:] - _TOLERANCE_S) & (
            ends + collar_s > edges[:-1] + _TOLERANCE_S
        )
        return touched.any(dim=2)

    def to(self, device: torch.device | str) -> MixtureBatch:
        """The batch on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> MixtureBatch:
        """Called by the data loader's pinning thread."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> MixtureBatch:
        return replace(
            self,
            wavs=change(self.wavs),
            num_samples=change(self.num_samples),
            labels=tuple(change(one) for one in self.labels),
            num_labels=tuple(change(one) for one in self.num_labels),
            turn_end_s=tuple(change(one) for one in self.turn_end_s),
            turn_bounds_s=change(self.turn_bounds_s),
            arranged=change(self.arranged),
        )


def collate_mixtures(items: Sequence[MixtureItem]) -> MixtureBatch:
    """Pad the items of a batch."""
    by_channel = list(zip(*(item.targets for item in items), strict=True))
    labels = [[torch.tensor(one.labels, dtype=torch.long) for one in row] for row in by_channel]
    ends = [[_seconds(one.turn_end_s) for one in row] for row in by_channel]
    return MixtureBatch(
        mixtures=tuple(item.info for item in items),
        wavs=pad_sequence([item.samples for item in items], batch_first=True),
        num_samples=torch.tensor([len(item.samples) for item in items]),
        labels=tuple(pad_sequence(row, batch_first=True) for row in labels),
        num_labels=tuple(torch.tensor([len(one) for one in row]) for row in labels),
        turn_end_s=tuple(
            pad_sequence(row, batch_first=True, padding_value=float("nan")) for row in ends
        ),
        turn_bounds_s=_bounds([item.channel_turns for item in items]),
        arranged=torch.tensor([item.arranged for item in items]),
    )


def _seconds(times_s: Sequence[float | None]) -> Tensor:
    return torch.tensor([float("nan") if time is None else time for time in times_s])


def _bounds(turns: Sequence[Sequence[Sequence[Turn]]]) -> Tensor:
    most = max(len(channel) for mixture in turns for channel in mixture)
    bounds_s = torch.full((len(turns), len(turns[0]), most, 2), float("nan"))
    for row, mixture in enumerate(turns):
        for channel, its_turns in enumerate(mixture):
            for place, turn in enumerate(its_turns):
                bounds_s[row, channel, place] = torch.tensor([turn.start_s, turn.end_s])
    return bounds_s
