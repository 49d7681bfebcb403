"""Runs moto's S3 over HTTP until its input ends, with one user whose keys are checked; prints them as one line of JSON.

Runs in an environment of its own, .venv/moto (tests/end_to_end/install_servers.sh): boto3 does not go with the lock.
"""

import json
import os
import sys

os.environ["INITIAL_NO_AUTH_ACTION_COUNT"] = "1000000"  # until the user is made

import boto3  # type: ignore[import-not-found]
import moto.settings  # type: ignore[import-not-found]
from moto.core.responses import ActionAuthenticatorMixin  # type: ignore[import-not-found]
from moto.server import ThreadedMotoServer  # type: ignore[import-not-found]

ALLOWED = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}


def main() -> None:
    """Starts, fills, prints, waits."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    options = {"endpoint_url": address, "region_name": "us-east-1"}
    iam = boto3.client("iam", aws_access_key_id="x", aws_secret_access_key="y", **options)
    policy = json.dumps({"Version": "2012-10-17", "Statement": [ALLOWED]})
    iam.create_user(UserName="reader")
    iam.put_user_policy(UserName="reader", PolicyName="all", PolicyDocument=policy)
    iam.create_user(UserName="nobody")
    keys = {name: iam.create_access_key(UserName=name)["AccessKey"] for name in ("reader", "nobody")}
    s3 = boto3.client("s3", aws_access_key_id="x", aws_secret_access_key="y", **options)
    s3.create_bucket(Bucket="sets")
    s3.put_object(Bucket="sets", Key="a b/rows.csv", Body=b"question,answer\n1,2\n")
    s3.put_object(Bucket="sets", Key="large.csv", Body=b"question,answer\n" + b"1,2\n" * 2_000_000)
    ActionAuthenticatorMixin.request_count = 0
    moto.settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    users = {name: [key["AccessKeyId"], key["SecretAccessKey"]] for name, key in keys.items()}
    print(json.dumps({"address": address, **users}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
