"""Functions with the signatures of other programs, sending through Postroom."""
