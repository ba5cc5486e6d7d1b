"""Who says which recorded utterance in which meeting, drawn without reading any audio."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from sb_alexa.corpora.libricss_files import CONDITIONS
from sb_alexa.corpora.manifest import Utterance
from sb_alexa.corpora.random_streams import Purpose, stream
from sb_alexa.corpora.session_corpus import FEWEST_TURNS
from sb_alexa.corpora.session_folder import PLAN, Session
from sb_alexa.corpora.text_files import CorpusError

# What a session number may use: utterances by reader.
_Share = dict[str, list[Utterance]]
_Turns = tuple[Utterance, ...]


@dataclass(frozen=True)
class MeetingSizes:
    """How many meetings there shall be, and how large.

    Arguments
    ---------
    conditions : tuple of str
        Names of the conditions.
    num_sessions : int
        Sessions of each condition.
    minutes_per_session : float
        Length of a session, about.
    speakers_per_session : int
        Readers in a session, at most.
    seed : int
        Seed of the corpus.
    """

    conditions: tuple[str, ...]
    num_sessions: int
    minutes_per_session: float
    speakers_per_session: int
    seed: int


def plan_meetings(utterances: Sequence[Utterance], sizes: MeetingSizes) -> dict[Session, _Turns]:
    """Draw the utterances of every session, in order of start; nobody speaks twice in a row.

    The sessions of the same number, one for each condition, have the same readers and share a part
    of their utterances that no other number has: what is heard in the development sessions is not
    heard in the test sessions. Among the conditions an utterance is used again only after all
    others of its reader; in a session it is used once.

    Arguments
    ---------
    utterances : sequence of Utterance
        What may be said; by two readers at least.
    sizes : MeetingSizes
        What is wanted.

    Raises
    ------
    CorpusError
        If there is not enough speech; the message tells for how many sessions there is.

    Example
    -------
    >>> said = [Utterance(f"{n % 3}-1-{n}", 6.0, f"{n}.flac", str(n % 3), "GO") for n in range(60)]
    >>> sizes = MeetingSizes(("0S",), 3, 1.0, 2, seed=0)
    >>> plans = plan_meetings(said, sizes)
    >>> [(session.name, len(turns)) for session, turns in plans.items()]
    [('0S-session0', 10), ('0S-session1', 10), ('0S-session2', 10)]
    """
    readers: _Share = defaultdict(list)
    for utterance in utterances:
        readers[utterance.speaker].append(utterance)
    plans = _try(readers, sizes)
    if plans is not None:
        return plans
    enough, too_many = 0, sizes.num_sessions
    while too_many - enough > 1:
        middle = (enough + too_many) // 2
        if _try(readers, replace(sizes, num_sessions=middle)) is None:
            too_many = middle
        else:
            enough = middle
    minutes = sum(utterance.duration_s for utterance in utterances) / 60
    remedy = f"num_sessions={enough}, shorter sessions" if enough else "shorter sessions"
    raise CorpusError(
        f"{len(utterances)} utterances ({minutes:.1f} min) of {len(readers)} readers are too "
        f"little speech for num_sessions={sizes.num_sessions} of minutes_per_session="
        f"{sizes.minutes_per_session}, each with utterances of its own; they allow {enough} "
        f"sessions of each condition: ask for {remedy}, or give more speech"
    )


def _try(
    readers: Mapping[str, list[Utterance]], sizes: MeetingSizes
) -> dict[Session, _Turns] | None:
    """The plans, or None if the speech does not suffice."""
    plans: dict[Session, _Turns] = {}
    for number, share in enumerate(_shares(readers, sizes)):
        num_uses: Counter[str] = Counter()
        for condition in sizes.conditions:
            session = Session(condition, number, sizes.seed)
            turns = _session_turns(session, share, num_uses, sizes.minutes_per_session)
            if turns is None:
                return None
            num_uses.update(utterance.id for utterance in turns)
            plans[session] = turns
    return plans


def _shares(readers: Mapping[str, list[Utterance]], sizes: MeetingSizes) -> list[_Share]:
    """Deal readers to session numbers, then the utterances of each to the numbers that have him."""
    # No session has this condition, so none draws the same numbers.
    rng = stream(sizes.seed, Purpose.SESSION, len(CONDITIONS))
    names = sorted(readers)
    numbers_of: dict[str, list[int]] = {name: [] for name in names}
    for number in range(sizes.num_sessions):
        order = [names[i] for i in rng.permutation(len(names))]
        order.sort(key=lambda name: len(numbers_of[name]))
        for name in order[: sizes.speakers_per_session]:
            numbers_of[name].append(number)
    shares: list[_Share] = [defaultdict(list) for _ in range(sizes.num_sessions)]
    for name, numbers in numbers_of.items():
        if not numbers:
            continue
        # Utterances of about the same length are dealt in a round, so parts last equally long.
        by_length = sorted(readers[name], key=lambda one: (-one.duration_s, one.id))
        for first in range(0, len(by_length), len(numbers)):
            one_round = by_length[first : first + len(numbers)]
            for number, utterance in zip(rng.permutation(numbers), one_round, strict=False):
                shares[int(number)][name].append(utterance)
    return shares


def _session_turns(
    session: Session, share: _Share, num_uses: Mapping[str, int], minutes: float
) -> _Turns | None:
    rng = session.stream(PLAN)
    for sparing in (False, True):
        turns = _draw_turns(session, share, num_uses, minutes, rng, sparing=sparing)
        if turns is not None:
            return turns
    return None


def _draw_turns(
    session: Session,
    share: _Share,
    num_uses: Mapping[str, int],
    minutes: float,
    rng: np.random.Generator,
    *,
    sparing: bool,
) -> _Turns | None:
    """Draw turns until the session is about as long as it shall be; None if they run out.

    Anybody may follow but the one who has just spoken. Where speech is scarce, `sparing` lets a
    reader who has most of what is left speak whenever he can: otherwise he alone would remain.
    """
    waiting: _Share = {}
    for name in sorted(share):
        shuffled = [share[name][i] for i in rng.permutation(len(share[name]))]
        waiting[name] = sorted(shuffled, key=lambda one: -num_uses.get(one.id, 0))
    per_second, per_turn_s = session.timing.mean_step
    left_s = 60.0 * minutes
    turns: list[Utterance] = []
    while left_s > 0 or len(turns) < FEWEST_TURNS:
        ready = [name for name in waiting if waiting[name]]
        if turns and turns[-1].speaker in ready:
            ready.remove(turns[-1].speaker)
        if not ready:
            return None
        name = ready[int(rng.integers(len(ready)))]
        if sparing:
            most = max(ready, key=lambda one: len(waiting[one]))
            if 2 * len(waiting[most]) > sum(map(len, waiting.values())):
                name = most
        step_s = per_second * waiting[name][-1].duration_s + per_turn_s
        if len(turns) >= FEWEST_TURNS and step_s > 2 * left_s:
            break  # The session is closer to its length without this turn than with it.
        turns.append(waiting[name].pop())
        left_s -= step_s
    return tuple(turns)
