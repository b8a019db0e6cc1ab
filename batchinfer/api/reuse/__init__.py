"""Results of earlier runs, taken over where the same was sent to the same service: no call."""
