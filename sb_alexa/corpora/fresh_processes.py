"""Run a function on each item in a process of its own, started from a clean interpreter."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing.connection import Connection, wait
from typing import Any, BinaryIO, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# A caller may have imported torch, started threads, or be a script without a main guard: none of it
# may reach the workers. So a clean interpreter is started first, and it is that one which forks.
_BOOT = (
    "import pickle, sys; sys.path[:] = pickle.load(sys.stdin.buffer); "
    "from sb_alexa.corpora.fresh_processes import serve; serve()"
)
_ENVIRONMENT = {
    **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")},
    "VECLIB_MAXIMUM_THREADS": "1",
    # By default glibc gives every array of some 100 KiB back to the system at once; the page faults
    # cost a quarter of the time of the embedded corpus. Other C libraries ignore these.
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
}


def map_in_fresh_processes(
    function: Callable[[Item], Result], items: Iterable[Item], *, num_workers: int | None = None
) -> Generator[tuple[int, Result], None, None]:
    """Yield (index, function(item)) for each item, as they are finished.

    Arguments
    ---------
    function : callable
        A function of an importable module, or a functools.partial of one.
    items : iterable
        Picklable arguments. Closing the returned generator ends the processes.
    num_workers : int, optional
        Processes at a time. Default: the number of processors this process may use.

    Raises
    ------
    ValueError
        If num_workers is below 1.
    RuntimeError
        If a worker fails or dies; the message holds the worker's own traceback.

    Example
    -------
    >>> sorted(map_in_fresh_processes(abs, [-1, -2, 3], num_workers=2))
    [(0, 1), (1, 2), (2, 3)]
    """
    if num_workers is None:
        num_workers = available_processors()
    if num_workers < 1:
        raise ValueError(f"num_workers must be >= 1, got {num_workers}")
    return _results(function, list(items), num_workers)


def available_processors() -> int:
    """Return the number of processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _results(
    function: Callable[[Item], Result], items: list[Item], num_workers: int
) -> Generator[tuple[int, Result], None, None]:
    server = subprocess.Popen(
        [sys.executable, "-c", _BOOT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **_ENVIRONMENT},
    )
    assert server.stdin is not None and server.stdout is not None
    try:
        # The server reports its own failures; a broken pipe would only hide them.
        with contextlib.suppress(BrokenPipeError):
            pickle.dump(sys.path, server.stdin)
            pickle.dump((function, items, num_workers), server.stdin)
            server.stdin.close()
        for _ in items:
            try:
                index, failure, payload = pickle.load(server.stdout)
            except (EOFError, pickle.UnpicklingError) as error:
                code = server.wait()
                raise RuntimeError(f"the worker server ended early (exit code {code})") from error
            if failure is not None:
                raise RuntimeError(f"item {index} failed in its worker process:\n{failure}")
            yield index, pickle.loads(payload)
    finally:
        server.terminate()
        server.stdout.close()
        server.wait()


def serve() -> None:
    """Read a job from standard input and write its results to standard output."""
    # Ctrl-C reaches the whole process group; the caller alone decides and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # Whatever a library prints must not be taken for a result.
    results = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    function, items, num_workers = pickle.load(sys.stdin.buffer)
    with contextlib.suppress(BrokenPipeError):
        _run_all(function, items, num_workers, results)


def _run_all(
    function: Callable[[Any], Any], items: list[Any], num_workers: int, results: BinaryIO
) -> None:
    can_fork = "fork" in multiprocessing.get_all_start_methods()
    context: Any = multiprocessing.get_context("fork" if can_fork else "spawn")
    waiting = deque(enumerate(items))
    running: dict[Any, tuple[int, Any]] = {}
    while waiting or running:
        while waiting and len(running) < num_workers:
            index, item = waiting.popleft()
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(function, item, sender), daemon=True)
            process.start()
            sender.close()
            running[receiver] = (index, process)
        for ready in wait(list(running)):
            index, process = running.pop(ready)
            failure, payload = _receive(ready)  # type: ignore[arg-type]
            process.join()
            if payload is None and failure is None:
                failure = f"the process died with exit code {process.exitcode}"
            pickle.dump((index, failure, payload), results)
            results.flush()
            if failure is not None:
                return


def _receive(receiver: Connection) -> tuple[str | None, bytes | None]:
    try:
        failure, payload = receiver.recv()
    except EOFError:
        return None, None
    finally:
        receiver.close()
    return failure, payload


def _work(function: Callable[[Any], Any], item: Any, sender: Connection) -> None:
    # The server's handler raises, and an exception inside a C callback is only printed.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        sender.send((None, pickle.dumps(function(item))))
    except Exception:
        sender.send((traceback.format_exc(), None))
    finally:
        sender.close()
