"""Sources of templates to Jinja, Jinja and variables to a mail: pure, without files or processes."""
