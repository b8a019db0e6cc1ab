"""How fast batchinfer is, beside its peers, in one run on one machine.

`python -m benchmarks` (or `make bench`) prints the table. Rules:

* Every client is a process of its own that loads only its own libraries, pinned to one core; the
  server is another one, pinned to another core. What is compared is the client.
* The peers are as good as their users would write them, not worse: see `clients.py`.
* Repetitions are interleaved (A B C D A B C D), so that a noisy neighbour disturbs all alike.
* Ratios within one run are what counts; absolute rates are the machine's.
"""
