"""The lake: the whole history as files that answer as-of questions without the store.

storage     where it is: a folder, or a URL of object storage
tables      which captures, results and windows were valid from which day to which
files       the immutable file of each capture and view
years       the files of a year as one
script      the views and as-of macros for DuckDB, as SQL
publish     what is written, in which order, and the manifest that makes it visible
"""
