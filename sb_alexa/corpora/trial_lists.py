"""Trials of speaker verification: reading lists of them, and drawing lists of one's own."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sb_alexa.corpora.text_files import CorpusError, name_some, parse_file

logger = logging.getLogger(__name__)

_UTTERANCE = re.compile(r"([^/\s]+/[^/\s]+/[^/\s.]+)(?:\.\w+)?")
_LABELS = {"0": False, "1": True}


class Trial(NamedTuple):
    """Two utterances to compare, and whether one speaker says both.

    Utterances are named `<speaker>/<session>/<number>`, whatever the suffix of their files.
    """

    is_target: bool
    enrol: str
    test: str


def speaker_of(utterance: str) -> str:
    """Who says an utterance.

    Example
    -------
    >>> speaker_of("id10270/x6uYqmx31kE/00001")
    'id10270'
    """
    return utterance.partition("/")[0]


def parse_trial_line(line: str) -> Trial:
    """Read one line `label enrol test` of a trial list.

    Raises
    ------
    ValueError
        If the line is of another kind, or its label contradicts the speakers.

    Example
    -------
    >>> parse_trial_line("0 id10270/x6uYqmx31kE/00001.wav id10300/ize_eiCFEg0/00003.wav")
    Trial(is_target=False, enrol='id10270/x6uYqmx31kE/00001', test='id10300/ize_eiCFEg0/00003')
    """
    fields = line.split()
    names = [_UTTERANCE.fullmatch(field) for field in fields[1:]]
    if len(fields) != 3 or fields[0] not in _LABELS or None in names:
        raise ValueError(
            f"{line.strip()[:90]!r} is not 'label enrol test' with label 1 for the same speaker "
            "and 0 for another, such as '1 id10270/x6uYqmx31kE/00001.wav "
            "id10270/8jEAjG6SegY/00008.wav'"
        )
    enrol, test = (name[1] for name in names if name is not None)
    trial = Trial(_LABELS[fields[0]], enrol, test)
    if trial.is_target != (speaker_of(enrol) == speaker_of(test)):
        raise ValueError(
            f"label {fields[0]} says that {speaker_of(enrol)} and {speaker_of(test)} are "
            f"{'one speaker' if trial.is_target else 'two speakers'}; correct the label or the "
            "names"
        )
    return trial


def read_trials(path: Path) -> list[Trial]:
    """Read a trial list in its order; a repeated trial is counted once, and said.

    (The same pair in the other order is another trial: VoxCeleb1-O has 338 of them.)

    Arguments
    ---------
    path : Path
        Lines of `label enrol test`.

    Raises
    ------
    CorpusError
        If there is no such file, it is not UTF-8, a line cannot be read, or the list holds trials
        of one kind only, for which no error rate exists.

    Example
    -------
    >>> path = getfixture("tmp_path") / "trials.txt"
    >>> _ = path.write_text("1 a/s1/1.wav a/s2/1.wav\\n0 a/s1/1.wav b/s3/1.wav\\n")
    >>> [trial.test for trial in read_trials(path)]
    ['a/s2/1', 'b/s3/1']
    """
    if not path.is_file():
        raise CorpusError(f"trial list {path} does not exist")
    trials: dict[Trial, None] = {}
    repeated: list[str] = []
    for trial in parse_file(path, parse_trial_line):
        if trial in trials:
            repeated.append(f"{trial.enrol} against {trial.test}")
        trials[trial] = None
    if repeated:
        logger.warning(
            "%s repeats %d trials, which are counted once: %s",
            path,
            len(repeated),
            name_some(repeated),
        )
    alone = [trial.enrol for trial in trials if trial.enrol == trial.test]
    if alone:
        logger.warning(
            "%s compares %d recordings with themselves, which no system gets wrong: %s",
            path,
            len(alone),
            name_some(alone),
        )
    num_targets = sum(trial.is_target for trial in trials)
    if not 0 < num_targets < len(trials):
        raise CorpusError(
            f"{path} holds {num_targets} trials of the same speaker and "
            f"{len(trials) - num_targets} of different ones; it needs both"
        )
    return list(trials)


def trials_text(trials: Iterable[Trial], *, suffix: str = "") -> str:
    """Content of a trial list, in VoxCeleb's own format.

    Arguments
    ---------
    trials : iterable of Trial
        In the order to write.
    suffix : str
        What to write after the name of every utterance, such as `.wav`.

    Example
    -------
    >>> trials_text([Trial(True, "a/s1/1", "a/s2/1")], suffix=".wav")
    '1 a/s1/1.wav a/s2/1.wav\\n'
    """
    return "".join(f"{t.is_target:d} {t.enrol}{suffix} {t.test}{suffix}\n" for t in trials)


def utterances_of(trials: Iterable[Trial]) -> list[str]:
    """Every utterance that is named, once, in order of name."""
    return sorted({name for trial in trials for name in (trial.enrol, trial.test)})


def draw_trials(
    utterances: Mapping[str, Sequence[str]],
    *,
    num_per_speaker: int,
    rng: np.random.Generator,
    cells: Mapping[str, str] | None = None,
) -> list[Trial]:
    """Draw a list in which every speaker is a target as often as an impostor's victim.

    Targets compare different sessions wherever a speaker has two, as in VoxCeleb's harder trials:
    within a session, room and microphone help. No pair occurs twice.

    Arguments
    ---------
    utterances : mapping of str to sequence of str
        Utterances `<speaker>/<session>/<number>` of each speaker.
    num_per_speaker : int
        Target trials of each speaker, and as many non-target trials; fewer where pairs run out.
    rng : numpy.random.Generator
        Where the choice comes from.
    cells : mapping of str to str, optional
        Group of each speaker. When given, non-targets compare speakers of one group only, as in
        VoxCeleb1-H (same gender and nationality).

    Returns
    -------
    list of Trial
        In order of the enrolled speaker, targets first. A speaker who is alone in a cell has
        targets only.

    Raises
    ------
    ValueError
        If `num_per_speaker` is below 1.

    Example
    -------
    >>> said = {who: [f"{who}/s{i}/1" for i in range(3)] for who in "abc"}
    >>> trials = draw_trials(said, num_per_speaker=2, rng=np.random.default_rng(0))
    >>> len(trials), sum(trial.is_target for trial in trials)
    (12, 6)
    """
    if num_per_speaker < 1:
        raise ValueError(f"num_per_speaker must be >= 1, got {num_per_speaker}")
    seen: set[frozenset[str]] = set()
    trials: list[Trial] = []
    for speaker in sorted(utterances):
        targets = _targets(utterances[speaker])
        chosen = sorted(rng.permutation(len(targets))[:num_per_speaker])
        trials += [Trial(True, *targets[index]) for index in chosen]
        others = [
            name
            for other in sorted(utterances)
            if other != speaker and (cells is None or cells[other] == cells[speaker])
            for name in utterances[other]
        ]
        pairs = _impostors(utterances[speaker], others, rng, num_wanted=len(chosen), seen=seen)
        trials += [Trial(False, *pair) for pair in pairs]
    return trials


def _targets(utterances: Sequence[str]) -> list[tuple[str, str]]:
    pairs = list(combinations(sorted(utterances), 2))
    across = [(a, b) for a, b in pairs if a.rpartition("/")[0] != b.rpartition("/")[0]]
    return across or pairs


def _impostors(
    own: Sequence[str],
    others: Sequence[str],
    rng: np.random.Generator,
    *,
    num_wanted: int,
    seen: set[frozenset[str]],
) -> Iterator[tuple[str, str]]:
    """Pairs that have not been seen, drawn without listing all of them."""
    num_pairs = len(own) * len(others)
    # Twice as many as wanted: some have been drawn from the other speaker's side.
    drawn = rng.choice(num_pairs, size=min(2 * num_wanted, num_pairs), replace=False)
    for index in drawn:
        if not num_wanted:
            return
        pair = own[index // len(others)], others[index % len(others)]
        if frozenset(pair) not in seen:
            seen.add(frozenset(pair))
            num_wanted -= 1
            yield pair
