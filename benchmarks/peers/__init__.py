"""The peers, each written as a good programmer would for the job at hand.

They run in an environment of their own (`make peers`) without batchinfer, and import nothing of
it. Each function loads its libraries and returns the work (`benchmarks.measuring`).
"""
