"""Settings: read from file, environment and flags, checked, and every error told at once.

``load.load`` is the way in; ``settings.Settings`` is what comes out. Only the files named by flags,
environment and settings are read; nothing is written.
"""
