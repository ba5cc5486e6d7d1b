"""A frame at which labels enter the beam: expansions, merging and the choice of the next beam."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from sb_alexa.streaming.state import cat, map_tensors
from sb_alexa.transducer.beam_labels import LabelSequences
from sb_alexa.transducer.beam_parts import Arcs, Networks, NotANumberError, Rules


@dataclass
class _Entries:
    """Hypotheses at a frame, (E, K), or those that have left it, (E, W).

    `arcs` and `labels` are rows of the arcs and of the label sequences.
    """

    score: Tensor
    path: Tensor  # log-probability of the best alignment
    arcs: Tensor
    labels: Tensor


@dataclass
class _Found:
    """Labels that expand entries, N in all."""

    item: Tensor  # which of the E frames
    column: Tensor  # rank among those of the frame
    token: Tensor
    log_prob: Tensor
    score: Tensor
    path: Tensor
    arcs: Tensor  # of the parent
    labels: Tensor  # of the parent


@dataclass(frozen=True)
class NextBeam:
    """The beams after the frame.

    Arguments
    ---------
    score, path : Tensor
        (E, K).
    labels : Tensor
        (E, K) rows of the label sequences.
    networks : Networks
        With the newcomers in their slots.
    num_rounds : int
        Labels that hypotheses may have got.
    """

    score: Tensor
    path: Tensor
    labels: Tensor
    networks: Networks
    num_rounds: int


class FrameExpansion:
    """One frame of each of E streams, at which some label can enter the beam.

    In each round every hypothesis may take the blank and leave, or a label and go round again.
    Expansions of different hypotheses of one round never hold the same labels, so equal sequences
    meet only among those that leave; a sequence is looked up there before anything is computed for
    it. What cannot be among the K best that leave goes no further.

    Arguments
    ---------
    rules : Rules
        The search.
    phrases : PhraseTables | tuple
        Of all streams.
    sequences : LabelSequences
        Of all streams; rows are appended.
    networks : Networks
        Of all streams, in their slots.
    stream : Tensor
        (E,) streams.
    frames : Tensor
        (E, 1, J) projected frames.
    numbers : Tensor
        (E,) their numbers, counted from the beginning of the stream.
    """

    def __init__(
        self,
        rules: Rules,
        *,
        phrases: object,
        sequences: LabelSequences,
        networks: Networks,
        stream: Tensor,
        frames: Tensor,
        numbers: Tensor,
    ) -> None:
        self._rules = rules
        self._phrases = phrases
        self._sequences = sequences
        self._networks = networks
        self._stream, self._frames, self._numbers = stream, frames, numbers

    def run(self, score: Tensor, path: Tensor, arcs: Arcs) -> NextBeam:
        """Search the frame.

        Arguments
        ---------
        score, path : Tensor
            (E, K) before the frame.
        arcs : Arcs
            (E, K) of the slots.

        Returns
        -------
        NextBeam
            After the frame.
        """
        self._beam = score.shape[1]
        self._slots = self._stream[:, None] * self._beam + torch.arange(
            self._beam, device=score.device
        )
        own = torch.arange(score.numel(), device=score.device).view_as(score)
        self._arcs = map_tensors(lambda tensor: tensor.flatten(0, 1), arcs)
        self._network_of_arcs = self._slots.flatten()
        entries = _Entries(score, path, own, self._slots)
        left = _Entries(score + arcs.blank, path + arcs.blank, own, self._slots)
        num_rounds = 0
        while num_rounds < self._rules.max_symbols_per_frame:
            found = self._expansions(entries, self._rules.threshold(left.score, self._beam))
            if found is None:
                break
            entries, left = self._leave(found, left)
            num_rounds += 1
        return self._choose(left, num_rounds)

    def _expansions(self, entries: _Entries, threshold: Tensor) -> _Found | None:
        """The K best expansions of each frame that exceed its threshold."""
        arcs = self._arcs
        best = (entries.score + arcs.best[entries.arcs]).amax(1)
        # Not `best > threshold`: NaN has to come through, so that it is found.
        item = (~(best <= threshold)).nonzero()[:, 0]
        if not len(item):
            return None
        score, row = entries.score[item], entries.arcs[item]  # (M, K)
        # Only differences are small enough for the joiner's precision in a long stream.
        relative = (score - score.amax(1, keepdim=True)).to(arcs.score.dtype)[..., None]
        candidates = arcs.score[row]  # (M, K, V)
        if self._rules.expansion_margin < torch.inf:
            is_far = candidates < arcs.best[row][..., None] - self._rules.expansion_margin
            candidates = candidates.masked_fill(is_far, -torch.inf)
        value, index = (relative + candidates).flatten(1).topk(self._beam)
        if bool(value.isnan().any()):
            wrong = item[value.isnan().any(1)][:1]
            is_joiner = bool(arcs.label[entries.arcs[wrong]].isnan().any())
            raise NotANumberError(int(self._stream[wrong]), is_joiner)
        num_labels = candidates.shape[2]
        parent, token = index // num_labels, index % num_labels
        exact = score.gather(1, parent) + arcs.score[row.gather(1, parent), token]
        is_in = (exact > threshold[item, None]) & (value > -torch.inf)
        place, column = is_in.nonzero().unbind(1)
        if not len(place):
            return None
        item, parent, token = item[place], parent[place, column], token[place, column]
        row = row[place, parent]
        log_prob = arcs.label[row, token]
        return _Found(
            item=item,
            column=column,
            token=token,
            log_prob=log_prob,
            score=exact[place, column],
            path=entries.path[item, parent] + log_prob,
            arcs=row,
            labels=entries.labels[item, parent],
        )

    def _leave(self, found: _Found, left: _Entries) -> tuple[_Entries, _Entries]:
        """What may go on, and what has left after the expansions took their blank, merged."""
        width = left.score.shape[1]
        numbers = self._numbers[found.item]
        labels = self._sequences.append(found.labels, found.token, numbers, found.log_prob)
        column, arcs = self._compute(found, labels, left)
        blank = self._arcs.blank[arcs]
        score, path = found.score + blank, found.path + blank

        left = _Entries(
            _wider(left.score, self._beam, -torch.inf),
            _wider(left.path, self._beam, -torch.inf),
            _wider(left.arcs, self._beam, 0),
            _wider(left.labels, self._beam, 0),
        )
        cell = found.item * (width + self._beam) + column  # all different
        is_better = path > left.path.view(-1)[cell]
        left.score.view(-1)[cell] = torch.logaddexp(left.score.view(-1)[cell], score)
        left.arcs.view(-1)[cell] = arcs
        left.path.view(-1)[cell[is_better]] = path[is_better]
        left.labels.view(-1)[cell[is_better]] = labels[is_better]

        shape = (len(self._stream), self._beam)
        going = _Entries(
            score.new_full(shape, -torch.inf),
            path.new_zeros(shape),
            arcs.new_zeros(shape),
            arcs.new_zeros(shape),
        )
        place = found.item, found.column
        going.score[place], going.path[place] = found.score, found.path
        going.arcs[place], going.labels[place] = arcs, labels
        return going, left

    def _compute(self, found: _Found, labels: Tensor, left: _Entries) -> tuple[Tensor, Tensor]:
        """Columns of what leaves and rows of arcs, computed for new label sequences only."""
        width = left.score.shape[1]
        is_alive = left.score[found.item] > -torch.inf
        column = width + found.column
        known, old_column = self._sequences.find(labels, left.labels[found.item], is_alive)
        column[known] = old_column
        row = left.arcs[found.item, column.clamp(max=width - 1)]
        new = (column >= width).nonzero()[:, 0]
        if not len(new):
            return column, row
        item = found.item[new]
        start = len(self._networks.history)
        self._networks = self._rules.extend(
            self._networks,
            self._network_of_arcs[found.arcs[new]],
            found.token[new],
            self._phrases,
            self._stream[item],
        )
        added = map_tensors(lambda tensor: tensor[start:, None], self._networks)
        arcs = self._rules.arcs(self._frames[item], added.history, added.bonus_scores)
        arcs = map_tensors(lambda tensor: tensor[:, 0, 0], arcs)
        row[new] = torch.arange(len(new), device=new.device) + len(self._arcs.blank)
        network = torch.arange(start, start + len(new), device=new.device)
        self._network_of_arcs = torch.cat([self._network_of_arcs, network])
        self._arcs = cat([self._arcs, arcs])
        return column, row

    def _choose(self, left: _Entries, num_rounds: int) -> NextBeam:
        """The K best that leave are the next beam; those that were in it keep their slots."""
        beam = self._beam
        is_wrong = left.score.isnan().any(1)
        if bool(is_wrong.any()):
            raise NotANumberError(int(self._stream[is_wrong][0]), is_joiner=True)
        rank = left.score.clone()
        # Empty slots before expansions that do not exist, for which nothing was computed.
        rank[:, :beam].clamp_(min=torch.finfo(rank.dtype).min)
        is_chosen = torch.zeros_like(rank, dtype=torch.bool)
        is_chosen.scatter_(1, rank.topk(beam, dim=1).indices, True)
        # As many slots become free as there are newcomers, stream by stream.
        item, slot = (~is_chosen[:, :beam]).nonzero().unbind(1)
        newcomer = is_chosen[:, beam:].nonzero()[:, 1] + beam
        source = torch.arange(beam, device=slot.device).repeat(len(rank), 1)
        source[item, slot] = newcomer
        target = self._slots[item, slot]
        origin = self._network_of_arcs[left.arcs[item, newcomer]]
        networks = self._networks
        if len(target):
            networks = map_tensors(lambda t: t.index_copy_(0, target, t[origin]), networks)
        return NextBeam(
            left.score.gather(1, source),
            left.path.gather(1, source),
            left.labels.gather(1, source),
            networks,
            num_rounds,
        )


def _wider(tensor: Tensor, num_columns: int, value: float) -> Tensor:
    return torch.cat([tensor, tensor.new_full((len(tensor), num_columns), value)], dim=1)
