"""Messages on stable storage: the ports Spool, Blobs, Captures and Keys, on SQLite and in memory."""
