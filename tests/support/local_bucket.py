"""The bucket of a local service, from outside."""

from batchinfer.backends.redact import Redactor
from batchinfer.backends.s3 import s3_bucket
from batchinfer.local.running import Running


def access(service: Running) -> dict[str, object]:
    bucket = service.connection.bucket
    return {
        "endpoint": bucket.endpoint,
        "name": bucket.name,
        "access_key": bucket.access_key,
        "secret_key": bucket.secret_key,
        "redact": Redactor(()),
    }


async def keys(service: Running) -> set[str]:
    """Everything in the bucket."""
    found, token = set[str](), None
    async with s3_bucket(**access(service)) as bucket:
        while True:
            page = await bucket.page("", token=token)
            found |= {entry.key for entry in page.entries}
            token = page.token
            if token is None:
                return found


async def put(service: Running, *names: str) -> None:
    async with s3_bucket(**access(service)) as bucket:
        for name in names:
            await bucket.put(name, b"theirs")
