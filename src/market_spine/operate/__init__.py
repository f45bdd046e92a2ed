"""What an operator does by hand: gaps, repairs, withdrawals, retries, retention."""
