from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sb_alexa.bench import speaker_training
from sb_alexa.bench.speaker_comparison import SpeakersComparison
from sb_alexa.bench.speaker_run import SpeakerRun, WeightLog
from sb_alexa.bench.speaker_training_plan import ARMS, BASE, SpeakerPlan
from sb_alexa.bench.speaker_training_report import markdown
from sb_alexa.inference.score_files import write_scores
from sb_alexa.inference.scored_trials import ScoredTrials
from sb_alexa.inference.verification_settings import write_verification

ACCENTS = ("american", "british", "caribbean", "scottish")
# Ten of each accent and gender, so that the cells of both are ranked too.
SPEAKERS = {f"id{number:02d}": ("FM"[number % 2], ACCENTS[number // 2 % 4]) for number in range(80)}
# How far targets lie above non-targets, in standard deviations; Scottish speakers are hard.
LIFTS = {BASE: 1.0, "aam": 4.0, "pw": 2.5}
OTHERS_LIFT = 4.0
WEIGHTS = {"american": 0.97, "british": 0.98, "caribbean": 0.99, "scottish": 1.06}
SETTINGS = {"num_bootstrap_samples": "40", "test_lists": "[veri_test.txt]"}


def scored(arm: str, seed: int) -> ScoredTrials:
    """Each speaker four times against the own voice, once against others of the own cell."""
    generator = np.random.default_rng([seed, *arm.encode()])
    enrol, test, scores = [], [], []
    for one, cell in SPEAKERS.items():
        for other, other_cell in SPEAKERS.items():
            if cell != other_cell:
                continue
            for session in range(4 if one == other else 1):
                lift = LIFTS[arm] if cell[1] == "scottish" else OTHERS_LIFT
                enrol.append(f"{one}/s0/1")
                test.append(f"{other}/s1/{session}")
                scores.append(generator.normal() + lift * (one == other))
    sides = ([name[:4] for name in enrol], [name[:4] for name in test])
    return ScoredTrials(
        arm,
        np.array(scores),
        np.array([one == other for one, other in zip(*sides, strict=True)]),
        enrol=enrol,
        test=test,
        enrol_speakers=sides[0],
        test_speakers=sides[1],
    )


def weight_events(seed: int) -> list[dict[str, object]]:
    """60 steps in four epochs; weights at the end differ from those before."""
    events: list[dict[str, object]] = [
        {"event": "train", "step": 10, "epoch": 1, "seconds": 1.0, "loss": 9.0},
    ]
    for step, entropy in ((20, 0.99), (40, 0.95), (60, 0.91)):
        batches = {"weight_entropy": entropy, "weight_spread": 0.1 + 0.1 * seed}
        events.append({"event": "train", "step": step, "epoch": 1, "seconds": 1.0, **batches})
        late = {f"weight_nationality_{name}": weight for name, weight in WEIGHTS.items()}
        early = dict.fromkeys(late, 5.0)
        groups = {"weight_gender_F": 0.9 + 0.1 * seed, "weight_gender_M": 1.05}
        of_epoch = {"event": "train", "step": step, "epoch": 1, "seconds": 1.0, "loss": 1.0}
        groups |= late if step > 45 else early
        events.append({**of_epoch, "end_of_epoch": True, **groups})
    return events


def write_run(folder: Path, arm: str, seed: int) -> None:
    """What the recipe leaves, as far as the benchmark reads it."""
    trials = scored(arm, seed)
    (folder / "report" / "veri_test").mkdir(parents=True)
    write_scores(folder / "report" / "veri_test" / "scores.csv", trials)
    (folder / "model.safetensors").write_bytes(b"weights")
    write_verification(
        folder, cohort=None, calibration=None, threshold=2.0 + seed, target_prior=0.01
    )
    events = weight_events(seed) if arm == "pw" else weight_events(seed)[:1]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (folder / "train_log.jsonl").write_text(lines)
    (folder / "prepared").mkdir()
    with (folder / "prepared" / "speakers.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["speaker", "gender", "nationality"])
        writer.writerows([speaker, *cell] for speaker, cell in SPEAKERS.items())


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> SpeakerPlan:
    folder = tmp_path_factory.mktemp("runs")
    (folder / "corpus").mkdir()
    (folder / "corpus" / "veri_test.txt").touch()
    plan = SpeakerPlan(folder, folder / "corpus", tuple(LIFTS), num_seeds=2, settings=SETTINGS)
    for seed in plan.seeds:
        for arm in plan.arms:
            write_run(plan.folder(arm, seed), arm, seed)
    return plan


@pytest.fixture(scope="module")
def comparison(plan: SpeakerPlan) -> SpeakersComparison:
    return SpeakersComparison.read(plan)


def eer(arm: str, seed: int, accent: str | None = None) -> float:
    from sb_alexa.metrics.verification import equal_error_rate

    trials = scored(arm, seed)
    assert trials.enrol_speakers is not None
    inside = np.array([accent in (None, SPEAKERS[one][1]) for one in trials.enrol_speakers])
    return equal_error_rate(trials.scores[inside], trials.is_target[inside]).rate


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def test_runs_of_a_plan(plan: SpeakerPlan) -> None:
    jobs = plan.jobs()
    assert [job.name for job in jobs] == [
        *("baseline-0", "aam-0", "pw-0", "baseline-1", "aam-1", "pw-1")
    ]
    assert [job.hparams for job in jobs[:3]] == ["mini", "mini_aam", "mini_arw_pw"]
    assert len({job.num_steps for job in jobs}) == 1
    assert [job.seed for job in jobs] == [0, 0, 0, 1, 1, 1]
    assert all(job.is_finished for job in jobs)
    assert jobs[0].options()["num_bootstrap_samples"] == "40"


def test_a_run_is_finished_after_its_last_test(plan: SpeakerPlan, tmp_path: Path) -> None:
    """results.json is there from the first test list on."""
    job = SpeakerPlan(tmp_path, plan.corpus).jobs()[0]
    job.folder.mkdir()
    (job.folder / "results.json").write_text("{}")
    assert not job.is_finished


def test_every_option_is_a_key_of_its_yaml(tmp_path: Path) -> None:
    """The recipe refuses others, after the hours of the runs before."""
    from sb_alexa.assets import find_recipe
    from sb_alexa.training.configuration import Configuration

    for job in SpeakerPlan(tmp_path, tmp_path, tuple(ARMS), num_seeds=1).jobs():
        path = find_recipe(job.recipe).find_hparams(job.hparams)
        keys = {key: str(value) for key, value in job.options().items()}
        assert set(keys) <= set(Configuration.from_file(path, keys).values())


def test_shorter_trainings_shrink_their_schedules(tmp_path: Path) -> None:
    whole = SpeakerPlan(tmp_path, tmp_path).jobs()[1]
    steps = whole.num_steps // 10
    short = SpeakerPlan(tmp_path, tmp_path, num_steps=steps).jobs()[1]
    shortest = SpeakerPlan(tmp_path, tmp_path, num_steps=2).jobs()[1]
    assert short.num_steps == steps
    for key in ("warmup_steps", "adversary_warmup_batches"):
        before, after = whole.options()[key], short.options()[key]
        assert isinstance(before, int) and before > 1
        assert after == pytest.approx(before / 10, abs=0.51)
        assert shortest.options()[key] == 1  # the schedule of the learning rate takes no 0


def test_reading_a_run(plan: SpeakerPlan) -> None:
    run = SpeakerRun.read(plan.folder("pw", 1), "veri_test")
    assert run.threshold == 3.0
    assert len(run.trials) == 80 * (4 + 9) and run.trials.is_target.sum() == 320
    np.testing.assert_array_equal(run.trials.scores, scored("pw", 1).scores)
    assert run.weights is not None
    assert run.weights.entropy == pytest.approx(0.95) and run.weights.spread == pytest.approx(0.2)
    assert run.weights.late_weights["weight_nationality_scottish"] == pytest.approx(1.06)
    assert SpeakerRun.read(plan.folder(BASE, 1), "veri_test").weights is None


def test_epochs_count_by_their_steps() -> None:
    """The last epoch may be a few batches long."""
    epochs: list[dict[str, object]] = [
        {"event": "train", "step": 70, "end_of_epoch": True, "weight_gender_F": 9.0},
        {"event": "train", "step": 98, "end_of_epoch": True, "weight_gender_F": 1.0},
        {"event": "train", "step": 100, "end_of_epoch": True, "weight_gender_F": 2.5},
        {"event": "valid", "step": 100, "eer": 3.0},
    ]
    batches: list[dict[str, object]] = [
        {"event": "train", "step": 50, "weight_entropy": 1.0, "weight_spread": 0.0}
    ]
    log = WeightLog.of([*batches, *epochs])
    assert log is not None
    assert log.late_weights == {"weight_gender_F": pytest.approx((28 * 1.0 + 2 * 2.5) / 30)}
    assert WeightLog.of(epochs) is None


def test_rates(comparison: SpeakersComparison) -> None:
    figures = comparison.figures()
    for arm in LIFTS:
        assert figures[f"{arm}_eer"] == pytest.approx(mean([eer(arm, seed) for seed in (0, 1)]))
        hard = mean([eer(arm, seed, "scottish") for seed in (0, 1)])
        assert figures[f"{arm}_nationality_scottish_eer"] == pytest.approx(hard)
        assert figures[f"{arm}_worst_nationality_eer"] == pytest.approx(hard)
    assert figures["nationality_scottish_worst"] == 1 and figures["nationality_british_worst"] == 0
    assert figures["nationality_scottish_speakers"] == 20
    assert figures["nationality_scottish_trials"] == 20 * (4 + 9)
    assert figures["gender_x_nationality_f_scottish_speakers"] == 10
    assert figures["gender_x_nationality_f_scottish_ranked"] == 1
    sizes = [figures[n] for n in ("seeds", "trials", "target_trials", "speakers")]
    assert sizes == [2, 1040, 320, 80]
    assert all(value is None or math.isfinite(value) for value in figures.values())


def test_thresholds_are_those_of_each_run(comparison: SpeakersComparison) -> None:
    rates = []
    for seed in (0, 1):
        trials = scored("pw", seed)
        rates.append(100.0 * float((trials.scores[~trials.is_target] >= 2.0 + seed).mean()))
    assert comparison.figures()["pw_fmr"] == pytest.approx(mean(rates))
    assert rates[0] > rates[1]


def test_differences_keep_the_baselines_worst_group(comparison: SpeakersComparison) -> None:
    """Of AAM another group may be the worst by now; compared is the one that was hard before."""
    figures = comparison.figures()
    for arm in ("aam", "pw"):
        expected = mean(
            [eer(arm, seed, "scottish") - eer(BASE, seed, "scottish") for seed in (0, 1)]
        )
        assert figures[f"{arm}_worst_nationality_eer_difference"] == pytest.approx(expected)
        assert expected < -10
    assert figures["aam_worst_nationality_eer"] == figures["aam_nationality_scottish_eer"]
    gap = figures["pw_gap_nationality_difference"]
    assert gap is not None and gap < 0
    assert figures["pw_eer_difference_low"] < figures["pw_eer_difference"] < 0  # type: ignore[operator]
    assert not any(name.startswith(f"{BASE}_") and "difference" in name for name in figures)


def test_weights_beside_errors(comparison: SpeakersComparison, plan: SpeakerPlan) -> None:
    figures = comparison.figures()
    assert figures["pw_gender_f_weight"] == pytest.approx(0.95)  # 0.9 and 1.0
    assert figures["pw_gender_f_weight_low"] == pytest.approx(0.95 - 12.706 * 0.05, abs=1e-3)
    assert figures["pw_nationality_scottish_weight"] == pytest.approx(1.06)
    assert figures["pw_weight_spread"] == pytest.approx(0.15)
    adversary = comparison.arms["pw"].adversary
    assert adversary is not None and list(adversary.correlations) == ["nationality"]
    eers = [figures[f"baseline_nationality_{name}_eer"] for name in WEIGHTS]
    from scipy import stats

    expected = stats.spearmanr(eers, list(WEIGHTS.values())).statistic
    assert figures["pw_rank_correlation_nationality"] == pytest.approx(expected)
    assert 0 < figures["pw_rank_correlation_nationality_p"] <= 1  # type: ignore[operator]
    assert comparison.arms["aam"].adversary is None
    assert "pw_gender_x_nationality_f_scottish_weight" not in figures  # training logs columns


def test_markdown(comparison: SpeakersComparison) -> None:
    text = markdown(comparison)
    assert "## By nationality; hardest for the baseline: scottish" in text
    assert "## Groups: pw and baseline" in text and "## Groups: aam and baseline" in text
    row = next(line for line in text.splitlines() if line.startswith("| nationality: scottish"))
    assert [cell.strip() for cell in row.split("|")][2:4] == ["20", "260"]
    assert "of 4 groups (p = " in text
    assert "1,040 trials of 80 unseen speakers, 320 of the same speaker" in text
    assert "other seeds (2 of them)" in text and "still favours the other arms" in text


def test_an_adversary_that_never_set_in_is_named(plan: SpeakerPlan, tmp_path: Path) -> None:
    short = SpeakerPlan(tmp_path, plan.corpus, num_seeds=1, settings=SETTINGS)
    for arm in short.arms:
        write_run(short.folder(arm, 0), arm, 0)
    (short.folder("pw", 0) / "train_log.jsonl").write_text("")
    found = SpeakersComparison.read(short)
    assert found.arms["pw"].adversary is None
    assert "pw: the adversary never set in" in markdown(found)
    assert "one seed says nothing about others" in markdown(found)


def test_runs_that_cannot_be_compared(plan: SpeakerPlan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not tested on veri_test_hard"):
        SpeakerRun.read(plan.folder(BASE, 0), "veri_test_hard")
    other = SpeakerPlan(tmp_path, plan.corpus, num_seeds=1, settings=SETTINGS)
    for arm in other.arms:
        write_run(other.folder(arm, 0), arm, 0)
    path = other.folder("pw", 0) / "report" / "veri_test" / "scores.csv"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ValueError, match="compared on the same trials"):
        SpeakersComparison.read(other)
    (other.folder("pw", 0) / "verification.json").unlink()
    with pytest.raises(ValueError, match="no threshold was fitted"):
        SpeakersComparison.read(other)


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    speaker_training.add_arguments(parser)
    return speaker_training.run(parser.parse_args(arguments))


def test_command_reports_finished_runs(
    plan: SpeakerPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs made by hand in the same layout are recognised: nothing is trained."""
    path = tmp_path / "figures.json"
    where = ["--output", str(plan.output), "--corpus", str(plan.corpus), "--arms", *LIFTS]
    settings = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    assert _run(*where, *settings, "--seeds", "2", "--json", str(path)) == 0
    content = json.loads(path.read_text())
    assert content["command"] == "bench speaker-training"
    assert content["figures"]["pw_nationality_scottish_weight"] == pytest.approx(1.06)
    assert (plan.output / "report.md").read_text().strip() in capsys.readouterr().out
    assert (plan.output / "report.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seeds", "0"), "seeds must be >= 1"),
        (("--jobs", "0"), "num_parallel must be >= 1"),
        (("--steps", "1"), "num_steps must be >= 2"),
        (("--arms", "pw", "baseline"), "first arm must be baseline"),
        (("--arms", "baseline", "wp"), "arms are some of baseline, aam, aps, pl, pw"),
        (("--arms", "baseline", "baseline"), "each once"),
        (("--list", "veri_tset"), "must be one of veri_test"),
        (("--set", "num_steps=5"), "num_steps is set by this benchmark"),
        (("--set", "num_dev_speakers=0"), "fitted on trials of development speakers"),
        (("--set", "num_clusters=5"), "unknown key 'num_clusters'"),
        (("--corpus", "nowhere"), "lacks veri_test.txt"),
    ],
)
def test_bad_input(
    arguments: tuple[str, ...], words: str, plan: SpeakerPlan, tmp_path: Path
) -> None:
    where = ["--corpus", str(plan.corpus), "--output", str(tmp_path / "output")]
    with pytest.raises(ValueError, match=words):
        _run(*where, "--set", "test_lists=[veri_test.txt]", *arguments)
