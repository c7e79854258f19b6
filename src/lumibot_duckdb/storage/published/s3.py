"""Snapshots in a bucket of S3, or of a server that speaks its protocol, through boto3.

Credentials come from boto3's usual chain. Error messages are made from codes and statuses only, so that nothing a
server repeats of a request reaches a log.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lumibot_duckdb.storage.api import OnBytes
from lumibot_duckdb.storage.errors import PublishedSnapshotError, SnapshotGoneError
from lumibot_duckdb.storage.published.objects import BLOCK, InterruptedReadError, ObjectBody, StoredObject

_PART = 16 * 2**20
"""Bytes of a part of a multipart upload. Four parts are sent at a time."""
_CONNECT_SECONDS, _READ_SECONDS = 10, 60
_ATTEMPTS = 6
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")

_CREDENTIALS = "check the credentials that boto3 finds (environment, ~/.aws, or the role of the machine)"
_REMEDIES = {
    "NoSuchBucket": "create the bucket, or correct its name",
    "AccessDenied": f"{_CREDENTIALS}, and the permissions of the bucket (to read GetObject; to publish also PutObject "
    "and ListBucket, and with --keep DeleteObject). Without ListBucket, S3 answers in the same way if nothing is there",
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": "the credentials have expired: renew them",
    "PermanentRedirect": "the bucket is in another region: set AWS_REGION",
    "PreconditionFailed": "the object was changed while it was read: open the snapshot again",
    "SlowDown": "the server is overloaded: try again later",
    "ServiceUnavailable": "the server is overloaded: try again later",
}
_BY_STATUS = {"301": "PermanentRedirect", "403": "AccessDenied", "412": "PreconditionFailed", "503": "SlowDown"}
_GONE = ("NoSuchKey", "404")


class S3Objects:
    """The objects of a bucket under a prefix ("" or "a/b")."""

    def __init__(self, bucket: str, prefix: str) -> None:
        self._bucket = bucket
        self._prefix = prefix

    @property
    def location(self) -> str:
        """The URL, "s3://bucket/prefix"."""
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, name: str, most_bytes: int) -> bytes:
        """Return a small object."""
        with self._explained("read", name):
            found = self._client.get_object(Bucket=self._bucket, Key=self._key(name))
            with closing(found["Body"]) as body:
                content: bytes = body.read(most_bytes + 1)
        if len(content) > most_bytes:
            raise PublishedSnapshotError(
                f"{self.location}/{name} has more than {most_bytes:,} bytes, so it is no manifest: publish again"
            )
        return content

    @contextmanager
    def read(self, name: str, start: int, tag: str | None) -> Iterator[ObjectBody]:
        """Open an object from a byte on, of which there is at least one."""
        only_if = {} if tag is None else {"IfMatch": tag}
        with self._explained("read", name):
            found = self._client.get_object(
                Bucket=self._bucket, Key=self._key(name), Range=f"bytes={start}-", **only_if
            )
        if start and found["ResponseMetadata"]["HTTPStatusCode"] != 206:
            found["Body"].close()
            raise PublishedSnapshotError(f"{_server()} ignores ranges, so the download of {name} cannot be continued")
        with closing(found["Body"]) as body:
            yield ObjectBody(found["ETag"], _blocks(body))

    def put(self, name: str, content: bytes) -> None:
        """Write a small object."""
        with self._explained("write", name):
            self._client.put_object(
                Bucket=self._bucket, Key=self._key(name), Body=content, ContentType="application/json"
            )

    def put_file(self, name: str, file: Path, on_bytes: OnBytes | None) -> None:
        """Upload a file in parts, and check how much has arrived."""
        from boto3.s3.transfer import TransferConfig

        size, sent = file.stat().st_size, 0

        def count(more: int) -> None:
            nonlocal sent
            sent += more
            if on_bytes is not None:
                on_bytes(min(sent, size), size)

        parts = TransferConfig(multipart_threshold=_PART, multipart_chunksize=_PART, max_concurrency=4)
        with self._explained("write", name):
            self._client.upload_file(str(file), self._bucket, self._key(name), Config=parts, Callback=count)
            stored = self._client.head_object(Bucket=self._bucket, Key=self._key(name))["ContentLength"]
        if stored != size:
            raise PublishedSnapshotError(
                f"{self.location}/{name} has {stored:,} bytes instead of {size:,} after the upload: publish again"
            )

    def objects(self, beginning: str) -> list[StoredObject]:
        """Return the objects whose names begin so."""
        with self._explained("list", beginning):
            pages = self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._key(beginning)
            )
            listed = [each for page in pages for each in page.get("Contents", ())]
        start = len(self._key(""))
        return [StoredObject(each["Key"][start:], each["Size"], each["LastModified"]) for each in listed]

    def delete(self, name: str) -> None:
        """Delete an object."""
        with self._explained("delete", name):
            self._client.delete_object(Bucket=self._bucket, Key=self._key(name))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name

    @cached_property
    def _client(self) -> Any:
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError

        retries: dict[str, Any] = {}
        if "AWS_RETRY_MODE" not in os.environ:
            retries["mode"] = "standard"
        if "AWS_MAX_ATTEMPTS" not in os.environ:
            retries["total_max_attempts"] = _ATTEMPTS
        config = Config(
            connect_timeout=_CONNECT_SECONDS,
            read_timeout=_READ_SECONDS,
            retries=retries,
            # Many servers do not know the checksums that newer releases of boto3 add; the manifest has a better one.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
        try:
            return boto3.session.Session().client("s3", endpoint_url=_endpoint(), config=config)
        except (BotoCoreError, ValueError) as error:
            raise PublishedSnapshotError(
                f"{self.location} cannot be reached, because boto3's settings are unusable ({type(error).__name__}): "
                "check AWS_PROFILE, AWS_ENDPOINT_URL_S3, AWS_REGION and ~/.aws/config"
            ) from None

    @contextmanager
    def _explained(self, verb: str, name: str) -> Iterator[None]:
        """Raise errors of boto3 as errors with a remedy."""
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError, NoCredentialsError
        from botocore.exceptions import ConnectionError as NoConnection

        what = f"cannot {verb} {self.location}/{name}"
        try:
            yield
        except ClientError as error:
            raise self._refused(what, error.response) from None
        except NoCredentialsError:
            raise PublishedSnapshotError(f"{what}: there are no credentials; {_CREDENTIALS}") from None
        except (NoConnection, HTTPClientError) as error:
            raise PublishedSnapshotError(
                f"{what}: {_server()} does not answer ({type(error).__name__}). Check the network and "
                f"{_ENDPOINT_VARIABLES[0]}, or set LUMIBOT_DUCKDB_OFFLINE=true to use what was downloaded before"
            ) from None
        except BotoCoreError as error:
            raise PublishedSnapshotError(f"{what}: {type(error).__name__}; {_CREDENTIALS}, and AWS_REGION") from None
        except Boto3Error as error:  # of an upload; the cause is one of the above
            cause = error.__context__
            if isinstance(cause, ClientError):
                raise self._refused(what, cause.response) from None
            raise PublishedSnapshotError(f"{what} ({type(cause or error).__name__}): try again") from None

    def _refused(self, what: str, response: Any) -> PublishedSnapshotError:
        code = str(response.get("Error", {}).get("Code", ""))
        status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        if code in _GONE:
            return SnapshotGoneError(f"{what}: it is not there; publish a snapshot there first, or correct the URL")
        remedy = _REMEDIES.get(code) or _REMEDIES.get(_BY_STATUS.get(status, ""), "try again later")
        shown = code if code.isalnum() and len(code) <= 50 else "unknown error"
        return PublishedSnapshotError(f"{what}: {_server()} answered {shown} (HTTP status {status}); {remedy}")


def _endpoint() -> str | None:
    """Return the server that the environment names; None for that of boto3's configuration."""
    return next((os.environ[name] for name in _ENDPOINT_VARIABLES if os.environ.get(name)), None)


def _server() -> str:
    """Return the server's name without what may be secret in its URL."""
    url = urlsplit(_endpoint() or "")
    return url.hostname or "the S3 server"


def _blocks(body: Any) -> Iterator[bytes]:
    from botocore.exceptions import BotoCoreError, HTTPClientError
    from urllib3.exceptions import HTTPError

    try:
        while block := body.read(BLOCK):
            yield block
    except (BotoCoreError, HTTPClientError, HTTPError, OSError) as error:
        raise InterruptedReadError(type(error).__name__) from None
