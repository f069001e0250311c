"""Decisions about alerts: who is told of what, when, and why not."""
