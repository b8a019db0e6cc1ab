"""What is peculiar to the platform (docs/platform.md). Pure: no I/O, no event loop."""
