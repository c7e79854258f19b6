"""Waits for the S3 server of the environment, and makes a bucket there: `python make_bucket.py BUCKET`."""

import sys
import time

import boto3
from botocore.exceptions import BotoCoreError, ClientError

SECONDS = 60

if __name__ == "__main__":
    client = boto3.client("s3")
    end = time.monotonic() + SECONDS
    while True:
        try:
            client.create_bucket(Bucket=sys.argv[1])
            client.put_object(
                Bucket=sys.argv[1], Key="ready", Body=b""
            )  # a new server needs a moment until it can write
            break
        except client.exceptions.BucketAlreadyOwnedByYou:
            break
        except (BotoCoreError, ClientError) as error:
            if time.monotonic() > end:
                sys.exit(f"the S3 server does not answer after {SECONDS} seconds: {error}")
            time.sleep(0.5)
