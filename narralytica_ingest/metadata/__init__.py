"""Normalization: pure functions from what the source declares, what ffprobe measured, and a job's hints, to one row."""
