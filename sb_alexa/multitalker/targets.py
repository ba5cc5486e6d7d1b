"""What each output channel shall say: words between turn tokens, and how to count turns again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sb_alexa.multitalker.arrangement import Arrangement
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.turn import Turn


@dataclass(frozen=True)
class ChannelTarget:
    """Target of one output channel.

    Arguments
    ---------
    labels : tuple of int
        Word pieces and turn tokens, no blanks; empty for a channel without turns.
    turn_end_s : tuple of float or None
        Where a label is <eot>, the end of its turn in seconds from the start of the mixture, before
        which the token cannot be right; None at all other labels.

    Raises
    ------
    ValueError
        If the two differ in length.

    Example
    -------
    >>> ChannelTarget(labels=(7, 12), turn_end_s=(None, 1.5)).turn_end_s[1]
    1.5
    """

    labels: tuple[int, ...] = ()
    turn_end_s: tuple[float | None, ...] = ()

    def __post_init__(self) -> None:
        if len(self.labels) != len(self.turn_end_s):
            raise ValueError(
                f"a target needs one turn_end_s (or None) for each label, got {len(self.labels)} "
                f"labels and {len(self.turn_end_s)} turn_end_s"
            )


def channel_targets(
    arrangement: Arrangement, tokens: TurnTokens, encode: Callable[[str], Sequence[int]]
) -> tuple[ChannelTarget, ...]:
    """Make the targets of all channels of one mixture.

    With <sot> and <eot>, every turn is `<sot> words <eot>`, except that the first to start in the
    mixture has no <sot> and the last to end has no <eot>, unless `tokens.closed_turns`. With <cot>,
    the token stands between neighbouring turns of a channel.

    Arguments
    ---------
    arrangement : Arrangement
        Turns with their channels. Where turns of a channel overlap (a single channel has to say
        them one after another), a turn ends no earlier than those before it on the channel.
    tokens : TurnTokens
        Labels of the turn tokens.
    encode : callable
        Text to labels in 1 to P, such as `WordPieces.encode`.

    Returns
    -------
    tuple of ChannelTarget
        One for each channel. Of turns that end last at the same time, the last in order is the
        last to end.

    Raises
    ------
    ValueError
        If a turn has no words (it could not be told from no turn), or a label is no word piece.

    Reference
    ---------
    I. Sklyar, A. Piunova and C. Osendorfer, "Separator-Transducer-Segmenter: Streaming Recognition
    and Segmentation of Multi-party Speech", Interspeech 2022 (arXiv 2205.05199). `closed_turns` is
    not in the paper.

    Example
    -------
    >>> from sb_alexa.multitalker.arrangement import arrange_turns
    >>> arrangement = arrange_turns([Turn("anna", 0.0, 2.0, "A"), Turn("ben", 1.5, 3.0, "B A")])
    >>> def encode(text):
    ...     return [" AB".index(word) for word in text.split()]
    >>> first, second = channel_targets(arrangement, TurnTokens(num_word_pieces=2), encode)
    >>> first.labels, first.turn_end_s, second.labels
    ((1, 4), (None, 2.0), (3, 2, 1))
    """
    marked = _MarkedTurns(arrangement, tokens, encode)
    return tuple(marked.target(number) for number in range(arrangement.num_channels))


class _MarkedTurns:
    def __init__(
        self,
        arrangement: Arrangement,
        tokens: TurnTokens,
        encode: Callable[[str], Sequence[int]],
    ) -> None:
        self.arrangement = arrangement
        self.tokens = tokens
        self.encode = encode
        self.ends_s = _ends_on_channels_s(arrangement)
        places = range(len(self.ends_s))
        self.last_to_end = max(places, key=lambda i: (self.ends_s[i], i), default=None)

    def target(self, channel: int) -> ChannelTarget:
        labels: list[int] = []
        ends_s: dict[int, float] = {}
        tokens = self.tokens
        for i, turn in enumerate(self.arrangement.turns):
            if self.arrangement.channels[i] != channel:
                continue
            if tokens.change is not None and labels:
                labels.append(tokens.change)
            if tokens.start is not None and (i > 0 or tokens.closed_turns):
                labels.append(tokens.start)
            labels += self._words(turn)
            if tokens.end is not None and (i != self.last_to_end or tokens.closed_turns):
                ends_s[len(labels)] = self.ends_s[i]
                labels.append(tokens.end)
        return ChannelTarget(tuple(labels), tuple(ends_s.get(u) for u in range(len(labels))))

    def _words(self, turn: Turn) -> Sequence[int]:
        labels = self.encode(turn.text)
        num_word_pieces = self.tokens.num_word_pieces
        if not labels:
            raise ValueError(
                f"the turn of {turn.speaker} from {turn.start_s:g} to {turn.end_s:g} s has no "
                "words; leave it out"
            )
        strange = [label for label in labels if not 1 <= label <= num_word_pieces]
        if strange:
            raise ValueError(
                f"label {strange[0]} in {turn.text[:40]!r} is no word piece: turn tokens were made "
                f"for num_word_pieces={num_word_pieces}; use the number of the word-piece model"
            )
        return labels


def _ends_on_channels_s(arrangement: Arrangement) -> list[float]:
    """When a channel can have finished each turn: not before it has finished those before."""
    latest_s = [float("-inf")] * arrangement.num_channels
    ends_s = []
    for turn, channel in zip(arrangement.turns, arrangement.channels, strict=True):
        latest_s[channel] = max(latest_s[channel], turn.end_s)
        ends_s.append(latest_s[channel])
    return ends_s


def count_turns(labels_per_channel: Sequence[Sequence[int]], tokens: TurnTokens) -> int:
    """Count the turns of a mixture from the turn tokens of all its channels.

    Arguments
    ---------
    labels_per_channel : sequence of sequence of int
        Targets, or what a recogniser found; no blanks.
    tokens : TurnTokens
        Labels of the turn tokens.

    Returns
    -------
    num_turns : int
        0 if no channel has a label. Else, with <sot> and <eot>, the number of <sot>, and one more
        for the first turn, which has none (not with `closed_turns`). With <cot>, the number of
        <cot>, and one more for each channel that has a label. Without tokens, each channel that has
        a label is one turn. Of the labels of `channel_targets` this is the number of turns (in the
        style without tokens, only where no channel has two); it is the count of the paper also
        where a recogniser forgets or repeats tokens.

    Example
    -------
    >>> tokens = TurnTokens(num_word_pieces=2)
    >>> count_turns([(1, tokens.end, tokens.start, 2), (tokens.start, 2, tokens.end)], tokens)
    3
    >>> count_turns([(), ()], tokens)
    0
    """
    spoken = [labels for labels in labels_per_channel if len(labels)]
    if not spoken:
        return 0
    if tokens.start is not None:
        num_starts = sum(list(labels).count(tokens.start) for labels in spoken)
        return num_starts + (not tokens.closed_turns)
    num_changes = sum(list(labels).count(tokens.change) for labels in spoken if tokens.change)
    return num_changes + len(spoken)
