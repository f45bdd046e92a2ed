"""What is computed about a capture and kept: rows by number, venues and symbols, tiers and weeks."""
