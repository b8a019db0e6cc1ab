"""What is peculiar to services of AI4OS (OSCAR and DEEPaaS). Pure: no I/O, no event loop."""
