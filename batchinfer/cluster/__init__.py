"""Attempts made by other machines: a backend whose hands are the workers of a Dask cluster.

The engine, its gate and its store stay in one process, the coordinator. What is distributed is the
attempt: `ClusterBackend` implements the port `Backend`, and hands attempts to workers in batches
(decision 21). A worker that is lost costs what it had in flight, and that is begun again elsewhere.

=====================  ============================================================================
`cluster_backend`      the port: an attempt, wherever it is made, and begun again if that is lost
`cluster_pool`         which workers there are, which takes the next attempt, and when to give up
`bandwidth_shares`     how much of the run's bandwidth each worker has
`worker_outage`        being without workers; `worker_refusals`: those that can take no part
`worker_link`          the coordinator's side of one worker: batches out, outcomes back
`attempt_worker`       the worker's side: opens the run's backend, makes attempts, obeys its lease
`sealed_factory`       how the settings, with their secrets, reach a worker without being seen
`worker_versions`      what must be the same at both ends
`worker_transport`     what carries the calls, as a narrow interface
`dask_transport`       carries them by Dask; `dask_connection` finds or starts the cluster,
                       `cluster_security` reads its certificates
=====================  ============================================================================
"""
