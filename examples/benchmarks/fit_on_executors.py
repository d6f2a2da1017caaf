"""One fit without an executor, on workers of dask and on ranks of MPI: checksums, and where the time goes.

    python examples/benchmarks/fit_on_executors.py train.extxyz --every 3 --json fit_on_executors.json

Of each process it gives the CPU time for the design matrix, whose sums are what is distributed: on cores of
their own, the slowest process decides how long it takes. The time by the clock is given too; it means
something where nothing else runs. Needs the extra `distributed`.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from ase_scatter import FitSettings, read_frames
from ase_scatter.compute.executors import Workers
from ase_scatter.compute.files import write_whole
from ase_scatter.structures.dataset import elements_of
from ase_scatter.training.chunks import chunk_memory, summed
from ase_scatter.training.design_matrix import Problem
from ase_scatter.training.fitting import solve

SITES = {"cutoff": 4.5, "first": (3,), "inner": (1,), "outer": (1,), "triple": 0}
SETTINGS = FitSettings(sites=SITES, columns=100, folds=4, members=0, sigma_energy=1e-3, ridge=1e-9)


def timed(function: Callable[..., Any], *arguments: Any) -> tuple[Any, int, float, float]:
    """What a function gives, the process, its CPU time for it, and the most memory it has had (MB)."""
    import os
    import resource
    import time

    begin = time.process_time()
    result = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return result, os.getpid(), time.process_time() - begin, peak


class Watched(Workers):
    """Notes what each worker does."""

    def __init__(self, executor: Any) -> None:
        super().__init__(executor)
        self.seconds: dict[int, float] = defaultdict(float)
        self.peak: dict[int, float] = {}

    def in_order(self, function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> Iterator[Any]:
        """See `Workers`."""
        for result, process, seconds, peak in super().in_order(timed, [(function, *job) for job in jobs]):
            self.seconds[process] += seconds
            self.peak[process] = peak
            yield result


def one(path: str, every: int, executor: str | None) -> dict[str, Any]:
    """A fit here, or on an executor."""
    frames = read_frames(path)[::every]
    elements = elements_of(frame.system for frame in frames)
    workers = None if executor is None else Watched(executor)
    with threadpool_limits(1):
        problem = Problem(SETTINGS, elements, frames, 1, False)
        problem.rows((0, problem.frames[0]))  # compiled code is loaded
        begin, clock = time.process_time(), time.perf_counter()
        normals = summed(problem, workers)
        seconds, clock = time.process_time() - begin, time.perf_counter() - clock
    if workers is not None:
        workers.close()
    model, _, _ = solve(problem, normals, SETTINGS)
    largest = max(len(frame.system) for frame in frames)
    return {
        "executor": executor.split(":")[0] if executor else "none",
        "checksum": model.hash,
        "frames": len(frames),
        "atoms": sum(len(frame.system) for frame in frames),
        "candidates": problem.width,
        "main_process_s": seconds,
        "workers_s": sorted(workers.seconds.values()) if workers else [],
        "workers_peak_MB": sorted(workers.peak.values()) if workers else [],
        "chunk_memory_MB": chunk_memory(problem.width, largest, SETTINGS.dtype) / 1e6,
        "clock_s": clock,
    }


def main(arguments: list[str] | None = None) -> int:
    """Run all; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("train", help="training data")
    parser.add_argument("--every", type=int, default=1, help="use one frame of so many")
    parser.add_argument("--json", type=Path, help="write all numbers there")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.one:
        name = None if options.one == "none" else options.one
        print(json.dumps(one(options.train, options.every, name)))
        return 0

    from distributed import LocalCluster

    script = [__file__, options.train, "--every", str(options.every), "--one"]

    def run(before: list[str], name: str) -> dict[str, Any]:
        done = subprocess.run([*before, *script, name], stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        print(f"{found['executor']} is done", file=sys.stderr, flush=True)
        return found

    python = sys.executable
    mpiexec = shutil.which("mpiexec", path=str(Path(python).parent)) or "mpiexec"
    results = [run([python], "none")]
    with LocalCluster(2, threads_per_worker=1, dashboard_address=None) as cluster:
        results.append(run([python], cluster.scheduler_address.replace("tcp", "dask")))
    results.append(run([mpiexec, "-n", "3", python, "-m", "mpi4py.futures"], "mpi"))
    serial = results[0]["main_process_s"]
    for result in results:
        # Main processes of MPI wait busily: their CPU time is not work.
        working = [] if result["executor"] == "mpi" else [result["main_process_s"]]
        slowest = max(result["workers_s"] + working)
        result["sooner"] = serial / slowest
        busy = " ".join(f"{seconds:.1f}" for seconds in result["workers_s"])
        print(
            f"{result['executor']:5} {result['checksum']}  main {result['main_process_s']:.1f} s, workers "
            f"{busy or '-'} s: {result['sooner']:.2f} times sooner; {result['clock_s']:.1f} s by the clock"
        )
    if options.json:
        write_whole(options.json, json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
