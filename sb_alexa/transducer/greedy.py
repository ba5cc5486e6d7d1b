"""Greedy search of a transducer, batched over streams and chunk by chunk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from sb_alexa.streaming.state import State, map_tensors, num_rows, rows
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.transducer.joiner import Joiner
from sb_alexa.transducer.predictor import Predictor
from sb_alexa.transducer.search_input import frames_to_search

# Frames joined at once while a row waits for its next label: fewer pay the overhead of a round
# more often, more are joined again when they lie behind a label. Speech has a label every 4 to 8
# frames of 30 to 60 ms; with 6 to 12 the time changes by less than a tenth.
_FRAMES_AHEAD = 8
# Stands for the label where the scores are not a number.
_NAN = -1


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


@dataclass
class _Walk:
    """The way of one row through a chunk, kept on the host.

    Arguments
    ---------
    row, end : int
        Row of the batch, and its valid frames.
    position : int
        The frame that is searched next.
    num_symbols : int
        Labels emitted at that frame.
    tokens, frames, log_probs : list
        What was emitted.
    """

    row: int
    end: int
    position: int = 0
    num_symbols: int = 0
    tokens: list[int] = field(default_factory=list)
    frames: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)

    def advance(self, labels: list[int], blank_index: int, max_symbols: int) -> int | None:
        """Go over the best labels of the next frames up to the first one that is no blank.

        Returns
        -------
        int | None
            Where that was; None if there are blanks only.
        """
        length = min(len(labels), self.end - self.position)
        step = next((step for step in range(length) if labels[step] != blank_index), None)
        if step is None:
            self.position += length
            self.num_symbols = 0
            return None
        self.position += step
        if labels[step] == _NAN:
            raise ValueError(
                f"the joiner's scores are NaN at frame {self.position} of this chunk in row "
                f"{self.row}: the encoder's output or the model's weights hold NaN; check the "
                "audio for NaN samples and the checkpoint for a diverged training"
            )
        self.tokens.append(labels[step])
        self.frames.append(self.position)
        self.num_symbols = self.num_symbols + 1 if step == 0 else 1
        if self.num_symbols == max_symbols:
            self.position += 1
            self.num_symbols = 0
        return step

    def hypothesis(self, frames_before: int) -> Hypothesis:
        """What was emitted, for a chunk that begins so many frames after its stream."""
        frames = tuple(frames_before + frame for frame in self.frames)
        return Hypothesis(tuple(self.tokens), frames, tuple(self.log_probs))


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
        ends = frames_to_search("GreedySearch", encoder_out, num_rows(state), num_frames)
        walks = [_Walk(row, end) for row, end in enumerate(ends)]
        after = self._search(self.joiner.project_encoder(encoder_out), walks, state)
        before = state.num_frames
        found = [walk.hypothesis(start) for walk, start in zip(walks, before.tolist(), strict=True)]
        return found, replace(after, num_frames=before + before.new_tensor(ends))

    def finish(self, state: GreedyState) -> list[Hypothesis]:
        """The labels still owed if the streams end here: none, unlike those of a beam search.

        Arguments
        ---------
        state : GreedyState
            Not changed.

        Returns
        -------
        list of Hypothesis
            An empty one for each row.
        """
        return [Hypothesis()] * num_rows(state)

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

    def _search(self, frames: Tensor, walks: list[_Walk], state: GreedyState) -> GreedyState:
        """Let all walks go over the projected frames (B, T, J) to their ends.

        A round waits for the device once, where the best labels come to the host.
        """
        chunk_frames = frames.shape[1]
        frames = frames.flatten(0, 1)
        ahead = torch.arange(min(chunk_frames, _FRAMES_AHEAD), device=frames.device)
        emitting: list[_Walk] = []
        log_probs: list[Tensor] = []
        while walks := [walk for walk in walks if walk.position < walk.end]:
            first = torch.tensor([walk.row * chunk_frames + walk.position for walk in walks])
            # What lies beyond the end of a row is joined in vain, be it the next row.
            window = (first.to(ahead.device)[:, None] + ahead).clamp(max=len(frames) - 1)
            logits = self.joiner(frames[window], _some(state.history, walks)[:, None])
            best, token = logits.max(-1)
            found, cells = [], []
            labels = token.masked_fill(best.isnan(), _NAN).tolist()
            for number, (walk, row) in enumerate(zip(walks, labels, strict=True)):
                step = walk.advance(row, self.blank_index, self.max_symbols_per_frame)
                if step is not None:
                    found.append(walk)
                    cells.append(number * len(ahead) + step)
            if found:
                cell = torch.tensor(cells, device=frames.device)
                token, scores = token.flatten()[cell], logits.flatten(0, 1)[cell]
                scores = scores.to(torch.promote_types(scores.dtype, torch.float32))
                log_probs.append(scores.gather(1, token[:, None])[:, 0] - scores.logsumexp(-1))
                emitting += found
                state = self._advance(state, found, token)
        if emitting:
            for walk, log_prob in zip(emitting, torch.cat(log_probs).tolist(), strict=True):
                walk.log_probs.append(log_prob)
        return state

    def _advance(self, state: GreedyState, walks: list[_Walk], token: Tensor) -> GreedyState:
        """Append a label to the histories of some rows."""
        row = torch.tensor([walk.row for walk in walks], device=token.device)
        is_whole = len(row) == len(state.history)
        part = state.predictor if is_whole else rows(state.predictor, row)
        out, part = self.predictor.forward_chunk(token[:, None], part)
        history = self.joiner.project_predictor(out)[:, 0]

        def put(whole: Tensor, some: Tensor) -> Tensor:
            some = some.to(whole.dtype)  # a stream may be opened outside of autocast
            return some if is_whole else whole.index_copy(0, row, some)

        predictor = map_tensors(put, state.predictor, part)
        return GreedyState(predictor, put(state.history, history), state.num_frames)


def _some(whole: Tensor, walks: list[_Walk]) -> Tensor:
    """The rows of the walks."""
    if len(walks) == len(whole):
        return whole
    return whole[torch.tensor([walk.row for walk in walks], device=whole.device)]
