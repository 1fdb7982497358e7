"""The command line: a scenario file plus overrides in; tables for people, JSON for machines.

Exit codes: 0 done, 1 infeasible (and why), 2 wrong input or unwritable output (and where), 70 a fault of ours.
Only results go to stdout; everything else goes to stderr. Heavy imports happen inside the command that needs them.
"""

from gigawatt.cli._app import main

__all__ = ["main"]
