"""Chaos: the real stack under a seeded schedule of faults, and a count of what that did to it.

`make chaos` runs it at full length, `e2e/test_chaos.py` a short one. A fault is made only while a run is in the stage
that the schedule names for it, and counts only then. At the end everything must be as if nothing had happened.
"""
