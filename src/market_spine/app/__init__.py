"""The four phases ingest → normalize → calc → readiness, and the scheduler that runs them.

Normalize also computes the measures of its rows, because it has them in memory; calc stores these, and reads back only older
rows.
"""
