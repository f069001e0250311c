"""Decisions: from facts to a named decision with its reason. No input or output, no clock, no dice."""
