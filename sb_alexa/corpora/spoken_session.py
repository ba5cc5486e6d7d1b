"""A session of synthetic speakers: who says what, and how it sounds at their places in a room."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sb_alexa.corpora.acoustics import draw_conditions, record
from sb_alexa.corpora.session_folder import (
    DELIVERY,
    ECHO,
    EDGES,
    PLACE,
    ROOM,
    HeardTurn,
    Session,
    at_level,
    draw_level_dbfs,
)
from sb_alexa.corpora.synthesis import SAMPLE_RATE_HZ
from sb_alexa.corpora.synthetic import speak
from sb_alexa.corpora.voices import Speaker
from sb_alexa.turn import Word


@dataclass(frozen=True)
class SpokenSession:
    """What is said in a session and by whom; when is decided once it is spoken.

    Arguments
    ---------
    session : Session
        Which one it is.
    turns : tuple of (Speaker, str)
        Who says what, in order of start; sentences in lower case.
    """

    session: Session
    turns: tuple[tuple[Speaker, str], ...]

    @property
    def speakers(self) -> list[Speaker]:
        """Everybody who speaks, in order of their ids."""
        return sorted({who for who, _ in self.turns}, key=lambda who: who.speaker_id)


def speak_turns(job: tuple[SpokenSession, Speaker]) -> list[tuple[int, HeardTurn]]:
    """Speak all turns of one speaker of a session; needs a fresh process.

    A speaker keeps a place in the room, and so an echo and a level, throughout the session.

    Arguments
    ---------
    job : (SpokenSession, Speaker)
        The session and who speaks.

    Returns
    -------
    turns : list of (int, HeardTurn)
        Each with its number within the session.
    """
    plan, speaker = job
    session = plan.session
    indices = [index for index, (who, _) in enumerate(plan.turns) if who == speaker]
    room = session.stream(ROOM)
    at_place = session.stream(PLACE, speaker.speaker_id)
    place = replace(
        draw_conditions(at_place),
        reverberation_time_s=draw_conditions(room).reverberation_time_s,
        level_dbfs=draw_level_dbfs(room, at_place),
        snr_db=math.inf,
    )
    seed = int(session.stream(DELIVERY).integers(2**31))
    sentences = [plan.turns[index][1] for index in indices]
    heard = []
    for index, said in zip(indices, speak(speaker, sentences, seed=seed), strict=True):
        edges = draw_conditions(session.stream(EDGES, index))
        conditions = replace(place, lead_s=edges.lead_s, tail_s=edges.tail_s)
        # The same stream every time: the echo is drawn first, so it is the same for all turns.
        echo = session.stream(ECHO, speaker.speaker_id)
        recorded = record(said.samples, conditions, echo)
        lead = round(conditions.lead_s * SAMPLE_RATE_HZ)
        clean = np.zeros_like(recorded)
        clean[lead : lead + said.samples.size] = at_level(said.samples, conditions.level_dbfs)
        delay_s = lead / SAMPLE_RATE_HZ
        words = tuple(Word(w.label, w.start_s + delay_s, w.end_s + delay_s) for w in said.words)
        name = f"{speaker.speaker_id}-{session.condition}s{session.number}-{index:04d}"
        text = " ".join(word.text for word in words)
        turn = HeardTurn(str(speaker.speaker_id), name, text, recorded, clean, words)
        heard.append((index, turn))
    return heard
