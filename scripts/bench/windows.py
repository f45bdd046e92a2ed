"""The windows: of a Friday and a restatement, from nothing, at ten times the size; against DuckDB, which reads Parquet."""
