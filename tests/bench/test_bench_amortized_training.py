from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sb_alexa.bench import amortized_training, amortized_training_plan
from sb_alexa.bench.amortized_training_plan import ARMS, ExperimentPlan, experiment_splits
from sb_alexa.bench.amortized_training_report import Comparison, markdown
from sb_alexa.bench.paired_runs import RunResult, read_gate_rates
from sb_alexa.bench.recipe_jobs import RecipeJob
from sb_alexa.corpora.librispeech_layout import SplitSpec
from tests.recipes.conftest import write_corpus

NUM_SPEAKERS, WORDS_EACH = 8, 100
# Errors of each speaker, compute, and keep rates of queries, keys and feed-forward modules.
OUTCOMES: dict[str, tuple[int, float, tuple[float, float, float] | None]] = {
    "dense": (10, 1.0, None),
    "amortized": (11, 0.45, (0.3, 0.4, 0.5)),
    "random": (22, 0.5, (0.31, 0.41, 0.51)),
    "smaller": (15, 1.0, (1.0, 1.0, 1.0)),
}
# Multiply-adds of an utterance; the compute of a run is relative to its own dense encoder.
MACS = {"dense": 1000, "smaller": 600}
TINY = {
    "batch_size": 4, "num_word_pieces": 30, "joint_size": 16, "embedding_size": 16, "n_mels": 16,
    "d_model": 16, "d_ffn": 1024, "num_layers": 6, "device": "cpu",
}  # fmt: skip


def write_run(folder: Path, arm: str, seed: int, *, split: str = "test-clean") -> None:
    """What the recipe leaves, as far as the benchmark reads it; each seed adds an error."""
    errors, compute, rates = OUTCOMES[arm]
    lines = [
        {
            "id": f"{speaker}-{part}",
            "speaker": str(speaker),
            "errors": wrong,
            "words": words,
            **({"gated_macs": MACS[arm]} if arm in MACS else {}),
        }
        for speaker in range(NUM_SPEAKERS)
        for part, wrong, words in ((0, 1, 30), (1, errors - 1 + seed, WORDS_EACH - 30))
    ]
    (folder / "wer").mkdir(parents=True)
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "wer" / f"{split}.jsonl").write_text(text)
    results: dict[str, float] = {"wer": 100.0 * (errors + seed) / WORDS_EACH}
    if rates is not None:
        names = ("query_rate", "key_rate", "feed_forward_rate")
        results |= {"compute": compute, **dict(zip(names, rates, strict=True))}
    (folder / "results.json").write_text(json.dumps({split: results}))


@pytest.fixture
def plan(tmp_path: Path) -> ExperimentPlan:
    plan = ExperimentPlan(tmp_path, tmp_path / "corpus", num_seeds=2)
    for seed in plan.seeds("dense"):
        for arm in ARMS:
            write_run(plan.folder(arm, seed), arm, seed)
    return plan


@pytest.fixture
def plan_with_smaller(plan: ExperimentPlan) -> ExperimentPlan:
    return replace(plan, smaller={"d_ffn": "8"})


def options(jobs: Sequence[RecipeJob], name: str) -> dict[str, object]:
    return dict(next(job for job in jobs if job.name == name).options())


def test_runs_of_a_plan(plan: ExperimentPlan) -> None:
    jobs = plan.jobs()
    names = [job.name for job in jobs]
    assert names == [
        *("phase1", "amortized-0", "dense-0", "amortized-1", "dense-1", "random-0", "random-1")
    ]
    assert [job.seed for job in jobs] == [0, 0, 0, 1, 1, 0, 1]
    assert len({job.num_steps for job in jobs[1:]}) == 1
    first = jobs[0]
    assert options(jobs, "phase1")["phase_one_steps"] == first.num_steps
    for job in jobs[1:]:
        assert job.options()["pretrained_folder"] == first.folder
        assert job.options()["test_splits"] == ["test-clean"]
    assert options(jobs, "amortized-1")["phase_one_steps"] == 0
    assert {job.name: job.needs for job in jobs}["random-1"] == ("phase1", "amortized-1")


