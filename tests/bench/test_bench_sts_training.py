from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from sb_alexa.bench import sts_training
from sb_alexa.bench.sts_training_plan import ARMS, BASE, TurnsPlan
from sb_alexa.bench.sts_training_report import TurnsComparison, markdown
from sb_alexa.bench.tested_groups import TestedGroups

# For each arm: errors without and with overlap of 20 words each, wrong turn counts of 4 groups,
# latency of the end of turns.
OUTCOMES = {"sts": (2, 4, 1, 400.0), "single_channel": (2, 10, 2, 900.0), "cot": (2, 5, 2, None)}
CONDITIONS = ("0L", "0S", "OV10", "OV20", "OV30", "OV40")


def write_run(folder: Path, arm: str, seed: int) -> None:
    """What the recipe leaves, as far as the benchmark reads it; each seed adds an error."""
    alone, overlapped, wrong, latency = OUTCOMES[arm]
    lines = []
    for condition in CONDITIONS:
        for session in range(3):
            for group in range(4):
                errors = alone if condition in ("0L", "0S") else overlapped
                one = {
                    "id": f"{condition}-{session}-{group}",
                    "session": f"{condition}-{session}",
                    "condition": condition,
                    "errors": errors + seed,
                    "words": 20,
                    "turns": 3 if group % 2 else 1,
                    "turns_right": int(group >= wrong),
                }
                times = [] if latency is None else [latency, latency + 100.0 * session]
                names = ("end_point", "last_piece", "start_point", "first_piece")
                lines.append(one | {f"{name}_ms": times for name in names})
    (folder / "wer").mkdir(parents=True)
    (folder / "wer" / "groups.jsonl").write_text("".join(json.dumps(one) + "\n" for one in lines))
    (folder / "results.json").write_text("{}")


@pytest.fixture
def plan(tmp_path: Path) -> TurnsPlan:
    for folder in ("corpus/train-clean", "meetings/OV40", "pretrain"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "pretrain" / "model.safetensors").touch()
    plan = TurnsPlan(
        tmp_path, tmp_path / "corpus", tmp_path / "meetings", tuple(OUTCOMES), num_seeds=2
    )
    for seed in plan.seeds:
        for arm in plan.arms:
            write_run(plan.folder(arm, seed), arm, seed)
    return plan


def test_runs_of_a_plan(plan: TurnsPlan) -> None:
    jobs = plan.jobs()
    assert [job.name for job in jobs] == [
        *("pretrain", "sts-0", "single_channel-0", "cot-0", "sts-1", "single_channel-1", "cot-1")
    ]
    assert len({job.num_steps for job in jobs[1:]}) == 1
    for job in jobs[1:]:
        assert job.needs == ("pretrain",)
        assert job.options()["pretrained_folder"] == jobs[0].folder


def test_a_finished_start_is_taken_as_it_is(plan: TurnsPlan, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "model.safetensors").touch()
    given = TurnsPlan(plan.output, plan.corpus, plan.meetings, pretrained=tmp_path / "other")
    jobs = given.jobs()
    assert [job.name for job in jobs] == [f"{arm}-{seed}" for seed in range(3) for arm in ARMS]
    assert {job.options()["pretrained_folder"] for job in jobs} == {tmp_path / "other"}
    pieces = tmp_path / "other" / "word_pieces.model"  # maybe of other text than the corpus
    assert {job.options()["word_pieces_file"] for job in jobs} == {pieces}
    assert not any(job.needs for job in jobs)


def test_every_option_is_a_key_of_its_yaml(tmp_path: Path) -> None:
    """The recipe refuses others, after the hours of the runs before."""
    from sb_alexa.assets import find_recipe
    from sb_alexa.training.configuration import Configuration

    for job in TurnsPlan(tmp_path, tmp_path, tmp_path, num_seeds=1).jobs():
        path = find_recipe(job.recipe).find_hparams(job.hparams)
        keys = {key: str(value) for key, value in job.options().items()}
        assert set(keys) <= set(Configuration.from_file(path, keys).values())


def test_shorter_trainings_shrink_their_schedules(tmp_path: Path) -> None:
    whole = TurnsPlan(tmp_path, tmp_path, tmp_path).jobs()
    short = TurnsPlan(
        tmp_path,
        tmp_path,
        tmp_path,
        pretrain_steps=whole[0].num_steps // 5,
        num_steps=whole[1].num_steps // 10,
    ).jobs()
    for number, key, factor in ((0, "ctc_only_steps", 5), (1, "warmup_steps", 10)):
        before, after = whole[number].options()[key], short[number].options()[key]
        assert isinstance(before, int) and before > 1
        assert after == pytest.approx(before / factor, abs=0.51)


