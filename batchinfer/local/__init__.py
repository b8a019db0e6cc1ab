"""An OSCAR-compatible service on this machine, for trial, demo and tests."""
