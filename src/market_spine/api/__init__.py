"""The HTTP API, over the same functions as the commands.

app.py           builds the application; a new group of routes is added to ROUTERS
guard.py         limits per connection: how many, and the time for the head of a request
gate.py          checks before any route: host, rate, token, content type, size and time of the body
log_lines.py     limits the lines per second in the log
auth.py          bearer tokens from a file, and the scopes read and operate
problem.py       the one shape of every error
connections.py   read-only connections for GET, one writing connection for POST
monitoring.py    Prometheus metrics at /metrics
work.py          the work queue            data.py    what is stored            health.py    liveness and readiness of the process
"""
