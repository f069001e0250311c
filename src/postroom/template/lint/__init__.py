"""What is wrong with a template, or will be in somebody's mail program."""