def test_a_smaller_encoder_has_both_phases_of_its_own(plan_with_smaller: ExperimentPlan) -> None:
    jobs = plan_with_smaller.jobs()
    first = {job.name: job for job in jobs}["smaller-phase1"]
    assert options(jobs, "smaller-phase1")["d_ffn"] == "8"
    assert first.num_steps == jobs[0].num_steps and first.hparams == "amortized_mini_dense"
    for seed in (0, 1):
        job = {job.name: job for job in jobs}[f"smaller-{seed}"]
        assert job.needs == ("smaller-phase1",) and job.hparams == "amortized_mini_dense"
        assert job.options()["pretrained_folder"] == first.folder
        assert job.options()["d_ffn"] == "8"
        assert "d_ffn" not in options(jobs, f"dense-{seed}")


def test_the_size_of_the_smaller_encoder_wins(plan_with_smaller: ExperimentPlan) -> None:
    """``--set d_ffn=768 --smaller d_ffn=224``."""
    jobs = replace(plan_with_smaller, settings={"d_ffn": "9", "lr": "1"}).jobs()
    for name, width in (("phase1", "9"), ("dense-0", "9"), ("smaller-phase1", "8")):
        assert options(jobs, name)["d_ffn"] == width and options(jobs, name)["lr"] == "1"
    assert options(jobs, "smaller-0")["d_ffn"] == "8"


def test_figures_of_a_smaller_encoder(plan_with_smaller: ExperimentPlan) -> None:
    comparison = Comparison.read(plan_with_smaller)
    figures = comparison.figures()
    assert figures["smaller_reduction"] == pytest.approx(40.0)
    assert figures["smaller_relative"] == pytest.approx((400 / 11 + 400 / 12) / 2)
    text = markdown(comparison)
    assert "| smaller against amortized | **+34.8 %** |" in text
    assert "50.0 % with random gates, 40.0 % with the smaller encoder." in text
    assert "| smaller | 0 | 15.00 | 60.0 | 100.0 / 100.0 / 100.0 |" in text
    folder = plan_with_smaller.folder("smaller", 0)
    path = folder / "wer" / "test-clean.jsonl"
    path.write_text(path.read_text().replace("gated_macs", "other"))
    with pytest.raises(ValueError, match="were not written: delete the results.json"):
        Comparison.read(plan_with_smaller)


@pytest.mark.parametrize("smaller", [{}, {"d_ffn": "8"}])
def test_every_option_is_a_key_of_its_yaml(
    plan: ExperimentPlan, smaller: dict[str, object]
) -> None:
    """The recipe refuses others, after the hours of the runs before."""
    from sb_alexa.assets import find_recipe
    from sb_alexa.training.configuration import Configuration

    for job in replace(plan, smaller=smaller).jobs():
        path = find_recipe(job.recipe).find_hparams(job.hparams)
        keys = {key: str(value) for key, value in job.options().items()}
        assert set(keys) <= set(Configuration.from_file(path, keys).values())


def test_random_gates_keep_what_the_amortized_run_of_their_seed_keeps(
    plan: ExperimentPlan,
) -> None:
    for seed, query in ((0, 0.3), (1, 0.25)):
        path = plan.folder("amortized", seed) / "results.json"
        content = json.loads(path.read_text())
        content["test-clean"]["query_rate"] = query
        path.write_text(json.dumps(content))
    for seed, query in ((0, 0.3), (1, 0.25)):
        keys = options(plan.jobs(), f"random-{seed}")
        assert keys["random_query_rate"] == query
        assert (keys["random_key_rate"], keys["random_feed_forward_rate"]) == (0.4, 0.5)


