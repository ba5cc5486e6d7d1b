from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.bench import fair_training
from sb_alexa.bench.fair_discovery import OTHERS, WORST, find_regions, finders, read_tested
from sb_alexa.bench.fair_figures import figures
from sb_alexa.bench.fair_results import FairComparison
from sb_alexa.bench.fair_training_plan import BASE, TEST_SPLIT, FairPlan
from sb_alexa.bench.fair_training_report import markdown
from sb_alexa.corpora.speaker_table import read_speaker_table
from sb_alexa.corpora.synthetic_folder import speakers_csv
from sb_alexa.corpora.transcript_table import read_transcripts
from sb_alexa.corpora.voices import EASTERN_ACCENTS, Speaker, make_speakers
from sb_alexa.training.cohort_speakers import read_cohort_speakers

TESTED = make_speakers(240, seed=0, first_id=30001)
TRAINED = make_speakers(32, seed=0, first_id=10001)
WORDS = 25
# Errors in 100 words of speakers with a common and with a rare accent, and how seeds differ.
RATES = {
    BASE: (6.0, 24.0),
    "plain": (10.0, 10.0),
    "l2_1": (9.0, 11.0),
    "l2_100": (6.0, 16.0),
    "ewc_1": (9.0, 10.0),
    "ewc_100": (6.0, 12.0),
    "slow": (7.0, 13.0),
    "replay": (7.0, 14.0),
}
SEED_STEP = 1.0
METHODS, LAMBDAS = ("plain", "l2", "ewc", "slow", "replay"), (100.0, 1.0)


def is_rare(speaker: Speaker) -> bool:
    return speaker.accent in EASTERN_ACCENTS


def errors_of(speaker: Speaker, arm: str, seed: int) -> list[int]:
    """Of two utterances; speakers differ from each other in the same way for every arm."""
    rate = (RATES[arm][is_rare(speaker)] + SEED_STEP * seed) / 100.0
    generator = np.random.default_rng([speaker.speaker_id, seed])
    return [int((generator.random(WORDS) < rate).sum()) for _ in range(2)]


def write_run(folder: Path, arm: str, seed: int) -> None:
    """What the recipe leaves, as far as the benchmark reads it."""
    (folder / "wer").mkdir(parents=True)
    (folder / "prepared").mkdir()
    lines = [
        {
            "id": f"{who.speaker_id}-{number}",
            "speaker": str(who.speaker_id),
            "errors": errors,
            "words": WORDS,
        }
        for who in TESTED
        for number, errors in enumerate(errors_of(who, arm, seed))
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "wer" / f"{TEST_SPLIT}.jsonl").write_text(text)
    (folder / "results.json").write_text("{}")
    (folder / "prepared" / "speakers.csv").write_text(speakers_csv([*TRAINED, *TESTED]))
    with (folder / "prepared" / "train.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ID", "duration", "wav", "spk_id", "wrd"])
        for who in TRAINED[: 16 if arm == BASE else None]:  # the others were recorded later
            for number in range(3):
                rows.writerow([f"{who.speaker_id}-{number}", 1.0, "a.flac", who.speaker_id, "YES"])


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> FairPlan:
    """Two finished seeds of every arm."""
    folder = tmp_path_factory.mktemp("fair")
    corpus = folder / "corpus"
    for split in ("train-clean", "train-new", "dev-clean", TEST_SPLIT):
        (corpus / split).mkdir(parents=True)
    train = {"rare_accents": dict.fromkeys(EASTERN_ACCENTS, 0.1)}
    stamp = {"arguments": {"splits": {"train-clean": train}}}
    (corpus / "synthetic_corpus.json").write_text(json.dumps(stamp))
    made = FairPlan(folder, corpus, METHODS, LAMBDAS, num_seeds=2, min_speakers=20)
    for seed in made.seeds:
        for arm in (BASE, *made.arms):
            write_run(made.folder(arm, seed), arm, seed)
        made.folder("fisher", seed).mkdir()
        (made.folder("fisher", seed) / "model.safetensors").touch()
    return made


@pytest.fixture(scope="module")
def comparison(plan: FairPlan) -> FairComparison:
    return FairComparison.read(plan)


@pytest.fixture(scope="module")
def found(comparison: FairComparison) -> dict[str, float | None]:
    return figures(comparison)


def pooled(plan: FairPlan, arm: str, *, inside: bool | None = None) -> float:
    """WER of the half that measures, all seeds together, counted by hand."""
    errors = words = 0
    for seed in plan.seeds:
        measuring = ~finders(read_tested(plan.folder(BASE, seed), TEST_SPLIT))
        held_out = {who for who, is_held in zip(_speakers(plan), measuring, strict=True) if is_held}
        worst = plan.regions().worst
        for who in TESTED:
            is_inside = (
                worst.south < who.latitude <= worst.north
                and worst.west < who.longitude <= worst.east
            )
            if str(who.speaker_id) in held_out and inside in (None, is_inside):
                errors += sum(errors_of(who, arm, seed))
                words += 2 * WORDS
    return 100.0 * errors / words


