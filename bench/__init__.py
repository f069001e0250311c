"""Postfix and Postroom on the same work, measured from outside, in one go: ``make bench``.

Same messages, connections in, connections out, sink, counter and file system for every peer. It prints what
it found and writes it to ``.bench/``; it judges nothing by itself: a missed bar is a line in a table, a run
that went wrong is an error.
"""
