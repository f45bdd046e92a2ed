"""When FINRA publishes what, and on which days the exchange is closed."""
