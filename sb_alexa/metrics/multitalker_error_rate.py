"""Word errors of several talkers at once, where a word may be on any output channel."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

from sb_alexa.metrics.error_rate import ErrorCounts
from sb_alexa.turn import Turn

_TURN_TOKENS = frozenset({"<sot>", "<eot>", "<cot>"})


def require_meeteval() -> ModuleType:
    """Import meeteval, so that a training fails before it starts rather than in its test.

    Raises
    ------
    ImportError
        If it is not installed; the message says how to.
    """
    try:
        import meeteval
    except ImportError as error:
        raise ImportError(
            "word errors of several talkers are counted by meeteval: "
            f"pip install 'sb-alexa[multitalker]' ({error})"
        ) from error
    return meeteval


def orc_errors(references: Sequence[Turn], channels: Sequence[str]) -> ErrorCounts:
    """Count word errors, each reference turn on the channel where it costs least (ORC-WER).

    Turns keep the order of their starts and are not divided between channels; who speaks does not
    matter. The cost of the exact search grows with the product of the channels' lengths, so score
    utterance groups or mini-sessions of a minute, not hours.

    Arguments
    ---------
    references : sequence of Turn
        What was said, in any order, by any number of talkers at once.
    channels : sequence of str
        What was recognised on each output channel, without turn tokens; at most 10.

    Returns
    -------
    ErrorCounts
        Of this session or group. Sum them, and resample sums of sessions for an interval.

    Raises
    ------
    ImportError
        If meeteval is not installed.
    ValueError
        If a text still holds a turn token, or there are more than 10 channels.

    Reference
    ---------
    Sklyar et al., "Multi-turn RNN-T for streaming recognition of multi-party speech", 2022, arXiv
    2112.10200; computed by meeteval (von Neumann et al., 2023, arXiv 2307.11394).

    Example
    -------
    >>> anna, ben = Turn("anna", 0.0, 2.0, "TURN IT ON"), Turn("ben", 1.5, 3.0, "NO STOP")
    >>> orc_errors([ben, anna], ["NO STOP", "TURN ON"])
    ErrorCounts(substitutions=0, deletions=1, insertions=0, words=5)
    """
    meeteval = require_meeteval()
    if len(channels) > 10:
        raise ValueError(
            f"the ORC search is exact and takes at most 10 channels, got {len(channels)}; pass one "
            "text for each output channel, not for each turn"
        )
    _check_texts(channels)
    said = [turn.text for turn in _in_order(references)]
    # Without any channel there would be nothing to put a turn on.
    recognised = list(channels) or [""]
    rate = meeteval.wer.orc_word_error_rate(
        said, recognised, reference_sort=False, hypothesis_sort=False
    )
    return _counts(rate)


def cp_errors(references: Sequence[Turn], hypotheses: Sequence[Turn]) -> ErrorCounts:
    """Count word errors under the best one-to-one match of speakers (cpWER).

    The turns of a speaker are joined in the order of their starts. A system that does not know
    speakers has its output channels in their place, and pays for every talker beyond their number.

    Arguments
    ---------
    references : sequence of Turn
        What was said, in any order.
    hypotheses : sequence of Turn
        What was recognised, in any order, without turn tokens; `speaker` tells who, or on which
        channel.

    Returns
    -------
    ErrorCounts
        Of this session or group.

    Raises
    ------
    ImportError
        If meeteval is not installed.
    ValueError
        If a text still holds a turn token.

    Reference
    ---------
    Watanabe et al., "CHiME-6 challenge", 2020, arXiv 2004.09249; computed by meeteval.

    Example
    -------
    >>> anna, ben = Turn("anna", 0.0, 2.0, "TURN IT ON"), Turn("ben", 1.5, 3.0, "NO STOP")
    >>> one, two = Turn("1", 0.2, 2.1, "NO STOP"), Turn("2", 1.6, 3.2, "TURN ON")
    >>> cp_errors([anna, ben], [one, two]).errors
    1
    """
    meeteval = require_meeteval()
    _check_texts([turn.text for turn in hypotheses])
    rate = meeteval.wer.cp_word_error_rate(
        _texts_by_speaker(references),
        _texts_by_speaker(hypotheses),
        reference_sort=False,
        hypothesis_sort=False,
    )
    return _counts(rate)


def tcp_errors(
    references: Sequence[Turn], hypotheses: Sequence[Turn], *, collar_s: float = 5.0
) -> ErrorCounts:
    """Count word errors as `cp_errors` does, but match words only if they were said when heard.

    The time of a word is estimated from its place among the letters of its turn, also where word
    times are known: then figures of systems with and without word times compare.

    Arguments
    ---------
    references : sequence of Turn
        What was said, in any order.
    hypotheses : sequence of Turn
        What was recognised, in any order, without turn tokens.
    collar_s : float
        How far, in seconds, a recognised word may lie outside of the time of a reference word that
        it matches.

    Returns
    -------
    ErrorCounts
        Of this session or group; never fewer errors than `cp_errors` counts.

    Raises
    ------
    ImportError
        If meeteval is not installed.
    ValueError
        If a text still holds a turn token or the collar is negative.

    Reference
    ---------
    Von Neumann et al., "MeetEval: a toolkit for computation of word error rates for meeting
    transcription systems", 2023, arXiv 2307.11394, with its default pseudo-word times.

    Example
    -------
    >>> said, late = Turn("anna", 0.0, 1.0, "STOP"), Turn("1", 9.0, 10.0, "STOP")
    >>> tcp_errors([said], [late]).errors, tcp_errors([said], [late], collar_s=10.0).errors
    (2, 0)
    """
    meeteval = require_meeteval()
    if not collar_s >= 0.0:
        raise ValueError(f"collar_s must be >= 0, got {collar_s}; 5 s is usual")
    _check_texts([turn.text for turn in hypotheses])
    # Turns without a word have no times to match, and meeteval wants at least one on each side.
    said = [turn for turn in references if turn.text.split()]
    recognised = [turn for turn in hypotheses if turn.text.split()]
    if not said or not recognised:
        return cp_errors(said, recognised)
    rate = meeteval.wer.time_constrained_minimum_permutation_word_error_rate(
        meeteval.io.SegLST(_segments(said)),
        meeteval.io.SegLST(_segments(recognised)),
        collar=collar_s,
    )
    return _counts(rate)


def _check_texts(texts: Sequence[str]) -> None:
    for text in texts:
        tokens = _TURN_TOKENS.intersection(text.lower().split())
        if tokens:
            raise ValueError(
                f"the hypothesis {text[:40]!r} still holds {', '.join(sorted(tokens))}, which "
                "would count as words; strip turn tokens before the labels become text"
            )


def _in_order(turns: Sequence[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda turn: (turn.start_s, turn.end_s))


def _texts_by_speaker(turns: Sequence[Turn]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for turn in _in_order(turns):
        texts[turn.speaker] = f"{texts.get(turn.speaker, '')} {turn.text}"
    return texts


def _segments(turns: Sequence[Turn]) -> list[dict[str, Any]]:
    return [
        {
            "session_id": "",
            "speaker": turn.speaker,
            "start_time": turn.start_s,
            "end_time": turn.end_s,
            "words": turn.text,
        }
        for turn in _in_order(turns)
    ]


def _counts(rate: Any) -> ErrorCounts:
    """ErrorCounts from meeteval's error rate."""
    return ErrorCounts(
        int(rate.substitutions), int(rate.deletions), int(rate.insertions), int(rate.length)
    )
