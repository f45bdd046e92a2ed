"""Queries: any view now or as of a day, capture histories, differences, raw files, exports."""
