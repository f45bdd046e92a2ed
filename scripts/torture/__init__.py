"""Ill-treating the program and counting what it loses: runs broken at random, the queue, two machines, hostile clients.

rounds       one fault at a time against weekly runs; the door is scripts/torture.py
chaos        all commands at once on one database
places       where runs happen: a folder, a disk that is nearly full, a PostgreSQL server
"""
