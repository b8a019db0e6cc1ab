"""The commented configuration that `batchinfer init` writes, and the file of its secrets."""

from __future__ import annotations

DEFAULT_CONFIG_FILE = "batchinfer.toml"

CONFIG_TEMPLATE = """\
# batchinfer: how to reach your service, and how to run it.
#
# On the Dashboard: Inference, Serverless (OSCAR), Info of your service. Replace every value that
# holds "...". The quoted names in the comments are the labels of that page.
#
# ${NAME} stands for the environment variable NAME: so no secret need be in this file, and none is
# ever written into a run directory. Secrets stand in .batchinfer.env beside this file (for another
# NAME.toml: .NAME.env), which batchinfer reads by itself; exported variables win over it.

[service]                       # for mode = "sync"; "Synchronous calls"
endpoint = "https://inference.cloud.ai4eosc.eu/run/ai4papi-..."     # "Endpoint"
token = "${OSCAR_TOKEN}"                                            # "Token"
# ca_file = "cluster.pem"       # a self-signed cluster's certificate
# verify = true                 # false: trust any certificate (unsafe)
# protocol = "ai4os"            # another kind of service: the name of an installed protocol
# name = "prod"                 # of one of several: then each is a block, [[service]]

[bucket]                        # for mode = "async"; "Asynchronous calls"
endpoint = "https://minio-..."                                      # "MINIO URL"
name = "ai4papi-..."                                                # "MINIO bucket"
access_key = "${MINIO_ACCESS_KEY}"                                  # "MINIO access key"
secret_key = "${MINIO_SECRET_KEY}"                                  # "MINIO secret key"
# region = "us-east-1"
# notifications = "auto"        # "off": do not listen for outputs, only list them
# ca_file = "cluster.pem"
# verify = true

[input]
file_param = "files"            # the model's parameter that takes the file
# include = ["*.jpg", "*.png"]  # which files of a folder, in any case; without it all that are not
                                # hidden, nor left behind by a system (Thumbs.db, @eaDir ...)
# exclude = ["thumbs/", "*_mask.png"]
# only = "images"               # or "audio", "video"
# glob = "*.jpg"                # the older name of include
# frames = "every=2s"           # of videos, these frames: also "fps=1", "n=20" (of each video)
# shard = "3/16"                # only the third of sixteen parts: other runs send the others
# sample = 200                  # only so many, each with the same chance
# seed = 1                      # another sample, another random order
# order = "newest"              # or "random"; without it by path
# source_format = "coco"        # what SOURCE is, if its name does not say it

[source]                        # how to read inputs at s3://... and https://...
# endpoint = "https://s3.example.org"   # the object store; without it AWS
# access_key = "${SOURCE_ACCESS_KEY}"   # without keys: the AWS environment or profile
# secret_key = "${SOURCE_SECRET_KEY}"
# session_token = "${SOURCE_SESSION_TOKEN}"     # of keys that are valid for some hours
# region = "eu-central-1"
# token = "${SOURCE_TOKEN}"     # a bearer token for https://... at the host of endpoint
# ca_file = "store.pem"
# verify = true

[params]                        # the model's parameters, the same for every item
# imgsz = 640
# a_secret = "${NAME}"          # taken out of all logs

[protocol]                      # options of another protocol than "ai4os": what each has stands in
                                # docs/how-to (deepaas.md, other-services.md)

[run]
mode = "sync"                   # "sync": calls of seconds; "async": everything longer
# concurrency = "auto"          # calls in flight (sync), or objects unfinished (async): as many as
                                # the service serves; also "4-64" to adapt within, or a number
# rate = "5/s"                  # never start more than this; also "300/m"
# bandwidth = "10MB/s"          # never send faster than this; also "80Mbit/s"
# memory = "256MB"              # files and replies in memory at a time; a larger one goes alone
# max_reply = "64MB"            # of one reply; an item whose reply is larger fails
# timeout = "10m"               # of one attempt (sync: 10m, async: 1h), and of its stages:
# connect_timeout = "30s"       #   until the connection is there (sync)
# send_timeout = "60s"          #   while it is sent, without any of it being accepted
# first_byte_timeout = "5m"     #   from then to the beginning of the answer (sync; no such limit)
# deadline = "1h"               # of one item with all its attempts (no such limit)
# max_attempts = 5              # tries of one item whose failure may pass
# max_failures = "5%"           # give up when more have failed than this; also a number of items
# cold_start = "15m"            # how long to wait for a service that is scaled to zero
# give_up_after = "4h"          # how long to wait for one that has answered before (an outage)
# hedge = true                  # a second call for the last ones that take unusually long
# service = "prod"              # of several [[service]] only this one, or these (all)
# stop_after = "3h50m"          # a process stops by itself then; resume continues (no such limit)
# grace = "90s"                 # after a stop, running calls are cut off then (their timeout)
# scratch = "/tmp"              # works there, for a run directory on a network file system
# reuse = ["may"]               # earlier runs: what they sent the same is not sent again

[watch]                         # `batchinfer watch`: sources that grow
# settle = "2s"                 # a file is taken when it has stayed as it is for so long
# interval = "2s"               # between two listings, at least
# events = true                 # let the system tell what is new
# again_when_changed = false    # send a file again that has changed
# until_idle = "10m"            # end when nothing has come for so long (never)
# enabled = false               # true: `batchinfer run` watches, too

[cluster]                       # where attempts are made, if not in this process
# on = "dask"                   # by the workers of a Dask cluster (pip install 'batchinfer[dask]')
# workers = 4                   # started on this machine; without it one for each core
# scheduler = "tcp://10.0.0.1:8786"
# scheduler_file = "dask.json"  # what `dask scheduler --scheduler-file` writes
# tls_ca_file = "ca.pem"        # of a cluster with TLS, as Dask names them
# tls_cert = "client.pem"
# tls_key = "client-key.pem"
# lease = "30s"                 # a worker that hears nothing for so long gives up
"""

ENV_FILE_TEMPLATE = """\
# Secrets: for your eyes only. batchinfer reads this file by itself; a shell can read it, too.
export OSCAR_TOKEN=             # "Token"
export MINIO_ACCESS_KEY=        # "MINIO access key"
export MINIO_SECRET_KEY=        # "MINIO secret key"
"""
"""The file of secrets that `batchinfer init` writes beside it."""