def _speakers(plan: FairPlan) -> tuple[str, ...]:
    return read_tested(plan.folder(BASE, 0), TEST_SPLIT).speakers


def test_runs_of_a_plan(plan: FairPlan) -> None:
    jobs = {job.name: job for job in plan.jobs()}
    arms = ["plain", "l2_1", "l2_100", "ewc_1", "ewc_100", "slow", "replay"]
    of_seeds = [f"{name}-{seed}" for seed in (0, 1) for name in ("fisher", *arms)]
    assert list(jobs) == ["base-0", "base-1", *of_seeds]
    assert jobs["base-0"].num_steps > jobs["plain-0"].num_steps
    assert "pretrained_folder" not in jobs["base-1"].options()
    for seed in (0, 1):
        for arm in arms:
            job = jobs[f"{arm}-{seed}"]
            assert job.seed == seed and job.needs[:2] == ("base-0", "base-1")
            options = job.options()
            assert options["pretrained_folder"] == plan.folder(BASE, seed)
            assert options["cohort_speakers"] == plan.output / "regions.json"
            assert options["cohort_names"] == ["R1"]
            assert options["train_splits"] == ["train-clean", "train-new"]
            assert options["word_pieces_file"] == plan.folder(BASE, seed) / "word_pieces.model"
    # Its Fisher information is that of the speech the base was trained on.
    fisher = jobs["fisher-1"]
    assert fisher.needs == ("base-0", "base-1") and not {"train_splits"} & set(fisher.options())
    assert jobs["ewc_100-1"].needs == ("base-0", "base-1", "fisher-1")
    assert jobs["l2_100-1"].needs == ("base-0", "base-1")
    file = plan.folder(BASE, 0) / "fisher.safetensors"
    assert jobs["ewc_100-0"].options()["elastic"] == f"{{weight: 100.0, fisher_file: '{file}'}}"
    assert jobs["l2_1-0"].options()["elastic"] == "{weight: 1.0}"
    assert jobs["slow-0"].options()["lr"] == "0.0003" and "lr" not in jobs["plain-0"].options()


def test_every_option_is_a_key_of_its_yaml(plan: FairPlan) -> None:
    """The recipe refuses others, after the minutes of the runs before."""
    from sb_alexa.assets import find_recipe
    from sb_alexa.training.configuration import Configuration

    for job in plan.jobs():
        path = find_recipe(job.recipe).find_hparams(job.hparams)
        options = job.options()
        text = "\n".join(f"{key}: {value}" for key, value in options.items())
        configuration = Configuration.from_file(path, text)  # refuses unknown keys
        assert configuration.values()["data_folder"] == str(plan.corpus)
        if job.name.startswith(("l2", "ewc")):
            weight = float(job.name.split("_")[1].split("-")[0])
            assert f"weight: {weight}" in configuration.text
            uses_fisher = str(job.name.startswith("ewc"))
            assert f"use_fisher: {uses_fisher}".lower() in configuration.text.lower()


def test_a_finished_base_is_taken_as_it_is(plan: FairPlan, tmp_path: Path) -> None:
    base = plan.folder(BASE, 0)
    with pytest.raises(ValueError, match=r"base-0 has no model\.safetensors"):
        FairPlan(tmp_path, plan.corpus, base=base)
    (base / "model.safetensors").touch()
    try:
        jobs = FairPlan(tmp_path, plan.corpus, ("plain",), base=base, min_speakers=20).jobs()
    finally:
        (base / "model.safetensors").unlink()
    assert [job.name for job in jobs] == ["plain-0", "plain-1"]
    assert not any(job.needs for job in jobs)
    assert {job.options()["pretrained_folder"] for job in jobs} == {base}
    assert (tmp_path / "regions.json").is_file()


def test_discovery_finds_the_rare_accents_without_labels(
    plan: FairPlan, comparison: FairComparison
) -> None:
    region = comparison.region
    assert region.name == "R1" and region.num_regions >= 2
    south, north, west, east = region.borders
    assert -94 < west < -82 and (south, north, east) == (-90.0, 90.0, 180.0)
    at_home = [who for who in TESTED if who.longitude > west]
    assert region.num_speakers == len(at_home)
    assert 0.3 < region.num_held_out / region.num_speakers < 0.7
    assert region.rare_share is not None and region.rare_share > 0.8
    assert region.rare_found is not None and region.rare_found > 0.8
    near = [who for who in TRAINED if who.longitude > west]
    assert region.num_training == len(near) > 0
    assert region.num_training_utterances == 3 * len(near)
    # What the recipe makes of the file is the same.
    speakers = plan.folder(BASE, 0) / "prepared" / "speakers.csv"
    chosen = read_cohort_speakers(plan.output / "regions.json", ["R1"], speakers_csv=speakers)
    assert chosen == {str(who.speaker_id) for who in [*at_home, *near]}


