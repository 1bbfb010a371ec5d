"""Dagster resources: what assets, sensors and IO managers are given."""
