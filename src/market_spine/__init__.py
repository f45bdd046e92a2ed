"""Market Spine keeps FINRA's weekly OTC Transparency data: every capture, every restatement, which weeks are ready."""

__version__ = "1.0.0"
