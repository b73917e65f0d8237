"""Sweeps: a study of many runs, one for each combination of settings, made by one command that can be repeated.

axes        a list or a range of values for a setting, as written on a command line
settings    an experiment with other settings, given by their dotted names
study       the points of a study: settings, experiment and run folder of each; on disk and back
primary     the outcome that a study is about, declared before its results
states      how far each point is, and what is wrong with those that are not finished
outcomes    how points end, and which are worth another try
local       runs the points on this machine, one process each, within its cores and memory
slurm       runs them as an array job of a cluster
ray_cluster runs them as tasks of Ray
queries     SQL over the settings and measurements of many runs
"""

from .axes import values_of
from .local import Limits, run_local
from .outcomes import Outcome
from .primary import Declaration, Primary
from .ray_cluster import RayJob, run_ray
from .settings import with_settings
from .slurm import SlurmJob, run_slurm, script_of
from .states import PointState, point_state
from .study import Point, Study

__all__ = [
    "Declaration",
    "Limits",
    "Outcome",
    "Point",
    "PointState",
    "Primary",
    "RayJob",
    "SlurmJob",
    "Study",
    "point_state",
    "run_local",
    "run_ray",
    "run_slurm",
    "script_of",
    "values_of",
    "with_settings",
]
