"""The build-out: supply of chips, construction of sites, and the schedule that joins them with power and money."""

from gigawatt.buildout._build_schedule import BuildSchedule, CriticalPath, DateRange, build_schedule
from gigawatt.buildout._calendar import DAY, Calendar, day_of
from gigawatt.buildout._critical_path import ScheduleSamples, late_start, schedule
from gigawatt.buildout._influence import Influence
from gigawatt.buildout._installation import installation_rate, installed
from gigawatt.buildout._sampling import duration_scores, normal_scores, sample_durations, through_quantiles, uniforms
from gigawatt.buildout._site_power import BLOCKS_OF_POWER, PowerStep
from gigawatt.buildout._task_tables import task_facts
from gigawatt.buildout._tasks import Task, TaskNetwork
from gigawatt.buildout._templates import BLOCKS_OF_COOLING, TEMPLATES, site_tasks

__all__ = [
    "BLOCKS_OF_COOLING",
    "BLOCKS_OF_POWER",
    "DAY",
    "TEMPLATES",
    "BuildSchedule",
    "Calendar",
    "CriticalPath",
    "DateRange",
    "Influence",
    "PowerStep",
    "ScheduleSamples",
    "Task",
    "TaskNetwork",
    "build_schedule",
    "day_of",
    "duration_scores",
    "installation_rate",
    "installed",
    "late_start",
    "normal_scores",
    "sample_durations",
    "schedule",
    "site_tasks",
    "task_facts",
    "through_quantiles",
    "uniforms",
]