def test_the_halves_are_those_of_every_run(plan: FairPlan) -> None:
    halves = {
        tuple(finders(read_tested(plan.folder(arm, seed), TEST_SPLIT)))
        for arm in (BASE, "plain")
        for seed in plan.seeds
    }
    assert len(halves) == 1
    half = np.array(next(iter(halves)))
    assert half.sum() == half.size / 2 and (half[::2] == half[1::2]).all()  # whole speakers


def test_a_region_stays_when_seeds_are_added(plan: FairPlan, comparison: FairComparison) -> None:
    """Arms of the first seeds were trained for it."""
    path = plan.output / "regions.json"
    before = path.read_bytes()
    assert comparison.region.num_bases == 2
    fewer = FairPlan(plan.output, plan.corpus, ("plain",), num_seeds=1, min_speakers=20)
    assert fewer.regions().tree == plan.regions().tree and path.read_bytes() == before
    assert FairComparison.read(fewer).region.num_bases == 2
    other = FairPlan(plan.output, plan.corpus, ("plain",), num_seeds=1, min_speakers=40)
    with pytest.raises(ValueError, match="other cohorts than regions of at least 40 speakers"):
        other.regions()


def test_rates_are_those_of_the_half_that_measures(
    plan: FairPlan, found: dict[str, float | None]
) -> None:
    for arm in RATES:
        for part, inside in (("overall", None), ("worst", True), ("others", False)):
            expected = pooled(plan, arm, inside=inside)
            assert found[f"{arm}_{part}_wer"] == pytest.approx(expected)
            low, high = found[f"{arm}_{part}_wer_low"], found[f"{arm}_{part}_wer_high"]
            assert low is not None and high is not None and low < expected < high
    seeds = [found[f"ewc_1_worst_wer_seed_{seed}"] for seed in (0, 1)]
    assert found["ewc_1_worst_wer"] == pytest.approx(np.mean(seeds))  # type: ignore[arg-type]
    assert found["held_out_speakers"] == 120 and found["held_out_words"] == 120 * 2 * WORDS


def test_differences(plan: FairPlan, found: dict[str, float | None]) -> None:
    for arm, other in (("plain", None), ("ewc_1", "plain"), ("ewc_100", "l2_100")):
        key = f"{arm}_minus_{other}" if other else arm
        expected = pooled(plan, arm, inside=True) - pooled(plan, other or BASE, inside=True)
        assert found[f"{key}_worst_difference"] == pytest.approx(expected)
    high = found["plain_worst_difference_high"]
    low = found["plain_others_difference_low"]
    assert high is not None and high < 0 and low is not None and low > 0
    relative = 100.0 * (pooled(plan, "plain") / pooled(plan, BASE) - 1.0)
    assert found["plain_overall_relative"] == pytest.approx(relative)
    assert not any(name.startswith(BASE) and "difference" in name for name in found)


def test_lambda_is_chosen_by_the_half_that_found_the_regions(
    plan: FairPlan, comparison: FairComparison, found: dict[str, float | None]
) -> None:
    """With lambda 1 the others pay for the worst region; with 100 nobody does."""
    assert comparison.chosen == {"l2": "l2_100", "ewc": "ewc_100"}
    assert found["ewc_chosen_lambda"] == 100.0
    assert found["ewc_chosen_worst_wer"] == found["ewc_100_worst_wer"]
    assert (
        found["ewc_chosen_minus_l2_chosen_worst_difference"]
        == found["ewc_100_minus_l2_100_worst_difference"]
    )
    on_finders = [run.rate("worst", finders=True) for run in comparison.arms["ewc_100"].runs]
    assert found["ewc_100_worst_wer_of_finders"] == pytest.approx(np.mean(on_finders))
    assert on_finders != list(comparison.arms["ewc_100"].by_seed("worst"))


def test_the_truth_beside_what_was_found(found: dict[str, float | None]) -> None:
    share, number = found["worst_region_rare_share"], found["worst_region_held_out_speakers"]
    assert share is not None and number is not None
    assert share * number == pytest.approx(round(share * number))
    rates = {name: found[f"base_accent_{name}_wer"] for name in ("scottish", "american")}
    assert rates["scottish"] > 2 * rates["american"]  # type: ignore[operator]
    assert found["accent_scottish_training_speakers"] == 2


