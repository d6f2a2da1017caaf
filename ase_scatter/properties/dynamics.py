"""Molecular dynamics: constant energy, temperature or pressure, watched by the committee."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
from ase import Atoms, units
from ase.calculators.calculator import BaseCalculator
from ase.constraints import FixCom
from ase.io import Trajectory
from ase.md.bussi import Bussi
from ase.md.langevin import Langevin
from ase.md.verlet import VelocityVerlet
from numpy.typing import NDArray

from ..errors import InputError
from ..units import GPA
from .barostat import BAROSTAT_EVERY, rescale_cell
from .common import frozen_calculator, require_crystal
from .result import Result
from .single_points import can_judge

ENSEMBLES = ("nve", "nvt", "npt")
THERMOSTATS = ("langevin", "bussi")
BEYOND = 1.0
"""Extrapolation grade above which an atom is outside the training data."""


@dataclass(frozen=True)
class Sample:
    """One moment of a run.

    Parameters
    ----------
    step : int
        Steps since the start.
    time : float
        fs since the start.
    temperature : float
        K, of the velocities.
    potential_energy, total_energy : float
        eV, of the whole cell.
    volume : float
        Å³; nan without a volume.
    force_half_width : float
        Largest half-width of the 90 % interval of a force component, eV/Å; nan where it was not asked for.
    grade : float
        Largest extrapolation grade of an atom; nan where it was not asked for.
    """

    step: int
    time: float
    temperature: float
    potential_energy: float
    total_energy: float
    volume: float
    force_half_width: float
    grade: float


COLUMNS = tuple(entry.name for entry in fields(Sample))


@dataclass(frozen=True)
class Dynamics(Result):
    """A run of molecular dynamics.

    Parameters
    ----------
    atoms : Atoms
        The last structure with its velocities, without a calculator.
    samples : list of dict
        The fields of each `Sample`, in the order of time; those of the trajectory first if the run went on
        from one.
    finished : bool
        Whether all steps were made.
    outside : bool
        Whether the run was stopped because an atom was outside the training data.
    """

    atoms: Atoms
    samples: list[dict[str, float]]
    finished: bool
    outside: bool

    def series(self, name: str) -> NDArray[np.float64]:
        """Collect one field of all samples.

        Parameters
        ----------
        name : str
            A field of `Sample`.

        Returns
        -------
        ndarray, shape (samples,)
            The values, in the units of `Sample`.
        """
        return np.array([sample[name] for sample in self.samples], dtype=np.float64)


def molecular_dynamics(
    atoms: Atoms,
    calculator: BaseCalculator,
    *,
    ensemble: Literal["nve", "nvt", "npt"] = "nve",
    thermostat: Literal["langevin", "bussi"] = "langevin",
    temperature: float | tuple[float, float] = 300.0,
    pressure: float = 0.0,
    timestep: float = 1.0,
    steps: int = 1000,
    every: int = 10,
    damping: float = 100.0,
    pressure_damping: float = 1000.0,
    trajectory: str | Path | None = None,
    restart: bool = False,
    watch: int = 0,
    stop_outside: bool = False,
    seed: int = 0,
    observe: Callable[[Sample], None] | None = None,
) -> Dynamics:
    """Run molecular dynamics.

    Parameters
    ----------
    atoms : Atoms
        Two atoms or more; they stay as they are. Velocities are kept. Atoms at rest get velocities of the
        start temperature; where they are at a minimum of the energy, half of it goes into the potential.
    calculator : BaseCalculator
        Any calculator of ASE.
    ensemble : {"nve", "nvt", "npt"}, default "nve"
        What is kept constant: energy (velocity Verlet), temperature, or temperature and pressure. The cell
        changes its size at constant pressure, not its shape.
    thermostat : {"langevin", "bussi"}, default "langevin"
        Friction and noise on each atom, or a random scaling of all velocities, which disturbs the motion less
        but mixes the modes of a cold crystal slowly.
    temperature : float or (float, float), default 300
        K. Of a pair the target changes linearly from the first to the second.
    pressure : float, default 0
        GPa, for "npt".
    timestep : float, default 1
        fs.
    steps : int, default 1000
        Steps of the whole run, those before a restart among them.
    every : int, default 10
        Steps from one sample, and from one frame of the trajectory, to the next.
    damping : float, default 100
        Relaxation time of the thermostat, fs; for Langevin the inverse of the friction.
    pressure_damping : float, default 1000
        Relaxation time of the barostat, fs, for a bulk modulus of 100 GPa; a softer crystal reacts later.
    trajectory : str or Path, optional
        A .traj file of ASE for the frames.
    restart : bool, default False
        Whether the run goes on from the last frame of the trajectory. It then takes the same course as a
        run without a stop.
    watch : int, default 0
        Steps from one look at the committee to the next, a multiple of `every`; 0 for none.
    stop_outside : bool, default False
        Whether the run stops when a look finds an atom of a grade above 1.
    seed : int, default 0
        Of the random numbers.
    observe : callable, optional
        Called with each `Sample`.

    Returns
    -------
    Dynamics
        The last structure and the samples.

    Raises
    ------
    InputError
        If a setting is out of range or does not go with another, the calculator has no committee to be
        watched, the trajectory cannot be gone on with, or an energy is not finite.

    References
    ----------
    Bussi, Donadio and Parrinello, J. Chem. Phys. 126, 014101 (2007), https://doi.org/10.1063/1.2408420
    Bernetti and Bussi, J. Chem. Phys. 153, 114107 (2020), https://doi.org/10.1063/5.0020514
    """
    first, last = temperature if isinstance(temperature, tuple) else (temperature, temperature)
    _require(atoms, ensemble, thermostat, (first, last), steps, every, watch)
    _require_positive(timestep=timestep, damping=damping, pressure_damping=pressure_damping)
    if (watch or stop_outside) and not can_judge(calculator):
        raise InputError("only a model with a committee can be watched")
    if stop_outside and not watch:
        raise InputError("a run stops outside the training data only where it is watched; give watch too")
    if restart and trajectory is None:
        raise InputError("a run goes on from its trajectory; give one")

    samples: list[Sample] = []
    if restart:
        moving, samples = _last_frame(Path(str(trajectory)), atoms)
    else:
        moving = _started(atoms, first, seed)
    # The cell at the start decides on the grid: after a restart too.
    moving.calc = frozen_calculator(calculator, atoms) if ensemble == "npt" else calculator
    run = _integrator(moving, ensemble, thermostat, first, timestep, damping)

    def look(step: int) -> Sample:
        sample = _sample(moving, step, step * timestep, calculator if watch and step % watch == 0 else None)
        samples.append(sample)
        moving.info.update(vars(sample))
        if file is not None:
            file.write(moving)
        if observe is not None:
            observe(sample)
        return sample

    mode: Any = "a" if restart else "w"
    file = None if trajectory is None else Trajectory(str(trajectory), mode)
    try:
        step = samples[-1].step if restart else 0
        sample = samples[-1] if restart else look(0)
        while step < steps and not (stop_outside and sample.grade > BEYOND):
            # The numbers of a block follow from where it begins, so that a restart meets the same.
            rng = np.random.default_rng([seed, step])
            block = min(every, steps - step)
            target = first + (last - first) * (step + block / 2) / steps
            _set_temperature(run, target, rng)
            for _ in range(block):
                run.step()
                step += 1
                if ensemble == "npt" and step % BAROSTAT_EVERY == 0:
                    span = BAROSTAT_EVERY * timestep * units.fs / (pressure_damping * units.fs)
                    rescale_cell(moving, pressure * GPA, target, span, rng)
            sample = look(step)
    finally:
        if file is not None:
            file.close()
    moving.calc = None
    moving.set_constraint(list(atoms.constraints))
    return Dynamics(
        moving,
        [dict(vars(each)) for each in samples],
        step >= steps,
        bool(stop_outside and sample.grade > BEYOND),
    )


def _require(
    atoms: Atoms,
    ensemble: str,
    thermostat: str,
    temperatures: tuple[float, float],
    steps: int,
    every: int,
    watch: int,
) -> None:
    """Refuse settings that make no run."""
    if ensemble not in ENSEMBLES or thermostat not in THERMOSTATS:
        raise InputError(f"the ensemble must be one of {ENSEMBLES}, the thermostat one of {THERMOSTATS}")
    if len(atoms) < 2:
        raise InputError("a run needs two atoms or more")
    if min(temperatures) < 0 or (ensemble != "nve" and min(temperatures) == 0):
        raise InputError("temperatures must be positive")
    if ensemble == "nve" and temperatures[0] != temperatures[1]:
        raise InputError("at constant energy the temperature is only that of the start; give one")
    if steps < 1 or every < 1 or watch < 0 or watch % every:
        raise InputError("steps and every must be positive, watch a multiple of every")
    if ensemble == "npt":
        require_crystal(atoms)
        if atoms.constraints:
            raise InputError("at constant pressure all atoms must be free; remove the constraints")


def _require_positive(**values: float) -> None:
    for name, value in values.items():
        if not 0 < value < np.inf:
            raise InputError(f"{name} must be positive, not {value}")


def _started(atoms: Atoms, temperature: float, seed: int) -> Atoms:
    """A copy with velocities and a fixed centre of mass."""
    moving: Atoms = atoms.copy()
    momenta = moving.get_momenta()
    if not momenta.any():
        widths = np.sqrt(temperature * units.kB * moving.get_masses())[:, None]
        momenta = widths * np.random.default_rng(seed).normal(size=(len(moving), 3))
    if not moving.constraints:
        moving.set_constraint(FixCom())
    moving.set_momenta(momenta)  # which the constraints may change
    return moving


def _integrator(
    atoms: Atoms, ensemble: str, thermostat: str, temperature: float, timestep: float, damping: float
) -> VelocityVerlet | Langevin:
    """What makes a step."""
    step, time = timestep * units.fs, damping * units.fs
    if ensemble == "nve":
        return VelocityVerlet(atoms, step)
    if thermostat == "bussi":
        return Bussi(atoms, step, temperature_K=temperature, taut=time)
    return Langevin(atoms, step, temperature_K=temperature, friction=1 / time, fixcm=False)


def _set_temperature(run: Any, temperature: float, rng: np.random.Generator) -> None:
    """The target and the random numbers of the next steps."""
    if isinstance(run, Langevin):
        run.set_temperature(temperature_K=temperature)
        run.rng = rng  # type: ignore[assignment]  # ASE takes any generator
    elif isinstance(run, Bussi):
        run.temp = temperature * units.kB
        run.target_kinetic_energy = 0.5 * run.temp * run.ndof
        run.rng = rng  # type: ignore[assignment]  # ASE takes any generator


def _sample(atoms: Atoms, step: int, time: float, judge: Any) -> Sample:
    """What is noted of this moment; raises InputError if the energy is not finite."""
    potential, kinetic = float(atoms.get_potential_energy()), float(atoms.get_kinetic_energy())
    if not np.isfinite(potential + kinetic):
        raise InputError(
            f"the energy is {potential} eV after {step} steps: the run has blown up; take a smaller time "
            "step, or a structure that the model is meant for"
        )
    width = grade = np.nan
    if judge is not None:
        unsure = judge.get_uncertainty(atoms)
        width, grade = float(unsure.forces.max()), float(unsure.grade.max())
    volume = float(atoms.get_volume()) if atoms.cell.rank == 3 else np.nan
    return Sample(
        step, time, float(atoms.get_temperature()), potential, potential + kinetic, volume, width, grade
    )


def _last_frame(path: Path, atoms: Atoms) -> tuple[Atoms, list[Sample]]:
    """The last frame of a trajectory, and the samples of all of them."""
    if not path.is_file():
        raise InputError(f"there is no trajectory {path} to go on from")
    with Trajectory(str(path)) as frames:
        samples = [_noted(frame.info, path) for frame in frames]
        if not samples:
            raise InputError(f"{path} holds no frame to go on from")
        last: Atoms = frames[-1]
    if not np.array_equal(last.numbers, atoms.numbers):
        raise InputError(f"{path} is a run of other atoms")
    return last, samples


def _noted(info: dict[str, Any], path: Path) -> Sample:
    """The sample that a frame carries."""
    if not set(COLUMNS) <= set(info):
        raise InputError(f"{path} was not written by a run of molecular dynamics of this package")
    return Sample(**{name: info[name] for name in COLUMNS})
