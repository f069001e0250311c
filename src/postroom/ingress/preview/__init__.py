"""What an author works with: templates compiled as their files change, and pages that show them."""
