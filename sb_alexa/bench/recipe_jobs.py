"""Runs of a recipe, several at a time, each in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sb_alexa.demo.progress import TrainingProgress
from sb_alexa.demo.terminal import StatusLine, minutes
from sb_alexa.training.configuration import Configuration
from sb_alexa.training.interruption import StopRequest

_POLL_SECONDS = 0.5
_SHOWN_LINES = 12


class RecipeFailed(RuntimeError):
    """A recipe ended with an error; the message holds the end of its log."""


@dataclass(frozen=True)
class RecipeJob:
    """One run of a recipe.

    Arguments
    ---------
    name : str
        Unique among the jobs.
    recipe, hparams : str
        Such as ``LibriSpeech/ASR`` and ``mini``.
    folder : Path
        The run's output folder.
    seed, num_steps : int
        Of the training; steps of the optimizer.
    options : Callable
        Returns further keys and values for the command line; called when the job starts, since
        values may depend on the results of the jobs before.
    result : str
        The file in `folder` that tells that the run is finished.
    needs : tuple of str
        Names of the jobs that have to be finished before.
    """

    name: str
    recipe: str
    hparams: str
    folder: Path
    seed: int
    num_steps: int
    options: Callable[[], Mapping[str, object]]
    result: str = "results.json"
    needs: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether the run left its result."""
        return (self.folder / self.result).is_file()

    @property
    def step(self) -> int:
        """Optimizer steps done, as far as they were logged."""
        return min(TrainingProgress.read(self.folder).step, self.num_steps)

    def command(self) -> list[str]:
        """The program and its arguments: what a user would type."""
        keys = {
            "output_folder": self.folder,
            "seed": self.seed,
            "num_steps": self.num_steps,
            **self.options(),
        }
        program = [sys.executable, "-m", "sb_alexa.cli", "recipe", self.recipe, self.hparams]
        return [*program, *(f"--{key}={value}" for key, value in keys.items()), "--noprogressbar"]

    def check_earlier_run(self) -> None:
        """Refuse a folder in which another training lies.

        Raises
        ------
        ValueError
            If a run was begun there with another seed or number of steps.
        """
        path = self.folder / "run" / "train.yaml"
        there = Configuration.from_file(path).values() if path.is_file() else {}
        for key in ("seed", "num_steps"):
            if key in there and there[key] != getattr(self, key):
                raise ValueError(
                    f"{self.folder} holds a run with {key} {there[key]}, asked for is "
                    f"{getattr(self, key)}; choose another output folder, or delete this run"
                )


def run_jobs(
    jobs: Sequence[RecipeJob], *, num_parallel: int, folder: Path, status: StatusLine
) -> None:
    """Run what is not finished yet; return when everything is.

    Each process gets one thread. What a run prints is appended to ``<folder>/logs/<name>.txt``.
    SIGINT and SIGTERM let every run save its state before this function ends; a second one kills
    them, which costs the steps since their last checkpoint. The same call continues.

    Arguments
    ---------
    jobs : sequence of RecipeJob
        Those that are needed stand before those that need them.
    num_parallel : int
        Processes at a time.
    folder : Path
        Of the logs; only one process works in it at a time.
    status : StatusLine
        Shows the progress.

    Raises
    ------
    RecipeFailed
        If a run ends with an error; the others save their state.
    ValueError
        If an earlier command still works in the folder, or a job needs one that does not exist.
    KeyboardInterrupt
        After a request to stop.
    """
    if num_parallel < 1:
        raise ValueError(f"num_parallel must be >= 1, got {num_parallel}")
    known: set[str] = set()
    for job in jobs:
        missing = [name for name in job.needs if name not in known]
        if missing:
            raise ValueError(f"{job.name} needs {', '.join(missing)}, which must stand before it")
        known.add(job.name)
    with _sole_use(folder) as lock, StopRequest() as stop:
        _Queue(jobs, num_parallel, folder, lock, status).run(stop)


