"""What is peculiar to the AI4OS platform (docs/platform.md). Pure: no I/O, no event loop."""
