"""Utility classes and style sheets of a page, worked into its elements."""
