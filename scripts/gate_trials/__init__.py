"""Synthetic histories of weekly files, faults done to their bytes, and how many of them the gates hold."""
