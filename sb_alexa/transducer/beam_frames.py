"""The way of a beam through the frames of a chunk."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import map_tensors, rows
from sb_alexa.transducer.beam_expansion import FrameExpansion
from sb_alexa.transducer.beam_labels import LabelSequences
from sb_alexa.transducer.beam_parts import Arcs, Networks, Rules
from sb_alexa.transducer.beam_state import BeamState, OpenLabels, one_row_each, rows_of_beams
from sb_alexa.transducer.hypothesis import Hypothesis

# Frames joined at once: more are joined in vain when a label comes early.
_LONGEST_WINDOW = 8


def first_state(
    rules: Rules, batch_size: int, beam_size: int, max_open_labels: int, *, phrases: Any
) -> BeamState:
    """The state before the first frame.

    Arguments
    ---------
    rules : Rules
        The search.
    batch_size, beam_size, max_open_labels : int
        B, K and L.
    phrases : PhraseTables | tuple
        Of B streams; an empty tuple for none.

    Returns
    -------
    BeamState
        One empty hypothesis in each beam; on the predictor's device.
    """
    out, predictor = rules.predictor.start(batch_size)
    history = rules.joiner.project_predictor(out)[:, 0]
    device = history.device
    phrases = map_tensors(lambda tensor: tensor.to(device), phrases)
    bonus = rules.bonus.initial_state(phrases, batch_size)
    bonus = map_tensors(lambda tensor: tensor.to(device), bonus)
    stream = torch.arange(batch_size, device=device).repeat_interleave(beam_size)
    score = torch.full((batch_size, beam_size), -torch.inf, dtype=torch.float64, device=device)
    score[:, 0] = 0.0
    count = torch.zeros_like(score, dtype=torch.long)
    tokens = count.new_zeros(batch_size, beam_size, max_open_labels)
    return BeamState(
        score=score,
        path_score=torch.zeros_like(score),
        labels=OpenLabels(tokens, tokens.clone(), tokens.to(rules.precision(history)), count),
        history=rows_of_beams(rows(history, stream), beam_size),
        predictor=rows_of_beams(rows(predictor, stream), beam_size),
        bonus=rows_of_beams(rows(bonus, stream), beam_size),
        phrases=phrases,
        num_frames=torch.zeros_like(count[:, 0]),
    )


class BeamFrames:
    """Searches the frames of one chunk, every stream at its own pace.

    Where no label can enter the beam of a stream, its hypotheses take the blank: that needs the
    joiner only, several frames at once. At the first frame of the window where one can, the stream
    waits for `FrameExpansion`, which runs for all streams that have come to such a frame, be it
    another one for each. So the predictor runs few times and on many rows.

    Arguments
    ---------
    rules : Rules
        The search.
    state : BeamState
        Of B streams; not changed.
    frames : Tensor
        (B, T, J), projected, T >= 1.
    ends : Tensor
        (B,) valid frames.
    """

    def __init__(self, rules: Rules, state: BeamState, frames: Tensor, ends: Tensor) -> None:
        self._rules = rules
        self._frames, self._ends = frames, ends
        self._position = torch.zeros_like(ends)
        self._score, self._path = state.score, state.path_score
        self._phrases = state.phrases
        self._frames_before = state.num_frames
        self._sequences = LabelSequences(state.labels)
        batch, self._beam = state.score.shape
        self._slots = torch.arange(batch * self._beam, device=ends.device).view(batch, -1)
        history, bonus = state.history.flatten(0, 1), one_row_each(state.bonus)
        stream = self._slots.flatten() // self._beam
        self._networks = Networks(
            history,
            one_row_each(state.predictor),
            bonus,
            rules.bonus.scores(bonus, state.phrases, stream, rules.precision(history)),
        )
        self._window = torch.arange(_LONGEST_WINDOW, device=ends.device)
        self._num_ahead = 2

    def run(self) -> tuple[list[tuple[int, Hypothesis]], BeamState]:
        """Search to the end.

        Returns
        -------
        list
            Streams and labels that are settled, in order; a stream may come several times.
        BeamState
            After the chunk.
        """
        settled = []
        row = (self._position < self._ends).nonzero()[:, 0]
        while len(row):
            settled += self._sequences.make_room(self._rules.max_symbols_per_frame, self._score)
            self._expand(*self._skip(row))
            row = (self._position < self._ends).nonzero()[:, 0]
        settled += self._sequences.take_settled(self._score)
        return settled, self._to_state()

    def where(self, stream: int) -> int:
        """The frame of this chunk at which a stream stands."""
        return int(self._position[stream])

    def _to_state(self) -> BeamState:
        networks = self._networks
        return BeamState(
            score=self._score,
            path_score=self._path,
            labels=self._sequences.to_state(),
            history=rows_of_beams(networks.history, self._beam),
            predictor=rows_of_beams(networks.predictor, self._beam),
            bonus=rows_of_beams(networks.bonus, self._beam),
            phrases=self._phrases,
            num_frames=self._frames_before + self._ends,
        )

    def _skip(self, row: Tensor) -> tuple[Tensor, Arcs]:
        """Advance streams (N,) to the next frame at which a label can enter the beam.

        Returns the streams that have found one in their window, and their arcs (E, K).
        """
        window = self._position[row, None] + self._window[: self._num_ahead]  # (N, W)
        is_inside = window < self._ends[row, None]
        frames = self._frames[row[:, None], window.clamp(max=self._frames.shape[1] - 1)]
        slots = self._slots[row]
        scores = self._networks.bonus_scores
        bonus_scores = scores if isinstance(scores, tuple) else scores[slots]
        arcs = self._rules.arcs(frames, self._networks.history[slots], bonus_scores)

        blank = arcs.blank.to(self._score.dtype).cumsum(1)  # (N, W, K)
        blank = torch.cat([torch.zeros_like(blank[:, :1]), blank], dim=1)
        score = self._score[row, None] + blank
        threshold = self._rules.threshold(score[:, 1:], self._beam)
        # Not `>`: NaN has to stop the stream.
        can_enter = ~((score[:, :-1] + arcs.best).amax(-1) <= threshold) & is_inside
        found, first = can_enter.max(1)
        num_skipped = torch.where(found, first, is_inside.sum(1))
        skipped = num_skipped[:, None, None].expand(-1, 1, self._beam)
        self._score = self._score.index_copy(0, row, score.gather(1, skipped)[:, 0])
        self._path = self._path.index_add(0, row, blank.gather(1, skipped)[:, 0])
        self._position = self._position.index_add(0, row, num_skipped)
        self._adapt(int(num_skipped.sum()) / len(row))

        item = found.nonzero()[:, 0]
        first = first[item]
        return row[item], map_tensors(lambda tensor: tensor[item, first], arcs)

    def _adapt(self, num_skipped: float) -> None:
        """Choose the next window by how far, on average, the last one went."""
        share = (num_skipped + 1) / self._num_ahead
        if share > 0.8:
            self._num_ahead = min(self._num_ahead + 1, _LONGEST_WINDOW)
        elif share < 0.6:
            self._num_ahead -= 1

    def _expand(self, stream: Tensor, arcs: Arcs) -> None:
        """Search the present frame of some streams (E,)."""
        if not len(stream):
            return
        position = self._position[stream]
        expansion = FrameExpansion(
            self._rules,
            phrases=self._phrases,
            sequences=self._sequences,
            networks=self._networks,
            stream=stream,
            frames=self._frames[stream, position][:, None],
            numbers=self._frames_before[stream] + position,
        )
        chosen = expansion.run(self._score[stream], self._path[stream], arcs)
        size = self._slots.numel()
        self._networks = map_tensors(lambda tensor: tensor[:size], chosen.networks)
        self._sequences.has_grown(chosen.num_rounds)
        self._sequences.keep(self._slots.index_copy(0, stream, chosen.labels).flatten())
        self._path = self._path.index_copy(0, stream, chosen.path)
        self._score = self._score.index_copy(0, stream, chosen.score)
        self._score = self._sequences.settle(self._score)
        self._position = self._position.index_add(0, stream, torch.ones_like(stream))
