"""A weekly file's bytes become typed rows and rejects: lines, cells, columns, figures."""
