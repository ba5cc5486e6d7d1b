"""Tables of transcripts: what is read, what is noticed, and what is refused in which words."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.corpora.speaker_table import SpeakerTable
from sb_alexa.corpora.text_files import CorpusError
from sb_alexa.corpora.transcript_errors import TranscriptCounter
from sb_alexa.corpora.transcript_table import TranscriptTable, read_transcripts
from sb_alexa.metrics.error_cells import ErrorCells
from sb_alexa.metrics.error_rate import ErrorCounts, word_errors
from sb_alexa.training.recognition import UtteranceResult, write_results

TEXTS = (
    "id,speaker,reference,hypothesis,sex\n"
    "u1,ann,a man said,a men said so,F\n"
    "u2,bob,yes,yes,M\n"
    "u3,cid,oh no,,M\n"
    "u4,eve,no,no,F\n"
)
COUNTS = "id,speaker,errors,words\nu1,ann,2,3\nu2,bob,0,1\nu3,cid,2,2\nu4,eve,0,1\n"


def write(folder: Path, text: str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def only_note(table: TranscriptTable) -> str:
    (note,) = table.notes
    return note


def with_column(name: str, *values: str) -> str:
    """COUNTS and one more column."""
    lines = zip(COUNTS.splitlines(), [name, *values], strict=True)
    return "".join(f"{line},{value}\n" for line, value in lines)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|"])
@pytest.mark.parametrize("text", [TEXTS, COUNTS])
def test_table_between_any_delimiter(tmp_path: Path, text: str, delimiter: str, mark: str) -> None:
    path = write(tmp_path, mark + text.replace(",", delimiter))
    table = read_transcripts(path)
    assert table.ids == ("u1", "u2", "u3", "u4") and table.speakers == ("ann", "bob", "cid", "eve")
    assert table.errors.tolist() == [2, 0, 2, 0] and table.words.tolist() == [3, 1, 2, 1]
    assert dict(table.columns) == ({"sex": ("F", "M", "M", "F")} if text is TEXTS else {})
    assert len(table) == 4 and table.latitude is None and table.zip_codes is None
    assert table.notes == ()


def test_quoted_transcripts_hold_delimiters_and_line_breaks(tmp_path: Path) -> None:
    text = 'id,speaker,reference,hypothesis\nu1,ann,"yes, ""no""\nso", yes  so \n'
    table = read_transcripts(write(tmp_path, text))
    assert (table.errors.tolist(), table.words.tolist()) == ([2], [3])


def test_json_lines_with_different_keys(tmp_path: Path) -> None:
    lines = [
        {"id": "u1", "speaker": 84, "errors": 1, "words": 4.0, "zip": 2138},
        {"id": "u2", "speaker": 84.0, "errors": 0, "words": 2, "sex": None, "zip": None},
        {"id": "u3", "speaker": "9", "errors": 0, "words": 2, "sex": "F", "zip": "10001"},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    table = read_transcripts(write(tmp_path, text, "table.jsonl"))
    assert table.speakers == ("84", "84", "9") and table.zip_codes == ("02138", "", "10001")
    assert dict(table.columns) == {"sex": ("", "", "F")}


def test_results_of_a_recipe_are_a_table(tmp_path: Path) -> None:
    results = [
        UtteranceResult(f"u{n}", who, said, "a men said", word_errors(said, "a men said"), 0.1)
        for n, (who, said) in enumerate([("ann", "a man said"), ("bob", "so a men said")])
    ]
    write_results(tmp_path, "test-clean", results)
    table = read_transcripts(tmp_path / "wer" / "test-clean.jsonl")
    total = sum((result.counts for result in results), ErrorCounts())
    assert (table.errors.sum(), table.words.sum()) == (total.errors, total.words)
    assert table.notes == () and not table.columns
    with pytest.raises(CorpusError, match=r"is a folder; give a file in it: test-clean\.jsonl"):
        read_transcripts(tmp_path / "wer")


def test_data_frame_with_everything_pandas_calls_missing() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {
            "utt": ["u1", "u2", "u3"],
            "speaker": [84.0, 9.0, 7.0],
            "reference": ["a b", "c", pandas.NA],
            "hypothesis": ["a", None, "x"],
            "latitude": [1.5, np.nan, 3.0],
            "longitude": [2.0, 3.0, 4.0],
            "sex": pandas.Categorical(["F", None, "F"]),
            7: [True, False, True],
        }
    )
    table = read_transcripts(frame, names={"id": "utt"})
    assert table.name == "the data frame" and table.speakers == ("84", "9")
    assert table.errors.tolist() == [1, 1] and table.words.tolist() == [2, 1]
    assert table.columns["sex"] == ("F", "") and table.columns["7"] == ("True", "False")
    assert table.latitude is not None and table.longitude is not None
    np.testing.assert_array_equal(table.latitude, [1.5, np.nan])
    np.testing.assert_array_equal(table.longitude, [2.0, np.nan])
    with pytest.raises(CorpusError, match="the data frame holds no utterances"):
        read_transcripts(frame[:0])
    with pytest.raises(TypeError, match="is a path or a pandas DataFrame, got list"):
        read_transcripts([1])  # type: ignore[arg-type]


def test_files_are_read_without_pandas_and_torch(tmp_path: Path) -> None:
    path = write(tmp_path, COUNTS)
    program = (
        "import sys; from sb_alexa.corpora.transcript_table import read_transcripts; "
        f"read_transcripts({str(path)!r}).cells(); print({{'pandas', 'torch'}} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


def test_errors_are_those_of_the_edit_distance() -> None:
    rng = np.random.default_rng(0)
    texts = [
        [" ".join(rng.choice([*"abcd", "é"], rng.integers(0, 9))) for _ in "rh"] for _ in range(300)
    ]
    references, hypotheses = zip(*texts, strict=True)
    errors, words = TranscriptCounter().count(references, hypotheses)
    expected = [word_errors(*pair) for pair in texts]
    assert errors.tolist() == [count.errors for count in expected]
    assert words.tolist() == [count.words for count in expected]
    siso = pytest.importorskip("meeteval.wer.wer.siso")
    assert errors.tolist() == [siso.siso_word_error_rate(*pair).errors for pair in texts]


def test_counts_are_used_unless_texts_are_asked_for(tmp_path: Path) -> None:
    text = "id,speaker,errors,words,reference,hypothesis,whisper\nu1,ann,5,9,A b,a b,A c\n"
    path = write(tmp_path, text)
    assert read_transcripts(path).errors.tolist() == [5]
    assert read_transcripts(path, normalizer=str.lower).errors.tolist() == [0]
    theirs = read_transcripts(path, names={"hypothesis": "whisper"})
    assert theirs.errors.tolist() == [1] and theirs.words.tolist() == [2]


def test_case_that_counts_as_errors_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "id,speaker,reference,hypothesis\nu1,a,YES,yes\nu2,b,NO,so\n")
    table = read_transcripts(path)
    assert table.errors.tolist() == [1, 1]
    assert only_note(table).startswith("1 utterances differ from their reference in upper and low")
    assert read_transcripts(path, normalizer=str.lower).notes == ()


def test_cells_are_those_of_all_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = [
        (f"u{n}", f"s{n % 7}", rng.integers(0, 3), rng.integers(1, 9), "FM"[n % 7 % 2], "xy"[n % 2])
        for n in range(100)
    ]
    text = "\n".join(",".join(map(str, row)) for row in rows)
    path = write(tmp_path, "id,speaker,errors,words,sex,noise\n" + text)
    table = read_transcripts(path, utterance_columns=["noise"], columns=["sex"])
    found = table.cells(["sex", "noise"])
    expected = ErrorCells.of(
        table.errors, table.words, speakers=table.speakers, columns=dict(table.columns)
    )
    assert len(found.words) == 14
    for name in ("errors", "words", "speakers"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
    for name in ("sex", "noise"):
        np.testing.assert_array_equal(found.columns[name].codes, expected.columns[name].codes)
    assert table.cells().num_speakers == 7
    with pytest.raises(ValueError, match=r"no column 'nose'\. Did you mean noise\?"):
        table.cells(["nose"])
    with pytest.raises(ValueError, match="speakers has 1 entries for 2 utterances"):
        TranscriptTable("x", ("a", "b"), ("s",), np.ones(2), np.ones(2), {})


@pytest.mark.parametrize("delimiter", ["\t", " "])
def test_hypotheses_of_a_second_file_and_both_differences(tmp_path: Path, delimiter: str) -> None:
    said = write(tmp_path, "s-1 a b\ns-2 c\nt-3 d\nt-4 e f\n".replace(" ", delimiter, 1), "ref")
    heard = write(tmp_path, f"t-4{delimiter}e f\ns-2\ns-1{delimiter}a\nq-9 z\n", "hyp")
    table = read_transcripts(said, hypotheses=heard, speaker_pattern="(.*)-.*")
    assert table.ids == ("s-1", "s-2", "t-4") and table.speakers == ("s", "s", "t")
    assert table.errors.tolist() == [1, 1, 0] and table.words.tolist() == [2, 1, 2]
    absent, extra = table.notes
    assert "1 utterances of" in absent and "ref are not in" in absent and absent.endswith("t-3")
    assert "hyp are not in" in extra and extra.endswith("left out: q-9")
    write(tmp_path, "x y\n", "hyp")
    with pytest.raises(CorpusError, match="no utterance in common: .* s-1, s-2, .* latter has x"):
        read_transcripts(said, hypotheses=heard, speaker_pattern="(.*)-.*")


def test_hypotheses_in_a_table_of_their_own(tmp_path: Path) -> None:
    said = write(tmp_path, "utt,speaker,reference\nu1,ann,a b\nu2,bob,c\n")
    heard = write(tmp_path, '{"id": "u2", "out": "c"}\n{"id": "u1", "out": "b"}\n', "h.jsonl")
    table = read_transcripts(said, hypotheses=heard, names={"id": "utt", "hypothesis": "out"})
    assert table.errors.tolist() == [1, 0] and table.notes == ()
    with pytest.raises(CorpusError, match=r"h\.jsonl lacks the column 'hypothesis'.*There are: id"):
        read_transcripts(said, hypotheses=heard, names={"id": "utt"})
    write(tmp_path, '{"id": "u1", "out": "b"}\n{"id": "u1", "out": "c"}\n', "h.jsonl")
    with pytest.raises(CorpusError, match=r"line 2: 'u1' has another hypothesis before"):
        read_transcripts(said, hypotheses=heard, names={"id": "utt", "hypothesis": "out"})
    both = write(tmp_path, TEXTS, "both.csv")
    with pytest.raises(CorpusError, match="has hypotheses already; leave out"):
        read_transcripts(both, hypotheses=said, names={"hypothesis": "reference", "id": "utt"})


def test_speaker_table_is_joined(tmp_path: Path) -> None:
    speakers = SpeakerTable(
        "speakers.csv",
        ("sex", "accent", "latitude", "longitude", "hardness"),
        {
            who: {"sex": sex, "accent": "us", "latitude": "1", "longitude": "2", "hardness": ""}
            for who, sex in zip(["ann", "bob", "cid"], "FMM", strict=True)
        },
    )
    table = read_transcripts(write(tmp_path, COUNTS), speakers=speakers)
    assert table.columns["accent"] == ("us", "us", "us", "")
    assert table.columns["sex"] == ("F", "M", "M", "") and "hardness" not in table.columns
    assert table.latitude is not None and np.isnan(table.latitude).tolist() == [False] * 3 + [True]
    assert "speakers.csv lacks 1 of 4 speakers" in table.notes[0] and "eve" in table.notes[0]
    own = read_transcripts(write(tmp_path, TEXTS), speakers=speakers, columns=["sex"])
    assert own.columns == {"sex": ("F", "M", "M", "F")}
    assert "sex of" in own.notes[1] and "are used and not those of speakers.csv" in own.notes[1]
    strangers = SpeakerTable("speakers.csv", ("sex",), {"x": {"sex": "F"}})
    with pytest.raises(CorpusError, match="knows none of the 4 speakers .* has x; the latter"):
        read_transcripts(write(tmp_path, COUNTS), speakers=strangers)


def test_empty_references_and_insertions_there(tmp_path: Path) -> None:
    text = TEXTS + "u5,bob,,oh well,M\nu6,bob,  ,,M\n"
    table = read_transcripts(write(tmp_path, text))
    assert len(table) == 4 and table.errors.sum() == 4
    assert only_note(table) == (
        "2 utterances have an empty reference and are left out: u5, u6; 2 words were recognised "
        "there, which count nowhere"
    )
    quiet = read_transcripts(write(tmp_path, COUNTS + "u5,bob,0,0\n"))
    assert only_note(quiet).endswith("are left out: u5")
    with pytest.raises(CorpusError, match="leaves no utterance to count: 1 utterances have an emp"):
        read_transcripts(write(tmp_path, "id,speaker,errors,words\nu1,ann,0,0\n"))


def test_missing_counts_speakers_and_identifiers_are_left_out(tmp_path: Path) -> None:
    text = COUNTS + "u5,ann,NaN,4\nu6,ann,1,\nu7,ann,N/A,nan\nu8,,1,1\n,ann,1,1\n"
    table = read_transcripts(write(tmp_path, text))
    assert table.ids == ("u1", "u2", "u3", "u4")
    assert table.notes == (
        "1 utterances without identifier are left out: lines 10",
        "1 utterances without speaker are left out: lines 9",
        "3 utterances without errors or words are left out: u5, u6, u7",
    )


def test_repeated_utterance_is_counted_once(tmp_path: Path) -> None:
    table = read_transcripts(write(tmp_path, COUNTS + "u2,bob,0,1\nu2,bob,0,1\n"))
    assert table.words.sum() == 7
    assert only_note(table) == "2 rows repeat an utterance and are counted once: u2"
    for other in ("u2,bob,1,1\n", "u2,ann,0,1\n"):
        with pytest.raises(CorpusError, match="line 6 repeats 'u2' of line 3 with another speaker"):
            read_transcripts(write(tmp_path, COUNTS + other))


def test_coordinates_that_are_missing_or_wrong(tmp_path: Path) -> None:
    places = ["latitude,longitude", "91,3", "50,181", ",5", "60,north"]
    text = "".join(f"{a},{b}\n" for a, b in zip(COUNTS.splitlines(), places, strict=True))
    table = read_transcripts(write(tmp_path, text + "u5,ann,0,1,50.5,-7\nu6,ann,0,1,-90,180\n"))
    assert len(table) == 6 and table.latitude is not None and table.longitude is not None
    np.testing.assert_array_equal(table.latitude, [np.nan] * 4 + [50.5, -90])
    np.testing.assert_array_equal(table.longitude, [np.nan] * 4 + [-7, 180])
    said = "\n".join(table.notes)
    assert len(table.notes) == 4
    assert "latitude of 1 utterances lies outside of -90..90 degrees" in said
    assert "swapped? They are kept out of the map only: u1 (91)" in said
    assert "longitude of 1 utterances lies outside of -180..180" in said and "u2 (181)" in said
    assert "1 utterances of 1 speakers have no coordinates" in said and "only: u3" in said
    assert "longitude of 1 utterances is no number" in said and "u4 (north)" in said


def test_no_map_at_all(tmp_path: Path) -> None:
    table = read_transcripts(write(tmp_path, with_column("latitude", *"1234")))
    assert table.latitude is None
    assert only_note(table) == "there is no map: latitude is given alone"
    text = "id,speaker,errors,words,latitude,longitude\nu1,ann,0,1,,\n"
    table = read_transcripts(write(tmp_path, text))
    assert table.latitude is None and table.notes[-1].endswith("no utterance has coordinates")
    table = read_transcripts(write(tmp_path, with_column("lattitude", *"1122")))
    assert "'lattitude' is not read as latitude; name it so if it is" in table.notes[0]


def test_zip_codes_get_their_zeros_back(tmp_path: Path) -> None:
    path = write(tmp_path, with_column("zip", "2138", "10001", "", "02139-1234"))
    table = read_transcripts(path)
    assert table.zip_codes == ("02138", "10001", "", "02139")
    assert only_note(table).startswith("1 ZIP codes lost their leading zero") and (
        "2138 is 02138" in only_note(table)
    )
    table = read_transcripts(write(tmp_path, with_column("zip", "2138", "", "2139", "501")))
    assert table.zip_codes == ("2138", "", "2139", "0501")
    table = read_transcripts(write(tmp_path, with_column("zip", "2138", "", "2139", "")))
    assert "all of them lost their leading zero" in only_note(table)
    table = read_transcripts(write(tmp_path, with_column("zip", "", "", "", "")))
    assert table.zip_codes is None and only_note(table) == "no utterance has a ZIP code"


def test_speaker_in_two_groups_unless_utterances_are_grouped(tmp_path: Path) -> None:
    text = TEXTS + "u5,bob,yes,yes,F\nu6,bob,yes,yes,\n"
    path = write(tmp_path, text)
    table = read_transcripts(path)
    assert table.columns["sex"] == ("F", "", "M", "F", "", "")
    assert "'sex': 1 of 4 speakers are in more than one group" in table.notes[0]
    assert "bob (M and F)" in table.notes[0] and "name the column as one of utt" in table.notes[0]
    assert table.errors.sum() == 4, "the utterances still count"
    table = read_transcripts(path, utterance_columns=["sex"])
    assert table.columns["sex"] == ("F", "M", "M", "F", "F", "") and table.notes == ()
    table = read_transcripts(write(tmp_path, "id,speaker,errors,words,g\nu1,a,0,1,x\nu2,a,0,1,y\n"))
    assert not table.columns and table.notes[1] == "column 'g' has no groups and is left out"


def test_group_of_one_speaker(tmp_path: Path) -> None:
    table = read_transcripts(write(tmp_path, with_column("accent", "us", "us", "welsh", "")))
    assert table.columns["accent"] == ("us", "us", "welsh", "")
    assert "'accent': groups of one speaker" in only_note(table)
    assert only_note(table).endswith(": welsh")


def test_columns_that_are_none_of_groups(tmp_path: Path) -> None:
    lines = [f"u{n},s{n % 3},0,1,u{n}.wav,{n % 3 % 2}" for n in range(120)]
    path = write(tmp_path, "id,speaker,errors,words,audio,sex\n" + "\n".join(lines))
    table = read_transcripts(path)
    assert list(table.columns) == ["sex"]
    assert "more than 100 different values are passed over: audio" in table.notes[0]
    table = read_transcripts(path, columns=[], utterance_columns=["audio"])
    assert list(table.columns) == ["audio"] and table.columns["audio"][119] == "u119.wav"
    with pytest.raises(
        CorpusError, match=r"no column 'sec'\. Did you mean sex\? There are: audio, sex"
    ):
        read_transcripts(path, columns=["sex", "sec"])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no utterances"),
        ("id,speaker,errors,words\n", "holds no utterances"),
        ("utt,speaker,errors,words\n1,a,1,1\n", "lacks the column 'id'.*There are: utt, speaker"),
        ("id,speaker_id,errors,words\n1,a,1,1\n", "'speaker'. Did you mean speaker_id.*pattern"),
        ("id,speaker,refrence,hypothesis\n1,a,b,b\n", "lacks reference, .*mean refrence for refe"),
        ("id,speaker,errors\n1,a,1\n", r"or words \(it has errors alone\)"),
        ("id,speaker,words\n1,a,1\n", r"or errors \(it has words alone\)"),
        ("id,id,speaker\n1,a,1\n", "has the column 'id' twice"),
        (COUNTS + "u5,ann,-1,3\n", "line 6: errors '-1' of u5 is no count of words"),
        (COUNTS + "u5,ann,0.25,3\n", "line 6: errors '0.25' of u5 is no count .* not a rate"),
        (COUNTS + "u5,ann,1,inf\n", "line 6: words 'inf' of u5 is no count"),
        (COUNTS + "u5,ann,one,3\n", "line 6: errors 'one' of u5 is no count"),
        (COUNTS + "u5,ann,1,3,4\n", "line 6 has 5 fields, the header 4"),
        (TEXTS + 'u5,ann,"a"b,a,F\n', "line 6: .* double those inside"),
        (TEXTS + 'u5,ann,"a b,a,F\nu6,ann,a,a,F\n', "line 7: .* quotation mark"),
        ('{"id": "u1"\n', "line 1 is not JSON"),
        ('{"id": "u1", "speaker": "s", "errors": 1, "words": 1}\n[1]\n', "line 2 is not a JSON ob"),
        ('[{"id": "u1"}]', "is a JSON list; write its objects one a line"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(CorpusError, match=said):
        read_transcripts(write(tmp_path, text))


def test_names_and_patterns_that_do_not_fit(tmp_path: Path) -> None:
    path = write(tmp_path, "id,reader,errors,words\nu1,ann,1,1\n")
    assert read_transcripts(path, names={"speaker": "reader"}).speakers == ("ann",)
    with pytest.raises(CorpusError, match="no column 'raeder', .* hold speaker. Did you mean read"):
        read_transcripts(path, names={"speaker": "raeder"})
    with pytest.raises(CorpusError, match="who speaks in 'u1'"):
        read_transcripts(path, speaker_pattern="(x).*")
    with pytest.raises(CorpusError, match="has no group"):
        read_transcripts(path, speaker_pattern="x")
    with pytest.raises(CorpusError, match="no regular expression"):
        read_transcripts(path, speaker_pattern="(")
    with pytest.raises(CorpusError, match="leave out the speaker pattern"):
        read_transcripts(path, names={"speaker": "reader"}, speaker_pattern="(.).*")
    heard = write(tmp_path, "u1 a\n", "heard")
    with pytest.raises(CorpusError, match=r"lacks reference\. There are"):
        read_transcripts(path, names={"speaker": "reader"}, hypotheses=heard)
    with pytest.raises(CorpusError, match=r"lacks reference and hypothesis\. There are"):
        read_transcripts(path, names={"speaker": "reader"}, normalizer=str.lower)


def test_not_text_not_there_and_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"id,speaker\n1,\xff\n")
    with pytest.raises(CorpusError, match="not UTF-8"):
        read_transcripts(tmp_path / "a.csv")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_transcripts(tmp_path / "b.csv")
    with pytest.raises(CorpusError, match=r"is a folder; give a file in it: a\.csv"):
        read_transcripts(tmp_path)


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("split", "system", "wer", "num_utterances"),
    [
        ("test-clean", "rnnt", 3.65, 2620),
        ("test-other", "rnnt", 9.61, 2939),
        ("test-clean", "rnnt_nnlm", 2.79, 2620),
        ("test-other", "rnnt_nnlm", 7.35, 2939),
    ],
)
def test_published_error_rates(
    realdata: Path, split: str, system: str, wer: float, num_utterances: int
) -> None:
    folder = realdata / "asr_hypotheses"
    table = read_transcripts(
        folder / f"{split}.ref.tsv",
        hypotheses=folder / f"{split}.{system}.tsv",
        speaker_pattern="([^-]+)-.*",
    )
    assert len(table) == num_utterances and table.notes == ()
    assert round(100 * table.errors.sum() / table.words.sum(), 2) == wer
    assert table.cells().num_speakers == (40 if split == "test-clean" else 33)


def test_what_programs_write_for_unknown_is_pointed_at(tmp_path: Path) -> None:
    text = TEXTS.replace("cid", "nan").replace("no,no,F", "no,no,NaN")
    table = read_transcripts(write(tmp_path, text))
    assert table.columns["sex"] == ("F", "M", "M", "NaN"), "it may be a name all the same"
    said = " ".join(table.notes)
    assert "'nan' counts as the name of one speaker; where it stands for unknown" in said
    assert "column 'sex': 'NaN' counts as a group like any other; where it stands" in said


def test_repeated_utterance_of_another_group_is_said(tmp_path: Path) -> None:
    table = read_transcripts(write(tmp_path, TEXTS + "u2,bob,yes,yes,F\n"))
    assert table.columns["sex"][1] == "M"
    assert table.notes[0].endswith("counted once (they differ in sex; the first counts): u2")


def test_many_empty_hypotheses_are_said(tmp_path: Path) -> None:
    rows = [f"u{n},s{n},yes,{'yes' if n > 5 else ''}" for n in range(20)]
    path = write(tmp_path, "id,speaker,reference,hypothesis\n" + "\n".join(rows) + "\n")
    assert "6 of 20 utterances have an empty hypothesis" in only_note(read_transcripts(path))
    path = write(tmp_path, "id,speaker,reference,hypothesis\n" + "\n".join(rows[4:]) + "\n")
    assert read_transcripts(path).notes == ()


def test_places_by_other_names_are_pointed_at(tmp_path: Path) -> None:
    text = "id,speaker,errors,words,Lat,lng,zipcode\nu1,a,0,3,1,2,10001\nu2,b,1,3,2,2,10001\n"
    said = " ".join(read_transcripts(write(tmp_path, text), columns=[]).notes)
    for theirs, ours in (("Lat", "latitude"), ("lng", "longitude"), ("zipcode", "zip")):
        assert f"column {theirs!r} is not read as {ours}; name it so" in said