def test_figures(plan: TurnsPlan) -> None:
    figures = TurnsComparison.read(plan).figures()
    assert figures["sts_wer_no_overlap"] == pytest.approx(12.5)  # 2 and 3 of 20 words
    assert figures["single_channel_wer_ov20_to_ov40"] == pytest.approx(52.5)
    # Within each pair first: 10 against 4, 11 against 5.
    assert figures["single_channel_wer_ov20_to_ov40_relative"] == pytest.approx(135.0)
    assert figures["single_channel_wer_no_overlap_points"] == 0.0
    assert figures["cot_wer_all_points"] == pytest.approx(100 * (4 * 1) / (6 * 20))
    assert figures["sts_turn_accuracy"] == 75.0 and figures["cot_turn_accuracy"] == 50.0
    assert figures["sts_turn_accuracy_above_two"] == 100.0
    assert figures["cot_turn_accuracy_points"] == -25.0  # right ones, not wrong ones
    assert figures["cot_turn_accuracy_above_two_points"] == -50.0
    assert figures["sts_end_point_p50_ms"] == 400.0 and figures["sts_end_point_p90_ms"] == 600.0
    assert figures["single_channel_end_point_p50_ms_more"] == 500.0
    assert figures["cot_end_point_p50_ms"] is None and figures["cot_end_point_p50_ms_low"] is None
    assert (figures["seeds"], figures["test_groups"], figures["test_words"]) == (2, 72, 1440)
    low, high = figures["sts_wer_all_low"], figures["sts_wer_all_high"]
    assert low is not None and high is not None and low < figures["sts_wer_all"] < high  # type: ignore[operator]


def test_markdown(plan: TurnsPlan) -> None:
    text = markdown(TurnsComparison.read(plan))
    assert "| sts | two channels, `<sot>` and `<eot>` | 12.5 (" in text
    assert "| single_channel | +135.0 % (" in text
    assert "| -25.0 (-25.0 to -25.0) |  |  |" in text  # <cot> ends no turn
    assert "1440 words in 72 utterance groups of 18 sessions" in text
    assert "2 seeds and the test sessions" in text


def test_runs_tested_on_other_groups_are_refused(plan: TurnsPlan) -> None:
    path = plan.folder("cot", 1) / "wer" / "groups.jsonl"
    path.write_text("\n".join(path.read_text().splitlines()[:-1]) + "\n")
    with pytest.raises(ValueError, match="different groups"):
        TurnsComparison.read(plan)


def test_runs_that_cannot_be_read(plan: TurnsPlan, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="was not tested on groups"):
        TestedGroups.read(tmp_path / "nothing")
    path = plan.folder(BASE, 0) / "wer" / "groups.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    old: list[Mapping[str, object]] = [
        {name: value for name, value in line.items() if not name.endswith("_ms")} for line in lines
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in old))
    with pytest.raises(ValueError, match="has no latencies"):
        TestedGroups.read(plan.folder(BASE, 0))


def _run(*arguments: str) -> int:
    parser = argparse.ArgumentParser()
    sts_training.add_arguments(parser)
    return sts_training.run(parser.parse_args(arguments))


def test_command_reports_finished_runs(
    plan: TurnsPlan, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Runs made by hand in the same layout are recognised: nothing is trained."""
    path = tmp_path / "figures.json"
    where = ["--output", str(tmp_path), "--corpus", str(plan.corpus)]
    where += ["--meetings", str(plan.meetings), "--arms", *OUTCOMES]
    assert _run(*where, "--seeds", "2", "--json", str(path)) == 0
    content = json.loads(path.read_text())
    assert content["command"] == "bench sts-training"
    assert content["figures"]["sts_wer_no_overlap"] == pytest.approx(12.5)
    assert (tmp_path / "report.md").read_text().strip() in capsys.readouterr().out
    assert (tmp_path / "report.png").stat().st_size > 5_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--seeds", "0"), "seeds must be >= 1"),
        (("--jobs", "0"), "num_parallel must be >= 1"),
        (("--steps", "1"), "num_steps must be >= 2"),
        (("--arms", "cot", "sts"), "first arm must be sts"),
        (("--arms", "sts", "pti"), "arms are some of sts, single_channel"),
        (("--set", "libricss_folder=x"), "libricss_folder is set by this benchmark"),
        (("--pretrained", "nowhere"), "name the output folder of a finished run"),
        (("--corpus", "nowhere"), "lacks train-clean"),
        (("--meetings", "nowhere"), "holds no 0L"),
    ],
)
def test_bad_input(arguments: tuple[str, ...], words: str, plan: TurnsPlan, tmp_path: Path) -> None:
    where = ["--corpus", str(plan.corpus), "--meetings", str(plan.meetings)]
    with pytest.raises(ValueError, match=words):
        _run(*where, "--output", str(tmp_path / "output"), *arguments)
