from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sb_alexa.corpora.fresh_processes import map_in_fresh_processes


def _process(_: int) -> tuple[int, int]:
    return os.getpid(), os.getppid()


def _loaded_and_printing(name: str) -> bool:
    print("not a result")
    return name in sys.modules


def _environment(name: str) -> str | None:
    return os.environ.get(name)


def _fail_on_three(item: int) -> int:
    if item == 3:
        raise KeyError("the third")
    return item


def _die_on_two(item: int) -> int:
    if item == 2:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def _sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("num_workers", [1, 3])
def test_every_item_has_a_process_of_its_own(num_workers: int) -> None:
    results = dict(map_in_fresh_processes(_process, range(5), num_workers=num_workers))
    assert sorted(results) == [0, 1, 2, 3, 4]
    workers = {worker for worker, _ in results.values()}
    assert len(workers) == 5 and os.getpid() not in workers


def test_results_come_as_they_are_finished() -> None:
    results = map_in_fresh_processes(_sleep, [1.0, 0.0], num_workers=2)
    assert [index for index, _ in results] == [1, 0]


def test_one_thread_in_each_worker() -> None:
    results = map_in_fresh_processes(_environment, ["OMP_NUM_THREADS"], num_workers=1)
    assert list(results) == [(0, "1")]


def test_no_item_starts_nothing() -> None:
    assert list(map_in_fresh_processes(_process, [])) == []


def test_what_is_printed_is_not_a_result(capfd: pytest.CaptureFixture[str]) -> None:
    results = list(map_in_fresh_processes(_loaded_and_printing, ["sys"], num_workers=1))
    assert results == [(0, True)]
    assert "not a result" in capfd.readouterr().err


def test_a_failure_carries_the_traceback_of_the_worker() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)item 1 failed .*_fail_on_three.*the third"):
        list(map_in_fresh_processes(_fail_on_three, [1, 3, 5], num_workers=1))


def test_a_worker_that_dies_is_reported() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)item 2 .*exit code -9"):
        list(map_in_fresh_processes(_die_on_two, [0, 1, 2, 3], num_workers=1))


def test_at_least_one_worker() -> None:
    with pytest.raises(ValueError, match="num_workers must be >= 1, got 0"):
        map_in_fresh_processes(_process, [1], num_workers=0)


def test_closing_ends_the_processes() -> None:
    results = map_in_fresh_processes(_process, range(2000), num_workers=1)
    _, (_, server) = next(results)
    assert _is_alive(server)
    results.close()
    assert not _is_alive(server)


def test_a_script_needs_no_main_guard(tmp_path: Path) -> None:
    """Workers start from a clean interpreter, not from the caller's script."""
    script = tmp_path / "script.py"
    script.write_text(
        "import threading, time\n"
        "from sb_alexa.corpora.fresh_processes import map_in_fresh_processes\n"
        "threading.Thread(target=time.sleep, args=(0.2,)).start()\n"
        "print('started')\n"
        "print(sorted(map_in_fresh_processes(abs, [-1, -2], num_workers=2)))\n"
    )
    ran = subprocess.run(
        [sys.executable, script],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ran.stdout.split("\n") == ["started", "[(0, 1), (1, 2)]", ""]
