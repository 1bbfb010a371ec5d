"""Fuzzing: what strangers write, thrown at the pure parts that read it.

A target takes bytes, makes what its part reads of them (`material.py`), and asserts what must always hold. It is run
two ways: by Hypothesis among the usual tests, and guided by coverage with `make fuzz` (`__main__.py`). Bytes that once
broke something stand as literals in `findings.py`.
"""
