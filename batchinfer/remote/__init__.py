"""Inputs that are not on this machine: `s3://`, `bucket://`, `https://` and `http://`.

Built-in URI schemes (`inputs/uri_scheme.py`); nothing here is imported before such a URI is used.
All calls block: they are made in threads (a listing, the readers of payloads, exports). Addresses
and credentials are those of the run that asks (`inputs/source_access.py`).

==================  ===========================================================================
`s3_scheme`         `s3://bucket/prefix` and `bucket://bucket/prefix`, on `store_client`
`web_scheme`        `https://` and `http://`: one file each
`store_client`      an S3 store's operations: signed, tried again, errors by who must act
`blocking_http`     HTTP calls of many threads, over kept connections
`ranged_input`      an open input, which goes on where its connection broke
==================  ===========================================================================
"""
