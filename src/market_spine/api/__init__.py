"""The HTTP API: another door to the same functions. Built by app.py; what concerns every request lies beside the routes.

app.py           puts it together; ROUTERS is where a new group of routes is added
guard.py         before there is a request: how many connections, how long for a head
gate.py          before any route: host, rate, token, content type, size and time of the body
log_lines.py     no more lines a second than a log can hold
auth.py          bearer tokens from a file, and the scopes read and operate
problem.py       the one shape of every error
connections.py   read-only connections for GET, one writing connection for POST
monitoring.py    what Prometheus may know, at /metrics
work.py          the work queue            data.py    what is stored            health.py    whether it lives
"""
