"""What Jinja makes of a page: variables, bounds, filters, the parts of a mail."""
