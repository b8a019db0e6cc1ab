"""The bucket of a local service, from outside."""

from batchinfer.backends.redaction import Redactor
from batchinfer.backends.s3 import open_s3_bucket
from batchinfer.local.service_process import ServiceProcess


def access(service: ServiceProcess) -> dict[str, object]:
    bucket = service.connection.bucket
    return {
        "endpoint": bucket.endpoint,
        "name": bucket.name,
        "access_key": bucket.access_key,
        "secret_key": bucket.secret_key,
        "redactor": Redactor(()),
    }


async def keys(service: ServiceProcess) -> set[str]:
    """Everything in the bucket."""
    found, token = set[str](), None
    async with open_s3_bucket(**access(service)) as bucket:
        while True:
            page = await bucket.list_page("", token=token)
            found |= {entry.key for entry in page.objects}
            token = page.continuation_token
            if token is None:
                return found


async def put(service: ServiceProcess, *names: str) -> None:
    async with open_s3_bucket(**access(service)) as bucket:
        for name in names:
            await bucket.put(name, b"theirs")
