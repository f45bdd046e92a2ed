"""The two commands and their options, exits and signals."""
