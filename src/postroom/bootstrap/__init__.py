"""The wiring: settings in, a running Postroom out. The only place that knows engine and adapters both."""
