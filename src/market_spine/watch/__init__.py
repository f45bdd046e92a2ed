"""What is said about a run while and after it: metrics, notifications, pings, and what to check before it."""
