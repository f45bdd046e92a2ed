"""Who is told how a run went: metrics, alerts, pings, and what was delivered."""
