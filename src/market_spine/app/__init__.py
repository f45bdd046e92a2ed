"""The data's way: ingest → normalize → calc → readiness, and the scheduler that walks it."""
