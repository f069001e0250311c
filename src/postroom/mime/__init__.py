"""From frozen content to RFC 5322 bytes, without clock, dice, files or the stdlib e-mail package."""
