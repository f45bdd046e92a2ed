"""The page: HTML for people, over the same functions as the commands and the API.

parts.py       what a page is made of, as values: tables, charts, heat maps, facts, commands
looking.py     the store as a page shows it: now, or as it was known at the end of a day
views/         one file for each group of pages: the store → a page
charts.py      numbers → the shapes of a chart
site.py        where a page lies: addresses on a server, file names in a folder
render.py      a page → HTML, CSV or JSON
access.py      who may look, and the headers of every response
kept.py        the pages that were written last
kept_weeks.py  the weeks as they were judged last
routes.py      the routes of the served pages
report.py      the same pages as files
demo.py        a store of the shipped files, to look at
"""
