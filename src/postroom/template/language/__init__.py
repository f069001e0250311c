"""The component language: from a source with components to one page of HTML and Jinja."""
