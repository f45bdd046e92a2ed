"""Servers that stand in for others: FINRA's API, and PostgreSQL on ports and disks of its own."""
