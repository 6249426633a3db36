"""Exact time: where every output frame stands between two source frames. Integers and Fractions only.

line.py     Timeline: when each source frame is shown
cadence.py  the constant rate behind rounded time stamps
plan.py     Target, Segment, Plan: the output grid over a Timeline
text.py     what people type and read for rates and times

Division is always `Fraction(a, b)` or `//`, so that no float can appear even by accident (a test reads these files).
"""

from interp_cli.timeline.line import Timeline
from interp_cli.timeline.plan import FINEST_TICK, Plan, Segment, Target, keep_plan, make_plan
from interp_cli.timeline.text import Rate, decimal, parse_rate, parse_time

__all__ = [
    "FINEST_TICK",
    "Plan",
    "Rate",
    "Segment",
    "Target",
    "Timeline",
    "decimal",
    "keep_plan",
    "make_plan",
    "parse_rate",
    "parse_time",
]
