"""Services that speak JSON over HTTP, each in its own way, which the configuration says. Pure."""
