"""Measuring the weekly run against common tools that merely load the same bytes. The door is scripts/benchmark.py."""
