"""The `vfi` command: options in, one call, exit code out. Importing this imports neither torch nor numpy nor OpenCV.

entry.py     main: the group, outcomes as exit codes, signals
grammar.py   how commands, options and values are written, read and shown in help
shared.py    the options that several commands have
settings.py  what the environment and the config file say, and where each value came from
text.py      plans, probes and results for people
convert.py, frames.py, look.py, weights.py, completion.py   the commands

A new command is a file with a `VfiCommand`, added to the group in entry.py.
"""

from interp_cli.cli.entry import main, vfi

__all__ = ["main", "vfi"]
