"""The bucket of the local service: a real S3 server, and jobs for what comes to `inputs/`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
from aiohttp import ClientSession, web
from anyio.abc import SocketStream
from botocore.exceptions import BotoCoreError, ClientError

from batchinfer.local.notification_hub import NotificationHub
from batchinfer.local.s3_proxy import S3Proxy
from batchinfer.local.service_options import LocalServiceOptions
from batchinfer.local.service_process import ServiceProcess
from support.local_service import call, keys, outputs, payload, s3, service, until
from support.servers import talking


@pytest.fixture
def local() -> Iterator[ServiceProcess]:
    with service() as started:
        yield started


@pytest.fixture
async def bucket(local: ServiceProcess) -> AsyncIterator[Any]:
    async with s3(local.connection) as client:
        yield client


async def test_markers_show_in_listings_and_can_be_read(bucket: Any):
    assert await keys(bucket) == ["inputs/", "outputs/"]
    assert await keys(bucket, "outputs/") == ["outputs/"]
    assert await keys(bucket, "outputs/x") == []
    assert await keys(bucket, StartAfter="inputs/") == ["outputs/"]
    head = await bucket.head_object(Bucket="local", Key="inputs/")
    assert head["ContentLength"] == 0
    await bucket.put_object(Bucket="local", Key="inputs/", Body=b"")
    await bucket.put_object(Bucket="local", Key="inputs/a.txt", Body=b"a")
    assert await keys(bucket, "inputs/") == ["inputs/", "inputs/a.txt"]


async def test_markers_can_be_left_out():
    with service(markers=False) as local:
        async with s3(local.connection) as bucket:
            assert await keys(bucket) == []


async def test_a_wrong_secret_is_refused(local: ServiceProcess):
    async with s3(local.connection, secret="wrong") as bucket:
        for forbidden in (
            bucket.list_objects_v2(Bucket="local"),
            bucket.put_object(Bucket="local", Key="inputs/a.json", Body=b"{}"),
            bucket.get_object(Bucket="local", Key="inputs/a.json"),
            bucket.head_object(Bucket="local", Key="inputs/"),
        ):
            with pytest.raises(ClientError) as refused:
                await forbidden
            assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    url = local.connection.bucket.endpoint + "/local"
    async with ClientSession() as anybody, anybody.get(url) as answer:
        assert answer.status == 400
    assert local.read_stats() == {}


async def test_objects_come_back_as_they_were_put(bucket: Any):
    data = bytes(range(256)) * 20_000
    await bucket.put_object(Bucket="local", Key="other/with space+%.bin", Body=data)
    answer = await bucket.get_object(Bucket="local", Key="other/with space+%.bin")
    assert await answer["Body"].read() == data
    part = await bucket.get_object(Bucket="local", Key="other/with space+%.bin", Range="bytes=1-3")
    assert await part["Body"].read() == b"\1\2\3"
    await bucket.delete_object(Bucket="local", Key="other/with space+%.bin")
    with pytest.raises(ClientError, match="NoSuchKey"):
        await bucket.get_object(Bucket="local", Key="other/with space+%.bin")
    assert await keys(bucket, "other/") == []


async def test_a_listing_is_paged_in_key_order(bucket: Any):
    async with anyio.create_task_group() as tasks:

        async def put(name: str) -> None:
            await bucket.put_object(Bucket="local", Key=f"outputs/{name}", Body=b"")

        for number in range(60):
            tasks.start_soon(put, f"n{number:03d}")
        for odd in ("a/x", "a-1", "a.json", "a0"):
            tasks.start_soon(put, odd)
    found = await keys(bucket, MaxKeys=7)
    assert found == sorted(found)
    assert len(found) == 66
    after = await keys(bucket, "outputs/n", StartAfter="outputs/n029", MaxKeys=7)
    assert after == [f"outputs/n{number:03d}" for number in range(30, 60)]


@pytest.mark.parametrize("deepaas", ["2.5.1", "2.5.2", "2.6.0"])
async def test_an_input_gets_its_outputs(deepaas: str):
    with service(deepaas=deepaas) as local:
        async with s3(local.connection) as bucket:
            await bucket.put_object(
                Bucket="local", Key="inputs/a.json", Body=payload(b"x", colour="red")
            )
            got = await outputs(bucket, 2)
    log = got.pop("a.log").decode()
    (name, result), *_ = got.items()
    assert name == "a.json" if deepaas != "2.6.0" else name.startswith("tmp-file-")
    assert name.removeprefix("a.json") in log
    assert json.loads(result)["colour"] == "red"
    assert json.loads(result)["size"] == 1


async def test_folders_are_dropped(bucket: Any):
    await bucket.put_object(Bucket="local", Key="inputs/sub/dir/b.001.json", Body=b"{}")
    assert set(await outputs(bucket, 2)) == {"b.json", "b.log"}


async def test_put_copy_multipart_and_tagging_each_start_a_job(local: ServiceProcess, bucket: Any):
    await bucket.put_object(Bucket="local", Key="other/a.json", Body=b"{}")
    await bucket.copy_object(
        Bucket="local", Key="inputs/copy.json", CopySource="local/other/a.json"
    )
    assert len(await outputs(bucket, 2)) == 2
    upload = await bucket.create_multipart_upload(Bucket="local", Key="inputs/multi.json")
    which = {"Bucket": "local", "Key": "inputs/multi.json", "UploadId": upload["UploadId"]}
    part = await bucket.upload_part(**which, PartNumber=1, Body=b"{}")
    await bucket.complete_multipart_upload(
        **which, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    )
    assert len(await outputs(bucket, 4)) == 4
    tagging = {"TagSet": [{"Key": "a", "Value": "b"}]}
    await bucket.put_object_tagging(Bucket="local", Key="inputs/multi.json", Tagging=tagging)

    async def three_ran() -> bool:
        return local.read_stats().get("async_finished") == 3

    await until(three_ran)
    answer = await bucket.get_object(Bucket="local", Key="inputs/multi.json")
    assert await answer["Body"].read() == b"{}"


async def test_an_event_comes_also_when_the_client_has_gone_meanwhile():
    """As when it was killed: the object is there, and whoever goes on counts on its outputs."""
    arrived, stored, gone = list[str](), anyio.Event(), anyio.Event()

    async def store(stream: SocketStream) -> None:
        while not (await stream.receive()).endswith(b"body"):
            pass
        stored.set()
        await gone.wait()
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await anyio.sleep_forever()

    async with talking(store) as behind, ClientSession() as session:
        where = SimpleNamespace(url=f"http://127.0.0.1:{behind}")
        options, rng = LocalServiceOptions(), Random(1)
        hub = NotificationHub(options.name, options.notifications, rng)
        proxy = S3Proxy(options, where, session, rng, on_upload=arrived.append, hub=hub)
        server = web.ServerRunner(web.Server(proxy.handle))
        await server.setup()
        await web.TCPSite(server, "127.0.0.1", 0).start()
        async with await anyio.connect_tcp("127.0.0.1", server.addresses[0][1]) as client:
            head = b"PUT /local/inputs/a.json HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n"
            await client.send(head + b"body")
            await stored.wait()
        await anyio.wait_all_tasks_blocked()
        gone.set()
        with anyio.fail_after(30):
            while not arrived:  # noqa: ASYNC110 - the proxy tells nobody
                await anyio.sleep(0.01)
        await server.cleanup()
    assert arrived == ["inputs/a.json"]


async def test_both_orders_of_upload_happen():
    orders = set()
    with service(seed=1) as local:
        async with s3(local.connection) as bucket:
            for number in range(30):
                name = f"n{number}"
                await bucket.put_object(Bucket="local", Key=f"inputs/{name}.json", Body=b"{}")
            await outputs(bucket, 60)
            page = await bucket.list_objects_v2(Bucket="local", Prefix="outputs/n")
            times = {entry["Key"]: entry["LastModified"] for entry in page["Contents"]}
            for number in range(30):
                log, result = times[f"outputs/n{number}.log"], times[f"outputs/n{number}.json"]
                orders |= {log < result} if log != result else set()
    assert orders == {True, False}


async def test_lost_events_start_no_job():
    with service(lose_events=1.0) as local:
        async with s3(local.connection) as bucket:
            await bucket.put_object(Bucket="local", Key="inputs/a.json", Body=b"{}")
        assert local.read_stats() == {"async_event_lost": 1}


async def test_a_job_waits_for_a_cold_service():
    with service(cold_start=0.2) as local:
        async with s3(local.connection) as bucket:
            await bucket.put_object(Bucket="local", Key="inputs/a.json", Body=b"{}")
            assert set(await outputs(bucket, 2)) == {"a.json", "a.log"}


async def test_a_restarting_store_breaks_off_and_comes_back_with_its_objects():
    errors: list[str] = []
    with service(store_restarts=0.5, store_outage=0.3) as local:
        async with s3(local.connection) as bucket:
            with anyio.fail_after(60):
                await until_it_answers(
                    lambda: bucket.put_object(Bucket="local", Key="other/kept", Body=b"kept")
                )
                while {"XMinioServerNotInitialized", "reset"} - set(errors):
                    try:
                        await bucket.list_objects_v2(Bucket="local")
                    except ClientError as error:
                        errors.append(error.response["Error"]["Code"])
                    except BotoCoreError:
                        errors.append("reset")
                answer = await until_it_answers(
                    lambda: bucket.get_object(Bucket="local", Key="other/kept")
                )
                assert await answer["Body"].read() == b"kept"


async def until_it_answers(call):
    while True:
        try:
            return await call()
        except (ClientError, BotoCoreError):
            await anyio.sleep(0.05)


async def test_after_a_kill_it_goes_on_under_the_same_address(tmp_path: Path):
    with service(data=str(tmp_path / "data"), latency=0.05) as local:
        before = local.connection
        async with s3(before) as bucket:
            await bucket.put_object(Bucket="local", Key="inputs/a.json", Body=b"{}")
            assert len(await outputs(bucket, 2)) == 2
        local.restart()
        assert local.connection == before
        async with s3(local.connection) as bucket:
            assert "inputs/a.json" in await keys(bucket)
            assert len(await outputs(bucket, 2)) == 2
            assert (await call(local.connection, b"{}"))[0] == 200
            assert local.read_stats() == {"sync_started": 1, "sync_finished": 1}
