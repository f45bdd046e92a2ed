"""The lake against the store: random histories, and the same questions to both."""
