"""The processes that compile and render templates, and the port of the engine to them."""
