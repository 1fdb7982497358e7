"""The build-out: supply of chips, construction of sites, and the schedule that joins them with power and money."""

from gigawatt.buildout._calendar import DAY, Calendar, day_of

__all__ = ["DAY", "Calendar", "day_of"]
