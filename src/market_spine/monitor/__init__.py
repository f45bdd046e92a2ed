"""Monitoring of runs: metrics, notifications, pings, and a record of what was delivered."""
