"""Phrases that a search is to favour: names of contacts, of songs, of the user's devices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from sb_alexa.streaming.state import State

_ROOT = 0


@dataclass(frozen=True)
class Phrase:
    """A label sequence and what it is worth.

    Arguments
    ---------
    tokens : tuple of int
        Its labels.
    boost : float
        Nats for each label; negative ones discourage.
    """

    tokens: tuple[int, ...]
    boost: float


@dataclass(frozen=True)
class PhraseTables(State):
    """The phrases of B streams as automata of M nodes, node 0 the root (no phrase has begun).

    A label leads from a node to the longest beginning of a phrase that the labels now end in. On
    the way a hypothesis holds a provisional boost for the labels of the phrase that has begun; it
    is taken back when the phrase is not completed, and kept when it is.

    Arguments
    ---------
    first_nodes : Tensor
        (B, V) int64, where each label leads from the root.
    first_scores : Tensor
        (B, V) float64 nats, what it earns there.
    arc_labels, arc_nodes : Tensor
        (B, M, A) int32, the labels that lead from a node elsewhere than from the root, and where
        to; filled up with the blank.
    pending : Tensor
        (B, M) float64 nats held provisionally at a node.
    value : Tensor
        (B, M) float64 nats earned on entering a node, the provisional ones included.

    Reference
    ---------
    Aho and Corasick 1975, "Efficient string matching: an aid to bibliographic search". As in
    icefall's `ContextGraph`, the boost of a phrase is given label by label and taken back on
    failure; here overlapping phrases are each paid in full.
    """

    first_nodes: Tensor
    first_scores: Tensor
    arc_labels: Tensor
    arc_nodes: Tensor
    pending: Tensor
    value: Tensor

    def start(self) -> Tensor:
        """(B,) the root."""
        return torch.zeros_like(self.first_nodes[:, 0])

    def scores(self, stream: Tensor, node: Tensor) -> Tensor:
        """(N, V) nats for each next label of hypotheses (N,) at their nodes (N,)."""
        total = self.first_scores[stream]
        labels, nodes = self.arc_labels[stream, node].long(), self.arc_nodes[stream, node].long()
        total.scatter_(1, labels, self.value[stream[:, None], nodes])
        return total - self.pending[stream, node, None]

    def advance(self, stream: Tensor, node: Tensor, token: Tensor) -> Tensor:
        """(N,) nodes after one more label (N,)."""
        is_arc, arc = (self.arc_labels[stream, node] == token[:, None]).max(1)
        there = self.arc_nodes[stream, node, arc].long()
        return torch.where(is_arc, there, self.first_nodes[stream, token])

    def unfinished(self, stream: Tensor, node: Tensor) -> Tensor:
        """(N,) nats that are taken back if nothing follows."""
        return self.pending[stream, node]


def phrase_tables(
    phrases: Sequence[Sequence[Phrase]], *, num_labels: int, blank_index: int
) -> PhraseTables:
    """Prepare the phrases of a batch.

    Every occurrence of a phrase in a result earns its boost for each of its labels; overlapping
    occurrences earn each on its own. A phrase given twice counts once, with the larger boost.

    Arguments
    ---------
    phrases : sequence of sequences of Phrase
        For each of B streams.
    num_labels : int
        V, blank included.
    blank_index : int
        The blank.

    Returns
    -------
    PhraseTables
        On the CPU. Sizes are powers of two, so that streams can be put into one batch later.

    Raises
    ------
    ValueError
        Naming the phrase that is empty, has a boost that is not finite, or a label that is the
        blank or none of the transducer's.

    Example
    -------
    >>> tables = phrase_tables([[Phrase((3, 1, 2), boost=2.0)]], num_labels=4, blank_index=0)
    >>> stream, node, earned = torch.tensor([0]), tables.start(), []
    >>> for label in (3, 1, 3, 1, 2):
    ...     earned.append(float(tables.scores(stream, node)[0, label]))
    ...     node = tables.advance(stream, node, torch.tensor([label]))
    >>> earned  # the first attempt is given up at the second 3, where another begins
    [2.0, 2.0, -2.0, 2.0, 2.0]
    >>> float(tables.unfinished(stream, node))
    0.0
    """
    automata = []
    for number, of_stream in enumerate(phrases):
        for phrase in of_stream:
            _check(phrase, number, num_labels, blank_index)
        automata.append(_Automaton(of_stream))
    num_nodes = _power_of_two(max((len(one.nodes) for one in automata), default=1))
    num_arcs = _power_of_two(
        max((len(node.arcs) for one in automata for node in one.nodes), default=1)
    )
    batch = len(automata)
    first_nodes = torch.zeros(batch, num_labels, dtype=torch.long)
    arc_labels = torch.full((batch, num_nodes, num_arcs), blank_index, dtype=torch.int32)
    arc_nodes = torch.zeros_like(arc_labels)
    pending = torch.zeros(batch, num_nodes, dtype=torch.float64)
    value = torch.zeros_like(pending)
    for row, automaton in enumerate(automata):
        nodes = automaton.nodes
        held = torch.tensor([node.pending for node in nodes], dtype=torch.float64)
        earned = torch.tensor([node.earned for node in nodes], dtype=torch.float64)
        pending[row, : len(nodes)], value[row, : len(nodes)] = held, held + earned
        for label, child in nodes[_ROOT].children.items():
            first_nodes[row, label] = child
        for number, node in enumerate(nodes):
            for column, (label, target) in enumerate(node.arcs.items()):
                arc_labels[row, number, column] = label
                arc_nodes[row, number, column] = target
    first_scores = value.gather(1, first_nodes)
    return PhraseTables(first_nodes, first_scores, arc_labels, arc_nodes, pending, value)


def _check(phrase: Phrase, stream: int, num_labels: int, blank_index: int) -> None:
    name = f"phrase {tuple(phrase.tokens)} of stream {stream}"
    if not len(phrase.tokens):
        raise ValueError(f"{name} has no labels; leave it out")
    if not math.isfinite(phrase.boost):
        raise ValueError(f"{name} has the boost {phrase.boost}; give finite nats for each label")
    for label in phrase.tokens:
        if not 0 <= label < num_labels or label == blank_index:
            raise ValueError(
                f"{name} has the label {label}, expected labels in 0..{num_labels - 1} other than "
                f"the blank {blank_index}; encode phrases with the transducer's word pieces"
            )


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


@dataclass
class _Node:
    depth: int
    children: dict[int, int] = field(default_factory=dict)
    boost: float | None = None  # of the phrase that ends here
    unpaid: int = 0  # labels since the last phrase that ended on the way here
    onward: float | None = None  # largest boost of the phrases that go on from here
    fail: int = _ROOT  # node of the longest proper suffix
    earned: float = 0.0
    arcs: dict[int, int] = field(default_factory=dict)

    @property
    def pending(self) -> float:
        return 0.0 if self.onward is None else self.onward * self.unpaid


class _Automaton:
    """Nodes in the order of insertion, the root first."""

    def __init__(self, phrases: Sequence[Phrase]) -> None:
        self.nodes = [_Node(depth=0)]
        for phrase in phrases:
            self._insert(phrase)
        waiting = [_ROOT]
        for number in waiting:  # breadth first, so that suffixes are complete; grows
            self._complete(number)
            waiting += self.nodes[number].children.values()

    def _insert(self, phrase: Phrase) -> None:
        node = self.nodes[_ROOT]
        for label in phrase.tokens:
            node.onward = phrase.boost if node.onward is None else max(node.onward, phrase.boost)
            if label not in node.children:
                node.children[label] = len(self.nodes)
                self.nodes.append(_Node(depth=node.depth + 1))
            node = self.nodes[node.children[label]]
        node.boost = phrase.boost if node.boost is None else max(node.boost, phrase.boost)

    def _complete(self, number: int) -> None:
        """What a node has from its suffix and hands on to its children."""
        node, first = self.nodes[number], self.nodes[_ROOT].children
        suffix = self.nodes[node.fail]
        if number != _ROOT:
            node.arcs = {**suffix.arcs, **node.children}
            node.earned = suffix.earned
        if node.boost is not None:
            node.earned += node.boost * node.depth
            node.unpaid = 0
        for label, child_number in node.children.items():
            child = self.nodes[child_number]
            child.unpaid = node.unpaid + 1
            if number != _ROOT:
                child.fail = suffix.arcs.get(label, first.get(label, _ROOT))
