"""One reader of the embedded corpus on disk: written as a whole or not at all."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path

from sb_alexa.corpora.spoken_corpus import SpokenFolder, put_in_place, write_samples
from sb_alexa.corpora.synthetic import in_room, speak


@dataclass(frozen=True)
class ReaderFolder(SpokenFolder):
    """Where a reader of a split lies in LibriSpeech's layout; all sentences make one chapter.

    Arguments
    ---------
    folder, speaker, num_utterances, seed
        See :class:`sb_alexa.corpora.spoken_corpus.SpokenFolder`.
    split : str
        The reader's split, such as ``train-clean``.
    """

    split: str

    @property
    def name(self) -> str:
        """Path of the audio, relative to the corpus."""
        return f"{self.split}/{self.speaker.speaker_id}"

    @property
    def chapter(self) -> str:
        """Name of the only chapter, reader included, with which its files begin."""
        return f"{self.speaker.speaker_id}-1{self.speaker.speaker_id}"

    @property
    def alignment_file(self) -> Path:
        """The times of the words."""
        return self.folder / "alignments" / self.split / f"{self.chapter}.words.csv"

    def exists(self) -> bool:
        """Whether the reader has been written."""
        return super().exists() and self.alignment_file.is_file()

    def files(self) -> list[Path]:
        """Return the reader's files, in a fixed order."""
        return [*super().files(), self.alignment_file]


def write_reader(job: tuple[ReaderFolder, list[str]]) -> None:
    """Speak the sentences of a reader and write them; needs a fresh process.

    The last step, a rename, makes the audio folder appear as a whole.

    Arguments
    ---------
    job : (ReaderFolder, list of str)
        The reader and what is read.
    """
    reader, sentences = job
    chapter = reader.unfinished / reader.chapter.partition("-")[2]
    chapter.mkdir(parents=True)
    transcript, alignment = io.StringIO(), io.StringIO()
    rows = csv.writer(alignment, lineterminator="\n")
    rows.writerow(["utterance", "word", "start_s", "end_s"])
    for clean in speak(reader.speaker, sentences, seed=reader.seed):
        utterance = in_room(clean, seed=reader.seed)
        name = f"{reader.chapter}-{utterance.index:04d}"
        write_samples(chapter / f"{name}.flac", utterance, format="FLAC")
        transcript.write(f"{name} {utterance.text}\n")
        for word in utterance.words:
            rows.writerow([name, word.label, f"{word.start_s:.4f}", f"{word.end_s:.4f}"])
    _write_text(chapter / f"{reader.chapter}.trans.txt", transcript.getvalue())
    times = reader.unfinished.with_name(reader.alignment_file.name)
    _write_text(times, alignment.getvalue())
    put_in_place([(times, reader.alignment_file), (reader.unfinished, reader.audio_folder)])


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")
