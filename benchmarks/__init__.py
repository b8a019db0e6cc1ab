"""How fast batchinfer is, beside its peers, in one run on one machine (see README.md here).

`python -m benchmarks` (or `make bench`) prints the table. Rules:

* Every contender is a process of its own that loads only its own libraries, pinned to one core; the
  service is another one, pinned to another core. What is compared is the client.
* The peers are as good as a good programmer would write them, not worse (`peers/`). They have an
  environment of their own.
* Rounds are interleaved (A B C D A B C D), so that a noisy neighbour disturbs all alike.
* Ratios within one run are what counts; absolute rates are the machine's.
"""
