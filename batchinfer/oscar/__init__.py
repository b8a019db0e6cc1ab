"""What is peculiar to the platform (see its contract). Pure: no I/O, no event loop."""
