"""What a multi-talker recogniser made of a mixture, and the figures of many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sb_alexa.corpora.word_pieces import WordPieces
from sb_alexa.metrics.bootstrap import bootstrap_interval, bootstrap_ratio
from sb_alexa.metrics.bootstrap_statistic import bootstrap_statistic
from sb_alexa.metrics.emitted_turn import emitted_turns
from sb_alexa.metrics.endpointing import EndpointCounts, endpoint_counts
from sb_alexa.metrics.error_rate import ErrorCounts
from sb_alexa.metrics.multitalker_error_rate import cp_errors, orc_errors, tcp_errors
from sb_alexa.metrics.turn_counts import TurnCounts, count_turns_right
from sb_alexa.metrics.turn_latency import TurnLatency, turn_latency
from sb_alexa.multitalker.arrangement import arrange_turns
from sb_alexa.multitalker.targets import count_turns
from sb_alexa.multitalker.turn_events import TurnEvent, turns_from_events
from sb_alexa.multitalker.turn_tokens import TurnTokens
from sb_alexa.multitalker.turn_tracker import TurnTracker
from sb_alexa.training.mixture_batch import MixtureInfo
from sb_alexa.transducer.hypothesis import Hypothesis
from sb_alexa.turn import Turn

OVERALL = "all"
LATENCIES = ("end_point", "last_piece", "start_point", "first_piece")


@dataclass(frozen=True)
class MixtureCounts:
    """Addable counts of one mixture or of many.

    Arguments
    ---------
    words : ErrorCounts
        Of the best assignment of reference turns to channels (ORC).
    speaker_words, timed_words : ErrorCounts
        With channels in the place of speakers (cp), and where words must also be heard when they
        are said (tcp).
    turns : TurnCounts
        Whether the number of turns was right.
    latency : TurnLatency
        When turns and words came out.
    endpoints : EndpointCounts | None
        What ending a turn at ``<eot>`` would cost; None without such a token.
    """

    words: ErrorCounts = ErrorCounts()
    speaker_words: ErrorCounts = ErrorCounts()
    timed_words: ErrorCounts = ErrorCounts()
    turns: TurnCounts = TurnCounts()
    latency: TurnLatency = field(default_factory=TurnLatency)
    endpoints: EndpointCounts | None = None

    def __add__(self, other: MixtureCounts) -> MixtureCounts:
        endpoints = self.endpoints if other.endpoints is None else other.endpoints
        if self.endpoints is not None and other.endpoints is not None:
            endpoints = self.endpoints + other.endpoints
        return MixtureCounts(
            self.words + other.words,
            self.speaker_words + other.speaker_words,
            self.timed_words + other.timed_words,
            self.turns + other.turns,
            self.latency + other.latency,
            endpoints,
        )


@dataclass(frozen=True)
class MixtureResult:
    """One recognised mixture.

    Arguments
    ---------
    info : MixtureInfo
        Names and reference turns.
    texts : tuple of str
        Words of each channel, turn tokens removed.
    turns : tuple of Turn
        What was recognised; a turn's speaker is its channel.
    counts : MixtureCounts
        How right they are.
    loss : float
        Loss of its batch in nats per mixture; NaN for a batch without labels.
    """

    info: MixtureInfo
    texts: tuple[str, ...]
    turns: tuple[Turn, ...]
    counts: MixtureCounts
    loss: float


def mixture_result(
    info: MixtureInfo,
    hypotheses: Sequence[Hypothesis],
    *,
    tokens: TurnTokens,
    word_pieces: WordPieces,
    seconds_per_frame: float,
    look_ahead_s: float = 0.0,
    loss: float = float("nan"),
) -> MixtureResult:
    """Compare what was recognised in a mixture with what was said.

    Arguments
    ---------
    info : MixtureInfo
        Reference turns.
    hypotheses : sequence of Hypothesis
        One for each channel.
    tokens : TurnTokens
        Labels of turn tokens.
    word_pieces : WordPieces
        Labels to text.
    seconds_per_frame, look_ahead_s : float
        A label of frame t came out when (t + 1) frames and the look-ahead had been read.
    loss : float
        Of its batch.

    Returns
    -------
    MixtureResult
        Latencies and end points only where the channels can hold the reference.
    """
    texts = tuple(word_pieces.decode(list(tokens.strip(one.tokens))) for one in hypotheses)
    found = count_turns([one.tokens for one in hypotheses], tokens)
    emitted = [
        emitted_turns(
            one.tokens,
            [(frame + 1) * seconds_per_frame + look_ahead_s for frame in one.frames],
            start=tokens.start,
            end=tokens.end,
            change=tokens.change,
            confidences=one.confidences,
        )
        for one in hypotheses
    ]
    latency, endpoints = TurnLatency(), None
    try:
        said = arrange_turns(info.turns, len(hypotheses)).by_channel
    except ValueError:  # three at once: which channel should have which turn is not defined
        said = None
    if said is not None:
        latency = turn_latency(said, emitted)
        if tokens.end is not None:
            endpoints = endpoint_counts(said, emitted, closed_turns=tokens.closed_turns)
    events: list[TurnEvent] = []
    for channel, hypothesis in enumerate(hypotheses):
        tracker = TurnTracker(
            word_pieces, tokens, channel=channel, seconds_per_frame=seconds_per_frame
        )
        events += tracker.push(hypothesis) + tracker.finish(info.duration_s)
    turns = turns_from_events(events)
    counts = MixtureCounts(
        words=orc_errors(info.turns, texts),
        speaker_words=cp_errors(info.turns, turns),
        timed_words=tcp_errors(info.turns, turns),
        turns=count_turns_right(len(info.turns), found),
        latency=latency,
        endpoints=endpoints,
    )
    return MixtureResult(info, texts, tuple(turns), counts, loss)


def figures_by_condition(results: Sequence[MixtureResult]) -> dict[str, dict[str, Any]]:
    """The figures of each condition and of all, with intervals by session.

    Arguments
    ---------
    results : sequence of MixtureResult
        Of one test set.

    Returns
    -------
    dict
        By condition, `all` last: `wer` (ORC), `cp_wer`, `tcp_wer`, `turn_accuracy`, latencies and
        so on, None where nothing was measured; intervals where there are two sessions or more.
    """
    conditions = sorted({result.info.condition for result in results})
    chosen = {name: [one for one in results if one.info.condition == name] for name in conditions}
    return {name: _figures(some) for name, some in {**chosen, OVERALL: list(results)}.items()}


def _figures(results: Sequence[MixtureResult]) -> dict[str, Any]:
    by_session: dict[str, MixtureCounts] = {}
    for result in results:
        before = by_session.get(result.info.session, MixtureCounts())
        by_session[result.info.session] = before + result.counts
    sessions = list(by_session.values())
    total = sum(sessions, MixtureCounts())
    figures: dict[str, Any] = {
        "wer": total.words.error_rate,
        "cp_wer": total.speaker_words.error_rate,
        "tcp_wer": total.timed_words.error_rate,
        "turn_accuracy": total.turns.accuracy,
        "turn_accuracy_above_two": total.turns.accuracy_above_two,
        "errors": total.words.errors,
        "words": total.words.words,
        "groups": total.turns.groups,
        "sessions": len(sessions),
    }
    if len(sessions) > 1:
        figures["wer_low"], figures["wer_high"] = bootstrap_interval(
            [one.words for one in sessions]
        )
        right = [(100.0 * one.turns.right, float(one.turns.groups)) for one in sessions]
        figures["turn_accuracy_low"], figures["turn_accuracy_high"] = bootstrap_ratio(right)
    for name in LATENCIES:
        latencies = getattr(total.latency, name)
        for statistic in ("mean_ms", "p50_ms", "p90_ms"):
            figures[f"{name}_{statistic}"] = getattr(latencies, statistic)
        if len(sessions) > 1 and latencies.values_ms:
            low, high = bootstrap_statistic(
                [one.latency for one in sessions],
                lambda one, name=name: getattr(one, name).p50_ms,  # type: ignore[misc]
                num_samples=500,
            )
            figures[f"{name}_p50_ms_low"], figures[f"{name}_p50_ms_high"] = low, high
    if total.endpoints is not None:
        for wait in (300, 600):
            rate = total.endpoints.false_cutoff_rate(latency_ms=wait)
            figures[f"false_cutoff_rate_at_{wait}_ms"] = rate
        for share in (5, 10):
            latency_ms = total.endpoints.latency_ms(false_cutoff_rate=share)
            figures[f"latency_ms_at_{share}_percent"] = latency_ms
    # JSON knows no NaN.
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in figures.items()
    }
