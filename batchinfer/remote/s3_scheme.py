"""`s3://BUCKET/PREFIX`, and `bucket://BUCKET/PREFIX` on the platform's own store.

What stands behind the bucket is a key as it is, not encoded: `%`, `?`, `#` and blanks are a part of
it. A URI names the folder of that name, if any key is below it, else the object of that name.
"""

from __future__ import annotations

import errno
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO, Final, NamedTuple, cast

from batchinfer.inputs import InputStat, ListedInput
from batchinfer.inputs.source_access import SourceSettings, StoreSettings, get_source_access
from batchinfer.inputs.uri_scheme import SourceAwayError
from batchinfer.remote.object_headers import stat_listed_object
from batchinfer.remote.ranged_input import RangedInput
from batchinfer.remote.store_client import StoreClient
from batchinfer.remote.store_errors import MissingBucketError
from batchinfer.sources.glob_patterns import has_magic
from batchinfer.sources.input_files import name_to_key

_BUCKET_NAME_PATTERN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,254}")


class ObjectLocation(NamedTuple):
    """An object, or a folder of objects."""

    bucket: str
    key: str


class _StoreScheme(ABC):
    """Objects of an S3 store, as a `UriScheme` and `InputOpener`."""

    name: str

    @abstractmethod
    def _get_store(self, settings: SourceSettings) -> StoreSettings | None:
        """The store that is meant."""

    @abstractmethod
    def _get_client(self) -> StoreClient:
        """The client of that store. Raises SourceAwayError when it is not configured."""

    def _get_default_bucket(self) -> str | None:
        """The bucket of a URI that names none."""
        return None

    # UriScheme -----------------------------------------------------------------------------------

    def check(self, uri: str) -> None:
        """See UriScheme."""
        location, client = self._parse(uri), self._get_client()
        self._reject_service_folders(location)
        folder = _make_folder(location.key)
        if client.list_first(location.bucket, folder) is None and folder:
            try:
                client.stat(*location)
            except FileNotFoundError:
                raise self._explain_nothing_there(uri, location) from None

    def list_inputs(self, uri: str) -> Iterator[ListedInput]:
        """See UriScheme. In the order of keys, a page at a time."""
        location, client = self._parse(uri), self._get_client()
        folder = _make_folder(location.key)
        objects = client.iter_objects(location.bucket, folder)
        first = next(objects, None)
        if first is None:
            if location.key:
                name = location.key.rpartition("/")[2] or location.key
                yield ListedInput(name_to_key(name), uri, client.stat(*location))
            return
        base = f"{self.name}://{location.bucket}/"
        for listed in chain([first], objects):
            key = listed.key.removeprefix(folder) or listed.key
            yield ListedInput(name_to_key(key), base + listed.key, stat_listed_object(listed))

    def stat(self, uri: str) -> InputStat:
        """See UriScheme."""
        return self._get_client().stat(*self._parse_object(uri))

    def open(self, uri: str) -> BinaryIO:
        """See UriScheme."""
        return cast(BinaryIO, self.open_input(uri))

    def open_input(self, uri: str) -> RangedInput:
        """See InputOpener."""
        bucket, key = self._parse_object(uri)
        client = self._get_client()
        return RangedInput(lambda offset, version: client.fetch(bucket, key, offset, version))

    # ---------------------------------------------------------------------------------------------

    def _parse(self, uri: str) -> ObjectLocation:
        bucket, _, key = uri.partition("://")[2].partition("/")
        bucket = bucket or self._get_default_bucket() or ""
        if not _BUCKET_NAME_PATTERN.fullmatch(bucket):
            raise OSError(errno.EINVAL, f"it names no bucket: write {self.name}://BUCKET/FOLDER")
        return ObjectLocation(bucket, key)

    def _parse_object(self, uri: str) -> ObjectLocation:
        location = self._parse(uri)
        if not location.key:
            raise FileNotFoundError(errno.ENOENT, "it names a bucket, and no object")
        return location

    def _reject_service_folders(self, location: ObjectLocation) -> None:
        """Raise OSError for what this very run writes to: its list would never end."""
        settings = get_source_access().settings
        store, ours = self._get_store(settings), settings.bucket_store
        if ours is None or store is None or store.endpoint != ours.endpoint:
            return
        if location.bucket != settings.bucket_name:
            return
        folder = _make_folder(location.key)
        for written in settings.service_folders:
            if written.startswith(folder) or folder.startswith(written):
                raise OSError(
                    errno.EINVAL,
                    f"{written} in it belongs to the service, which this run writes to: name "
                    "another folder of the bucket",
                )

    def _explain_nothing_there(self, uri: str, location: ObjectLocation) -> OSError:
        if has_magic(location.key):
            return OSError(
                errno.EINVAL,
                "nothing has this name, and patterns are not expanded here: name the folder, and "
                "choose with --include",
            )
        return FileNotFoundError(errno.ENOENT, "nothing is there", uri)


def _make_folder(key: str) -> str:
    """What the keys begin with that are in the folder of this name."""
    return key if not key or key.endswith("/") else f"{key}/"


class S3Scheme(_StoreScheme):
    """Any S3 store: that of `[source]`, else AWS' or what `AWS_ENDPOINT_URL` names."""

    name = "s3"

    def _get_store(self, settings: SourceSettings) -> StoreSettings:
        return settings.store

    def _get_client(self) -> StoreClient:
        access = get_source_access()
        if access.settings.problem:
            raise SourceAwayError(errno.EINVAL, access.settings.problem)
        store = access.settings.store
        keys = "[source] access_key and secret_key" if store.access_key else "the AWS credentials"
        if store.access_key is None and store.endpoint is not None:
            keys = "[source] access_key and secret_key"
        return access.get_client(self.name, lambda: StoreClient(store, keys))


class BucketScheme(_StoreScheme):
    """The store of `[bucket]`: the platform's. `bucket:///PREFIX` is in the bucket named there."""

    name = "bucket"

    def check(self, uri: str) -> None:
        """See UriScheme."""
        try:
            super().check(uri)
        except MissingBucketError as error:
            text = (
                f"{error.strerror}; for a folder in the bucket of [bucket] name, write "
                "bucket:///FOLDER"
            )
            raise MissingBucketError(error.errno, text) from None

    def _get_store(self, settings: SourceSettings) -> StoreSettings | None:
        return settings.bucket_store

    def _get_client(self) -> StoreClient:
        access = get_source_access()
        store = access.settings.bucket_store
        if store is None:
            problem = access.settings.bucket_problem or "there is no [bucket] in the configuration"
            raise SourceAwayError(errno.EINVAL, problem)
        keys = "[bucket] access_key and secret_key"
        return access.get_client(self.name, lambda: StoreClient(store, keys))

    def _get_default_bucket(self) -> str | None:
        return get_source_access().settings.bucket_name
