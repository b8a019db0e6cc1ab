"""How close flow control comes to an oracle, beside its peers, on simulated services.

`python -m benchmarks.flow` (or `make bench-flow`) prints the tables. Rules:

* The engine is the real one; only the platform is simulated, in virtual time (`service.py`,
  `cluster.py`), by the rules of docs/platform.md.
* Scenarios are drawn from seeds (`scenarios.py`); `--held-out` draws others, from other ranges.
* All controllers meet the same service: how long an item is worked on the first time does not
  depend on who sent it when (`draws.py`).
* The peers are as good as their users would set them up, not worse (`peers.py`), and have the same
  engine and the same policy of retries; the plain gate is theirs: no health, no hedging.
* The ideal is what an oracle achieves that sees into the service (`oracle.py`). If anything beats
  it by more than noise, the oracle is wrong, not the other one great.
"""
