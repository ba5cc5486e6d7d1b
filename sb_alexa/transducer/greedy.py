"""Greedy search of a transducer, batched over streams and chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from sb_alexa.losses.checks import check_counts
from sb_alexa.streaming.state import State, map_tensors, num_rows, rows
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.predictor import Predictor

# Frames joined at once while a row waits for its next label: fewer pay the overhead of a round
# more often, more are joined again when they lie behind a label. Covers 150 ms at 30 ms frames.
_FRAMES_AHEAD = 6


@dataclass(frozen=True)
class GreedyState(State):
    """Where a search stands between two chunks.

    Arguments
    ---------
    predictor : State
        The predictor's state after the last label.
    history : Tensor
        (B, J), the joiner's projection of the predictor's output after the last label.
    num_frames : Tensor
        (B,) frames searched since the beginning of each stream.
    """

    predictor: Any
    history: Tensor
    num_frames: Tensor


@dataclass(frozen=True)
class _Emissions:
    """What one round of the search found: entry k belongs to row `row[k]`."""

    row: Tensor
    token: Tensor
    frame: Tensor
    log_prob: Tensor


class GreedySearch:
    """Take the most probable label at each step: label-looping over a batch of streams.

    A round advances every row to its next label: the blanks before it need the joiner only, a few
    frames at once, and the predictor then runs once for all rows that found a label. Rows are
    independent of each other, and chunks of any size give the result of the whole.

    Arguments
    ---------
    predictor : Predictor
        In evaluation mode, or its dropout makes the search random.
    joiner : Joiner
        Its projections and its output layer.
    blank_index : int
        The blank.
    max_symbols_per_frame : int
        After so many labels the search goes on to the next frame, whatever the joiner says, so that
        it ends for any weights.

    Raises
    ------
    ValueError
        If `max_symbols_per_frame` is below 1 or the parts disagree on the labels.

    Reference
    ---------
    Bataev et al. 2024, arXiv 2406.06220 (label-looping). Deviations: finished rows drop out of the
    batch instead of being masked, and blanks are skipped a few frames at once.

    Example
    -------
    >>> from sb_alexa.transducer.stateless_predictor import StatelessPredictor
    >>> predictor = StatelessPredictor(num_labels=4, embedding_size=3)
    >>> joiner = Joiner(encoder_size=3, predictor_size=3, num_labels=4)
    >>> for parameter in joiner.parameters():
    ...     _ = torch.nn.init.zeros_(parameter)
    >>> joiner.output.bias.data[2] = 1.0  # always the label 2
    >>> search = GreedySearch(predictor=predictor, joiner=joiner, max_symbols_per_frame=2)
    >>> search(torch.zeros(1, 3, 3))[0].tokens
    (2, 2, 2, 2, 2, 2)
    >>> new, state = search.forward_chunk(torch.zeros(1, 1, 3), search.initial_state(1))
    >>> new, state = search.forward_chunk(torch.zeros(1, 1, 3), state)
    >>> new[0].frames
    (1, 1)
    """

    def __init__(
        self,
        *,
        predictor: Predictor[Any],
        joiner: Joiner,
        blank_index: int = 0,
        max_symbols_per_frame: int = 5,
    ) -> None:
        if max_symbols_per_frame < 1:
            raise ValueError(f"max_symbols_per_frame must be >= 1, got {max_symbols_per_frame}")
        if predictor.num_labels != joiner.num_labels or predictor.blank_index != blank_index:
            raise ValueError(
                "predictor, joiner and search must agree on the labels, got num_labels "
                f"{predictor.num_labels} and {joiner.num_labels}, blank_index "
                f"{predictor.blank_index} and {blank_index}"
            )
        self.predictor = predictor
        self.joiner = joiner
        self.blank_index = blank_index
        self.max_symbols_per_frame = max_symbols_per_frame

    @torch.no_grad()
    def initial_state(self, batch_size: int) -> GreedyState:
        """The state before the first frame.

        Arguments
        ---------
        batch_size : int
            Number of streams.

        Returns
        -------
        GreedyState
            On the predictor's device.
        """
        out, state = self.predictor.start(batch_size)
        history = self.joiner.project_predictor(out)[:, 0]
        num_frames = torch.zeros(batch_size, dtype=torch.long, device=history.device)
        return GreedyState(state, history, num_frames)

    @torch.no_grad()
    def forward_chunk(
        self, encoder_out: Tensor, state: GreedyState, num_frames: Tensor | None = None
    ) -> tuple[list[Hypothesis], GreedyState]:
        """Search the next frames of every stream.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, C) encoder frames; T may be 0.
        state : GreedyState
            From `initial_state` or the previous chunk; never changed in place.
        num_frames : Tensor | None
            (B,) integers in 0..T, the valid frames of each row; None means all. The others emit
            nothing, whatever they hold.

        Returns
        -------
        list of Hypothesis
            For each row the labels that this chunk added.
        GreedyState
            The state for the next chunk.

        Raises
        ------
        ValueError
            If shapes do not fit, or naming the row and frame where the scores are not a number.
        """
        batch, chunk_frames = encoder_out.shape[:2]
        if encoder_out.dim() != 3 or batch != num_rows(state):
            raise ValueError(
                f"GreedySearch takes encoder frames (B, T, C) for the {num_rows(state)} rows of "
                f"its state, got {tuple(encoder_out.shape)}"
            )
        if num_frames is None:
            ends = torch.full((batch,), chunk_frames, device=encoder_out.device)
        else:
            check_counts("num_frames", num_frames, batch, 0, chunk_frames)
            ends = num_frames.to(encoder_out.device).long()
        rounds, after = self._search(self.joiner.project_encoder(encoder_out), ends, state)
        return _hypotheses(rounds, state.num_frames), replace(
            after, num_frames=state.num_frames + ends
        )

    def forward(self, encoder_out: Tensor, num_frames: Tensor | None = None) -> list[Hypothesis]:
        """Search whole utterances.

        Arguments
        ---------
        encoder_out : Tensor
            (B, T, C).
        num_frames : Tensor | None
            (B,) integers in 0..T.

        Returns
        -------
        list of Hypothesis
            One for each row.
        """
        state = self.initial_state(len(encoder_out))
        return self.forward_chunk(encoder_out, state, num_frames)[0]

    __call__ = forward

    def _search(
        self, frames: Tensor, ends: Tensor, state: GreedyState
    ) -> tuple[list[_Emissions], GreedyState]:
        """Search the projected frames (B, T, J) of all rows up to their ends (B,)."""
        ahead = torch.arange(min(frames.shape[1], _FRAMES_AHEAD), device=frames.device)
        position = torch.zeros_like(ends)
        num_symbols = torch.zeros_like(ends)  # labels emitted at the present frame of each row
        rounds: list[_Emissions] = []
        row = (position < ends).nonzero()[:, 0]
        while len(row):
            window = position[row, None] + ahead
            inside = window < ends[row, None]
            window = window.clamp(max=frames.shape[1] - 1)
            logits = self.joiner(frames[row[:, None], window], state.history[row, None])
            best, token = logits.max(-1)
            self._check_scores(best.isnan() & inside, row, window)
            is_label = (token != self.blank_index) & inside
            has_label, first = is_label.max(-1)
            count = torch.where(is_label[:, 0], num_symbols[row] + 1, has_label.long())
            is_full = count == self.max_symbols_per_frame
            frame = window.gather(1, first[:, None])[:, 0]
            # Rows without a label have searched the whole window.
            reached = torch.where(has_label, frame + is_full.long(), window[:, -1] + 1)
            position = position.index_copy(0, row, reached)
            num_symbols = num_symbols.index_copy(0, row, count.masked_fill(is_full, 0))
            found = has_label.nonzero()[:, 0]
            if len(found):
                row, frame = row[found], frame[found]
                token, scores = token[found, first[found]], logits[found, first[found]]
                precision = torch.promote_types(scores.dtype, torch.float32)
                log_probs = scores.log_softmax(-1, dtype=precision)
                log_prob = log_probs.gather(-1, token[:, None])[:, 0]
                rounds.append(_Emissions(row, token, frame, log_prob))
                state = self._advance(state, row, token)
            row = (position < ends).nonzero()[:, 0]
        return rounds, state

    def _advance(self, state: GreedyState, row: Tensor, token: Tensor) -> GreedyState:
        """Append a label to the histories of some rows."""
        out, part = self.predictor.forward_chunk(token[:, None], rows(state.predictor, row))
        history = self.joiner.project_predictor(out)[:, 0]

        def put(whole: Tensor, some: Tensor) -> Tensor:
            some = some.to(whole.dtype)  # a stream may be opened outside of autocast
            return some if len(row) == len(whole) else whole.index_copy(0, row, some)

        predictor = map_tensors(put, state.predictor, part)
        return GreedyState(predictor, put(state.history, history), state.num_frames)

    def _check_scores(self, is_wrong: Tensor, row: Tensor, window: Tensor) -> None:
        if bool(is_wrong.any()):
            item, frame = is_wrong.nonzero()[0].tolist()
            raise ValueError(
                f"the joiner's scores are NaN at frame {int(window[item, frame])} of this chunk in "
                f"row {int(row[item])}: the encoder's output or the model's weights hold NaN; "
                "check the audio for NaN samples and the checkpoint for a diverged training"
            )


def _hypotheses(rounds: list[_Emissions], frames_before: Tensor) -> list[Hypothesis]:
    """Sort what the rounds found by row, with one transfer to the host."""
    found: list[list[tuple[int, int, float]]] = [[] for _ in range(len(frames_before))]
    if rounds:
        row = torch.cat([emissions.row for emissions in rounds])
        token = torch.cat([emissions.token for emissions in rounds]).tolist()
        frame = torch.cat([emissions.frame for emissions in rounds]) + frames_before[row]
        log_prob = torch.cat([emissions.log_prob for emissions in rounds]).tolist()
        for number, *emission in zip(row.tolist(), token, frame.tolist(), log_prob, strict=True):
            found[number].append(tuple(emission))
    return [Hypothesis(*zip(*emissions, strict=True)) for emissions in found]
