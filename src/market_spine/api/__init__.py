"""The HTTP API: another door to the same functions. Built by app.py; what concerns every request lies beside the routes.

app.py           puts it together; ROUTERS is where a new group of routes is added
gate.py          before any route: host, rate, content type, size of the body
auth.py          bearer tokens from a file, and the scopes read and operate
problem.py       the one shape of every error
connections.py   read-only connections for GET, one writing connection for POST
monitoring.py    what Prometheus may know, at /metrics
work.py          the work queue            data.py    what is stored            health.py    whether it lives
"""
