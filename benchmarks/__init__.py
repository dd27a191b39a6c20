"""What produced every number in the README: one command each, results as JSON."""
