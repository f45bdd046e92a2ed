"""The data's way: ingest → normalize → calc → readiness, and the scheduler that walks it.

Normalize also takes the measures of its rows, for it has them in memory; calc stores these, and reads back only older rows.
"""