def test_shorter_phases_shrink_their_schedules(tmp_path: Path) -> None:
    whole = ExperimentPlan(tmp_path, tmp_path).jobs()
    one, two = whole[0].num_steps, whole[1].num_steps
    short = ExperimentPlan(
        tmp_path, tmp_path, phase_one_steps=one // 10, num_steps=two // 20
    ).jobs()
    assert (short[0].num_steps, short[1].num_steps) == (one // 10, two // 20)
    for key, factor, name in (
        ("ctc_only_steps", 10, "phase1"),
        ("warmup_steps", 10, "phase1"),
        ("warmup_steps", 20, "dense-0"),
    ):
        before, after = options(whole, name)[key], options(short, name)[key]
        assert isinstance(before, int) and before > 1
        assert after == pytest.approx(before / factor, abs=0.51)


def test_figures(plan: ExperimentPlan) -> None:
    figures = Comparison.read(plan).figures()
    assert figures["dense_wer"] == pytest.approx(10.5)
    assert figures["amortized_wer_seed_1"] == pytest.approx(12.0)
    assert figures["amortized_relative"] == pytest.approx((10 + 100 / 11) / 2)
    assert figures["random_relative"] == pytest.approx((100 + 1100 / 12) / 2)
    low, high = figures["random_relative_low"], figures["random_relative_high"]
    assert low is not None and high is not None and low < 95.8 < high
    assert figures["reduction"] == pytest.approx(55.0)
    assert figures["random_reduction"] == pytest.approx(50.0)
    assert figures["key_rate"] == pytest.approx(0.4)
    assert (figures["seeds"], figures["test_words"], figures["test_speakers"]) == (2, 800, 8)
    assert figures["test_utterances"] == 16


def test_fewer_random_seeds_are_compared_with_their_pairs(plan: ExperimentPlan) -> None:
    fewer = replace(plan, num_control_seeds=1)
    assert "random-1" not in [job.name for job in fewer.jobs()]
    comparison = Comparison.read(fewer)
    assert comparison.figures()["random_relative"] == pytest.approx(100.0)  # of seed 0 alone
    assert comparison.figures()["dense_wer"] == pytest.approx(10.5)
    assert "| random against amortized | **+100.0 %** |" in markdown(comparison)
    with pytest.raises(ValueError, match="0 to 2 of the seeds, got 3"):
        replace(plan, num_control_seeds=3)


def test_without_controls(plan_with_smaller: ExperimentPlan) -> None:
    alone = replace(plan_with_smaller, num_control_seeds=0, smaller={})
    names = [job.name for job in alone.jobs()]
    assert names == ["phase1", "amortized-0", "dense-0", "amortized-1", "dense-1"]
    comparison = Comparison.read(alone)
    assert list(comparison.runs) == ["dense", "amortized"]
    text = markdown(comparison)
    assert "amortized against dense" in text and "random" not in text and "smaller" not in text
    assert "the arbitrators' own included." in text
    with pytest.raises(ValueError, match="no smaller encoder"):
        replace(plan_with_smaller, num_control_seeds=0)


def test_markdown(plan: ExperimentPlan) -> None:
    text = markdown(Comparison.read(plan))
    assert "| dense | 0 | 10.00 | 100.0 | 100.0 / 100.0 / 100.0 |" in text
    assert "| amortized | 1 | 12.00 | 45.0 | 30.0 / 40.0 / 50.0 |" in text
    assert "| amortized against dense | **+9.5 %** |" in text and "| +10.0, +9.1 |" in text
    assert "Counted reduction: **55.0 %**" in text
    assert "800 test words in 16 utterances of 8 unseen speakers" in text
    assert "2 seeds and the test speakers" in text


def test_without_errors_there_is_no_ratio(plan: ExperimentPlan) -> None:
    path = plan.folder("dense", 0) / "wer" / "test-clean.jsonl"
    lines = [{**json.loads(line), "errors": 0} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    comparison = Comparison.read(plan)
    assert comparison.figures()["amortized_relative_low"] is None
    assert comparison.figures()["random_relative"] is not None
    assert "not defined: a run made no error" in markdown(comparison)


def test_runs_tested_on_other_words_are_refused(plan: ExperimentPlan) -> None:
    path = plan.folder("random", 1) / "wer" / "test-clean.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ValueError, match="tested on different words"):
        Comparison.read(plan)


def test_results_that_do_not_fit(tmp_path: Path) -> None:
    write_run(tmp_path / "a", "amortized", 0, split="test-other")
    with pytest.raises(ValueError, match="no results of test-clean, only test-other"):
        RunResult.read(tmp_path / "a", "test-clean")
    write_run(tmp_path / "b", "dense", 0)
    with pytest.raises(ValueError, match="lacks query_rate, key_rate, feed_forward_rate"):
        read_gate_rates(tmp_path / "b", "test-clean")
    (tmp_path / "b" / "results.json").write_text("{")
    with pytest.raises(ValueError, match="is no JSON"):
        RunResult.read(tmp_path / "b", "test-clean")


def test_the_embedded_test_set_is_large() -> None:
    from sb_alexa.corpora.random_streams import Purpose, stream
    from sb_alexa.corpora.sentences import CommandGrammar

    splits = experiment_splits(num_train_speakers=48, hours_of_training=1.0)
    assert splits["train-clean"].num_speakers == 48
    test = splits["test-clean"]
    assert test.num_speakers >= 64
    grammar = CommandGrammar()
    words = sum(
        len(grammar.draw("test", stream(0, Purpose.SENTENCE, 30001 + reader, index)).split())
        for reader in range(test.num_speakers)
        for index in range(test.num_utterances_per_speaker)
    )
    assert words >= 30_000


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    amortized_training.add_arguments(parser)
    return amortized_training.run(parser.parse_args(arguments))


def test_command_reports_finished_runs(
    plan: ExperimentPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs made by hand in the same layout are recognised: nothing is trained."""
    write_corpus(plan.corpus)
    (tmp_path / "phase1").mkdir()
    (tmp_path / "phase1" / "model.safetensors").touch()
    path = tmp_path / "figures.json"
    where = ["--output", str(tmp_path), "--corpus", str(plan.corpus)]
    assert _run(*where, "--seeds", "2", "--json", str(path)) == 0
    content = json.loads(path.read_text())
    assert content["command"] == "bench amortized-training"
    assert content["figures"]["reduction"] == pytest.approx(55.0)
    assert (tmp_path / "report.md").read_text().strip() in capsys.readouterr().out
    assert (tmp_path / "report.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seeds", "0"), "seeds must be >= 1"),
        (("--jobs", "0"), "num_parallel must be >= 1"),
        (("--steps", "1"), "num_steps must be >= 2"),
        (("--set", "lr"), "--set takes KEY=VALUE"),
        (("--set", "data_folder=x"), "data_folder is set by this benchmark"),
        (("--smaller", "d_ffn"), "--smaller takes KEY=VALUE"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], words: str, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    with pytest.raises(ValueError, match=words):
        _run("--corpus", str(corpus), "--output", str(tmp_path / "output"), *arguments)


def test_corpus_without_the_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "train-clean").mkdir()
    with pytest.raises(ValueError, match="lacks dev-clean, test-clean"):
        _run("--corpus", str(tmp_path), "--output", str(tmp_path / "output"))


@pytest.mark.slow
def test_whole_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Corpus, both phases, all arms, report; the same command again trains nothing."""
    splits = {
        "train-clean": SplitSpec(4, 4),
        "dev-clean": SplitSpec(2, 2),
        "test-clean": SplitSpec(3, 3),
    }
    monkeypatch.setattr(amortized_training_plan, "experiment_splits", lambda **_: splits)
    settings = [f"--set={key}={value}" for key, value in TINY.items()]
    arguments = [
        "--output",
        str(tmp_path),
        "--seeds",
        "1",
        "--phase-one-steps",
        "6",
        "--steps",
        "4",
        "--smaller",
        "num_layers=2",
    ]
    path = tmp_path / "figures.json"
    assert _run(*arguments, *settings, "--json", str(path)) == 0
    figures = json.loads(path.read_text())["figures"]
    assert figures["test_speakers"] == 3 and figures["test_utterances"] == 9
    assert figures["phase_one_steps"] == 6 and figures["steps"] == 4
    runs = {arm: RunResult.read(tmp_path / f"{arm}-0", "test-clean") for arm in ARMS}
    assert runs["dense"].compute == 1.0 and figures["reduction"] != 0.0
    # Two of six blocks, and the projections of input and output.
    assert 60 < figures["smaller_reduction"] < 200 / 3
    # Enough gates in nine utterances for the drawn rates to be near those asked for.
    assert runs["random"].rates == pytest.approx(runs["amortized"].rates, abs=0.05)
    for arm in ARMS:
        log = (tmp_path / "logs" / f"{arm}-0.txt").read_text()
        first = "smaller-phase1" if arm == "smaller" else "phase1"
        assert f"loaded from {tmp_path / first}/" in log
    logs = {log.name: log.stat().st_size for log in (tmp_path / "logs").iterdir()}
    names = ["amortized-0", "dense-0", "phase1", "random-0", "smaller-0", "smaller-phase1"]
    assert sorted(logs) == [f"{name}.txt" for name in names]
    assert _run(*arguments, *settings) == 0
    assert {log.name: log.stat().st_size for log in (tmp_path / "logs").iterdir()} == logs
