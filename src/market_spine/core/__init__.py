"""The core tables of any domain, one file each, and the one way to open a database."""
