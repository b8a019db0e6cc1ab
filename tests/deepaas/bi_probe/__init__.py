"""A DEEPaaS module that answers, and fails, as it is told: see `api`."""