class _Queue:
    """The jobs that wait, and those at work."""

    def __init__(
        self,
        jobs: Sequence[RecipeJob],
        num_parallel: int,
        folder: Path,
        lock: IO[str],
        status: StatusLine,
    ) -> None:
        self._jobs = jobs
        self._num_parallel = num_parallel
        self._folder = folder
        self._lock = lock
        self._status = status
        self._waiting = [job for job in jobs if not job.is_finished]
        self._done = {job.name for job in jobs if job.is_finished}
        self._running: dict[str, tuple[RecipeJob, subprocess.Popen[bytes], float]] = {}
        self._since = time.monotonic()
        self._steps_before = self._steps()

    def run(self, stop: StopRequest) -> None:
        if self._done and self._waiting:
            self._status.finish(f"finished before: {', '.join(sorted(self._done))}")
        try:
            while self._waiting or self._running:
                if stop.requested:
                    self._status.finish("stopping: the runs save their state")
                    raise KeyboardInterrupt(
                        "the runs saved their state: the same command continues"
                    )
                self._collect()
                self._start()
                if self._running:
                    self._show()
                time.sleep(_POLL_SECONDS)
        finally:
            self._end()
        self._status.finish()

    def _start(self) -> None:
        for job in list(self._waiting):
            if len(self._running) == self._num_parallel:
                return
            if self._done.issuperset(job.needs):
                self._waiting.remove(job)
                self._running[job.name] = (job, self._launch(job), time.monotonic())

    def _launch(self, job: RecipeJob) -> subprocess.Popen[bytes]:
        path = self._log_path(job)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as log:
            return subprocess.Popen(
                job.command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
                # Ctrl-C shall reach the runs once, through this process; and the lock is theirs
                # too, should this process be killed and leave them behind.
                start_new_session=True,
                pass_fds=(self._lock.fileno(),) if os.name == "posix" else (),
            )

    def _collect(self) -> None:
        for name, (job, process, since) in list(self._running.items()):
            code = process.poll()
            if code is None:
                continue
            del self._running[name]
            if code != 0 or not job.is_finished:
                raise RecipeFailed(
                    f"{name} ended with exit code {code} and without {job.folder / job.result}; "
                    f"the end of {self._log_path(job)}:\n{self._log_end(job)}"
                )
            self._done.add(name)
            self._status.finish(f"{name}: finished after {minutes(time.monotonic() - since)}")

    def _show(self) -> None:
        parts = []
        for job, _, _ in self._running.values():
            step = job.step
            doing = f"step {step} of {job.num_steps}" if step < job.num_steps else "testing"
            parts.append(f"{job.name} {doing if step else 'preparing'}")
        text = f"{len(self._done)} of {len(self._jobs)} runs done; {', '.join(parts)}"
        made = self._steps() - self._steps_before
        if made > 0:
            rate = made / (time.monotonic() - self._since)
            left = sum(job.num_steps for job in self._jobs) - self._steps()
            text += f"; about {minutes(left / rate)} left"
        self._status.show(text)

    def _steps(self) -> int:
        """Of all runs; of those that wait too, which an earlier command may have begun."""
        return sum(job.num_steps if job.name in self._done else job.step for job in self._jobs)

    def _end(self) -> None:
        processes = [process for _, process, _ in self._running.values()]
        for process in processes:
            # Not SIGINT: a process started in the background ignores it.
            process.terminate()
        try:
            for process in processes:
                process.wait()
        except KeyboardInterrupt:
            for process in processes:
                process.kill()
                process.wait()
            raise

    def _log_path(self, job: RecipeJob) -> Path:
        return self._folder / "logs" / f"{job.name}.txt"

    def _log_end(self, job: RecipeJob) -> str:
        text = self._log_path(job).read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-_SHOWN_LINES:])


@contextmanager
def _sole_use(folder: Path) -> Iterator[IO[str]]:
    """Hold a lock that ends with the last process that inherited it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w", encoding="utf-8") as file:
        try:
            import fcntl
        except ImportError:  # not on Windows
            yield file
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ValueError(
                f"an earlier command, or runs it left behind, still work in {folder}; wait for "
                "them or end them, or choose another folder"
            ) from error
        yield file
