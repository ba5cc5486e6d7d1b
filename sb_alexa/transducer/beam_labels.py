"""The label sequences of a beam while a chunk is searched."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from sb_alexa.streaming.state import cat, rows
from sb_alexa.transducer.beam_state import OpenLabels, one_row_each, rows_of_beams
from sb_alexa.transducer.hypothesis import Hypothesis

# Columns are added by so many at least: each growth copies, each column is compared.
_FEWEST_COLUMNS = 32


class LabelSequences:
    """Label sequences in rows: first those of the B * K slots, behind them those of expansions.

    A label that all hypotheses of a stream share is settled: all of them take the frame and the
    log-probability that it has in the best one, and it leaves at the next occasion. `settle` is
    called after every frame that changed a beam, so that the cutting into chunks has no influence.

    Arguments
    ---------
    labels : OpenLabels
        Of a state, (B, K, L); not changed.
    """

    def __init__(self, labels: OpenLabels) -> None:
        self._batch, self._beam, self._max_open = labels.tokens.shape
        self._first = torch.arange(self._batch, device=labels.count.device) * self._beam
        self._num_settled = torch.zeros_like(self._first)
        self._longest = int(labels.count.max())  # at least the true one: found without a transfer
        width = self._longest + _FEWEST_COLUMNS
        self._rows = _with_columns(one_row_each(labels), width)
        self._columns = torch.arange(width, device=labels.count.device)

    def append(self, parent: Tensor, token: Tensor, frame: Tensor, log_prob: Tensor) -> Tensor:
        """Make rows of their parents' labels and one more.

        Arguments
        ---------
        parent : Tensor
            (N,) rows.
        token, frame, log_prob : Tensor
            (N,), the label added to each.

        Returns
        -------
        Tensor
            (N,) the new rows.
        """
        new = rows(self._rows, parent)
        column = new.count[:, None]
        new.tokens.scatter_(1, column, token[:, None])
        new.frames.scatter_(1, column, frame[:, None])
        new.log_probs.scatter_(1, column, log_prob[:, None].to(new.log_probs.dtype))
        start = len(self._rows.count)
        self._rows = cat([self._rows, replace(new, count=new.count + 1)])
        return torch.arange(start, start + len(parent), device=parent.device)

    def find(self, row: Tensor, others: Tensor, is_alive: Tensor) -> tuple[Tensor, Tensor]:
        """Look for equal sequences, label by label: no hash that could err.

        Arguments
        ---------
        row : Tensor
            (N,) rows.
        others : Tensor
            (N, W) rows to compare each of them with.
        is_alive : Tensor
            (N, W) bool; what an empty slot holds is not compared.

        Returns
        -------
        Tensor
            (Q,) positions in `row`.
        Tensor
            (Q,) columns of `others` with the same labels.
        """
        count, tokens = self._rows.count, self._rows.tokens
        last = tokens.gather(1, (count - 1).clamp(min=0)[:, None])[:, 0]
        is_similar = (count[others] == count[row, None]) & (last[others] == last[row, None])
        item, column = (is_similar & is_alive).nonzero().unbind(1)
        mine, other = row[item], others[item, column]
        is_behind = self._columns >= count[mine, None]
        is_same = ((tokens[mine] == tokens[other]) | is_behind).all(1)
        return item[is_same], column[is_same]

    def keep(self, row: Tensor) -> None:
        """Let the slots hold these rows (B * K,) and forget the expansions."""
        self._rows = rows(self._rows, row)

    def settle(self, score: Tensor) -> Tensor:
        """Settle what all hypotheses of a stream share.

        Arguments
        ---------
        score : Tensor
            (B, K) nats.

        Returns
        -------
        Tensor
            The scores, without hypotheses that kept more labels open than a state holds.
        """
        shape = (self._batch, self._beam, -1)
        count = self._rows.count.view(shape[:2])
        is_alive = score > -torch.inf
        best = rows(self._rows, self._first + score.argmax(1))
        shortest = torch.minimum(count, best.count[:, None])
        is_equal = self._rows.tokens.view(shape) == best.tokens[:, None]
        is_equal &= self._columns < shortest[..., None]
        num_shared = is_equal.cumprod(-1).sum(-1)  # (B, K)
        if self._longest > self._max_open:
            most = count.masked_fill(~is_alive, 0).amax(1)
            needed = torch.minimum(most - self._max_open, best.count)[:, None]
            is_alive &= (num_shared >= needed) & (count - needed <= self._max_open)
            score = score.masked_fill(~is_alive, -torch.inf)
        num_settled = num_shared.masked_fill(~is_alive, len(self._columns)).amin(1)
        is_settled = (self._columns < num_settled[:, None])[:, None]
        for mine, its in (
            (self._rows.frames, best.frames),
            (self._rows.log_probs, best.log_probs),
        ):
            view = mine.view(shape)
            view.copy_(torch.where(is_settled, its[:, None], view))
        self._num_settled = num_settled
        return score

    def make_room(self, num_labels: int, score: Tensor) -> list[tuple[int, Hypothesis]]:
        """See to it that every hypothesis can take more labels.

        Arguments
        ---------
        num_labels : int
            The most that the next frame may add.
        score : Tensor
            (B, K) nats.

        Returns
        -------
        list
            Settled labels that had to leave, as `take_settled` gives them.
        """
        if self._longest + num_labels <= len(self._columns):
            return []
        taken = self.take_settled(score)
        if self._longest + num_labels > len(self._columns) // 2:
            width = 2 * len(self._columns) + num_labels
            self._rows = _with_columns(self._rows, width)
            self._columns = torch.arange(width, device=self._columns.device)
        return taken

    def has_grown(self, num_labels: int) -> None:
        """Note by how many labels, at most, a frame has lengthened hypotheses."""
        self._longest += num_labels

    def take_settled(self, score: Tensor) -> list[tuple[int, Hypothesis]]:
        """Remove the settled labels.

        Arguments
        ---------
        score : Tensor
            (B, K) nats.

        Returns
        -------
        list
            Stream and its labels, where there are any.
        """
        best = rows(self._rows, self._first + score.argmax(1))
        taken = hypotheses(replace(best, count=self._num_settled))
        shift = self._num_settled[:, None].expand(-1, self._beam)
        is_empty = score == -torch.inf
        count = (self._rows.count.view_as(shift) - shift).masked_fill(is_empty, 0)
        self._longest = int(count.max())
        column = self._columns + shift.reshape(-1, 1)
        column = column.clamp(max=len(self._columns) - 1)
        self._rows = OpenLabels(
            self._rows.tokens.gather(1, column),
            self._rows.frames.gather(1, column),
            self._rows.log_probs.gather(1, column),
            count.flatten(),
        )
        self._num_settled = torch.zeros_like(self._num_settled)
        return [(row, labels) for row, labels in enumerate(taken) if len(labels)]

    def to_state(self) -> OpenLabels:
        """(B, K, L), after `take_settled`."""
        return rows_of_beams(_with_columns(self._rows, self._max_open), self._beam)


def hypotheses(labels: OpenLabels) -> list[Hypothesis]:
    """Rows of labels (N, L) on the host."""
    count = labels.count.tolist()
    longest = max(count, default=0)
    columns = (labels.tokens, labels.frames, labels.log_probs)
    lists = (tensor[:, :longest].tolist() for tensor in columns)
    return [
        Hypothesis(tuple(tokens[:n]), tuple(frames[:n]), tuple(log_probs[:n]))
        for n, tokens, frames, log_probs in zip(count, *lists, strict=True)
    ]


def _with_columns(labels: OpenLabels, width: int) -> OpenLabels:
    """Cut or fill up to a number of columns, in new tensors."""
    missing = width - labels.tokens.shape[1]
    columns = (labels.tokens, labels.frames, labels.log_probs)
    wide = [pad(t, (0, missing)) if missing > 0 else t[:, :width].clone() for t in columns]
    return OpenLabels(wide[0], wide[1], wide[2], labels.count.clone())