def test_tables_for_the_audit(comparison: FairComparison, plan: FairPlan, tmp_path: Path) -> None:
    paths = comparison.write_transcripts(tmp_path)
    assert [path.name for path in paths] == [f"{arm}.jsonl" for arm in (BASE, *plan.arms)]
    base, plain = (read_transcripts(path) for path in paths[:2])
    assert base.ids == plain.ids and len(base) == 2 * 2 * 120 and len(set(base.speakers)) == 120
    assert not base.notes
    inside = np.array(base.columns["region"]) == WORST
    assert set(base.columns["region"]) == {WORST, OTHERS} and base.latitude is not None
    rate = 100.0 * plain.errors[inside].sum() / plain.words[inside].sum()
    assert rate == pytest.approx(pooled(plan, "plain", inside=True))


def test_markdown(comparison: FairComparison) -> None:
    text = markdown(comparison)
    assert "Found with the results of 2 bases." in text
    assert "Rare in training: scottish, west_midlands" in text
    assert "| scottish (rare)" in text and "| american " in text
    assert "longitude > -8" in text
    row = next(line for line in text.splitlines() if line.startswith("| plain  "))
    assert row.count("**") == 4  # the worst region gains, the others pay
    assert "ewc_100 minus l2_100" in text and "ewc_1 minus ewc_100" not in text
    assert "nothing about seeds other than these 2" in text
    assert "6,000 words of 120 held-out speakers" in text


def test_nothing_to_mitigate(plan: FairPlan, tmp_path: Path) -> None:
    folder = tmp_path / "even"
    write_run(folder, "plain", 0)
    with pytest.raises(ValueError, match="there is nothing to mitigate"):
        find_regions([folder], TEST_SPLIT, tmp_path / "regions.json", min_speakers=20)
    (folder / "prepared" / "speakers.csv").write_text(
        "speaker,gender\n" + "".join(f"{who.speaker_id},F\n" for who in TESTED)
    )
    with pytest.raises(ValueError, match="has no latitude and longitude"):
        find_regions([folder], TEST_SPLIT, tmp_path / "regions.json", min_speakers=20)


def test_runs_that_cannot_be_compared(plan: FairPlan, tmp_path: Path) -> None:
    other = FairPlan(tmp_path, plan.corpus, ("plain",), num_seeds=1, min_speakers=20)
    write_run(other.folder(BASE, 0), BASE, 0)
    write_run(other.folder("plain", 0), "plain", 0)
    path = other.folder("plain", 0) / "wer" / f"{TEST_SPLIT}.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(
        ValueError, match="plain-0 and the base were tested on different utterances"
    ):
        FairComparison.read(other)
    path.unlink()
    with pytest.raises(ValueError, match="was not tested on test-clean"):
        FairComparison.read(other)


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    fair_training.add_arguments(parser)
    return fair_training.run(parser.parse_args(arguments))


def test_command_reports_finished_runs(
    plan: FairPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs made by hand in the same layout are recognised: nothing is trained."""
    path = tmp_path / "figures.json"
    where = ["--output", str(plan.output), "--corpus", str(plan.corpus), "--min-speakers", "20"]
    assert _run(*where, "--lambdas", "1", "100", "--json", str(path)) == 0
    content = json.loads(path.read_text())
    assert content["command"] == "bench fair-training"
    assert content["figures"]["ewc_chosen_lambda"] == 100.0
    assert (plan.output / "report.md").read_text().strip() in capsys.readouterr().out
    assert (plan.output / "report.png").stat().st_size > 5_000
    assert (plan.output / "transcripts" / "ewc_100.jsonl").is_file()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seeds", "0"), "seeds must be >= 1"),
        (("--jobs", "0"), "num_parallel must be >= 1"),
        (("--steps", "1"), "num_steps must be >= 2"),
        (("--base-steps", "1"), "base_steps must be >= 2"),
        (("--methods", "ewc"), "name it among the methods"),
        (("--methods", "plain", "ecw"), "methods are some of plain, l2, ewc, slow, replay"),
        (("--lambdas", "0", "1"), "lambda 0 is plain"),
        (("--lambdas", "1", "1"), "named twice"),
        (("--base", "nowhere"), "has no model.safetensors"),
        (("--set", "elastic=5"), "elastic is set by this benchmark"),
        (("--corpus", "nowhere"), "lacks train-clean, train-new, dev-clean, test-clean"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], words: str, plan: FairPlan, tmp_path: Path) -> None:
    where = ["--corpus", str(plan.corpus), "--output", str(tmp_path / "output")]
    with pytest.raises(ValueError, match=words):
        _run(*where, *arguments)


def test_speakers_are_joined_by_what_the_recipe_prepared(plan: FairPlan) -> None:
    table = read_tested(plan.folder(BASE, 0), TEST_SPLIT)
    known = read_speaker_table(plan.folder(BASE, 0) / "prepared" / "speakers.csv")
    assert set(table.columns) == {"gender", "accent"}
    assert table.columns["accent"][0] == known.rows[table.speakers[0]]["accent"]
