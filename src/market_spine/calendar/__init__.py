"""When FINRA publishes each partition, and on which days the exchange is closed."""
