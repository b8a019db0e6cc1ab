"""Protocols: what is sent for an item, how an answer is read, what a service says of its model."""
