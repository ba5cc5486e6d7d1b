"""Audio that a preparation leaves out: how much is allowed, where it is listed, when it is back."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path

from sb_alexa.corpora.audio import AudioError, inspect_audio
from sb_alexa.corpora.stamp import replaced_atomically
from sb_alexa.corpora.text_files import CorpusError, name_some

logger = logging.getLogger(__name__)

_MOST_NAMES_IN_ERROR = 50


def still_bad(data: Path, paths: Iterable[str], *, full_decode: bool) -> bool:
    """Whether the audio left out is bad as ever: a repaired file may have kept its size.

    Arguments
    ---------
    data : Path
        Folder to which the paths are relative.
    paths : iterable of str
        What was left out.
    full_decode : bool
        As for `sb_alexa.corpora.audio.inspect_audio`.
    """
    for path in paths:
        try:
            inspect_audio(data / path, full_decode=full_decode)
        except AudioError:
            continue
        return False
    return True


def report_bad_audio(
    listing: Path, bad: Mapping[str, str], *, num_files: int, max_bad_fraction: float
) -> None:
    """List the audio that cannot be used in a file, and say how much it is.

    Arguments
    ---------
    listing : Path
        Takes one line for each, path and reason between a tab; replaced in one step.
    bad : mapping of str to str
        Reason by path.
    num_files : int
        Audio files in all.
    max_bad_fraction : float
        Largest part of them that may be bad, in 0 to 1.

    Raises
    ------
    CorpusError
        If more are bad.
    """
    lines = [f"{path}\t{reason}" for path, reason in sorted(bad.items())]
    with replaced_atomically(listing) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    if not bad:
        return
    share = f"{len(bad)} of {num_files} audio files ({len(bad) / num_files:.2%})"
    if len(bad) > max_bad_fraction * num_files:
        rest = len(lines) - _MOST_NAMES_IN_ERROR
        more = [f"and {rest} more"] if rest > 0 else []
        raise CorpusError(
            f"{share} cannot be used, more than max_bad_fraction={max_bad_fraction} allows. "
            f"Copy the corpus again, or raise max_bad_fraction to go on without them. "
            f"They are listed in {listing}:\n" + "\n".join([*lines[:_MOST_NAMES_IN_ERROR], *more])
        )
    named = name_some([f"{path} ({reason})" for path, reason in sorted(bad.items())])
    logger.warning("%s left out, listed in %s: %s", share, listing, named)
