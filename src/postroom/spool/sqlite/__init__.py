"""The spool on SQLite: one file, one writer thread, group commit, WAL with ``synchronous=FULL``."""
