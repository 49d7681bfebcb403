"""Connector "s3": one file in a bucket of S3 or of a store that speaks its language, by the client inside pyarrow.

boto3 is not used: its newest version forbids the python-dateutil that the studio's other libraries have.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llm_studio.data.connectors import Source, SourceFile, text_of
from llm_studio.data.connectors.transfer import CHUNK_BYTES, file_name, save
from llm_studio.data.reading.progress import Report
from llm_studio.errors import UserError
from llm_studio.store import Store

CONNECT_SECONDS = 10
REQUEST_SECONDS = 30
TRIES = 3


def check(store: Store, source: Source) -> None:
    """Whether bucket and endpoint are well formed, and access and secret key come together."""
    bucket, endpoint = text_of(source, "bucket"), text_of(source, "endpoint")
    if not re.fullmatch(r"[a-z0-9A-Z][\w.-]{1,62}", bucket, re.ASCII):
        raise UserError(
            f"{bucket!r} is not the name of a bucket.", where="S3, Bucket", fix="Write its name alone, without s3://."
        )
    if endpoint and not re.fullmatch(r"https?://[^/@\s]+/?", endpoint):
        raise UserError(
            f"{endpoint!r} is not the address of a store.", where="S3, Endpoint", fix="Write it as https://host."
        )
    access_key, secret_key = credentials(store)
    if bool(access_key) != bool(secret_key):
        lacking = "secret key" if access_key else "access key"
        raise UserError(f"The {lacking} is missing.", where="S3", fix="Give both keys, or neither.")


def credentials(store: Store) -> tuple[str | None, str | None]:
    """The keys that the user saved."""
    return store.secrets.get("s3_access_key"), store.secrets.get("s3_secret_key")


def address(source: Source) -> str:
    """s3://bucket/key."""
    return f"s3://{text_of(source, 'bucket')}/{text_of(source, 'key').lstrip('/')}"


def fetch(store: Store, source: Source, folder: Path, report: Report) -> tuple[SourceFile, ...]:
    """Downloads the file.

    Raises:
        UserError: no credentials, wrong keys, no such bucket or key, another region, no network.
    """
    bucket, key = text_of(source, "bucket"), text_of(source, "key").lstrip("/")
    where = address(source)
    access_key, secret_key = credentials(store)
    report(None, f"Asking for {where}")
    files = connect(source, access_key, secret_key)
    try:
        with files.open_input_file(f"{bucket}/{key}") as body:
            name = file_name(key)
            chunks = until_empty(body)
            save(chunks, folder / name, total_bytes=int(body.size()), report=report)
    except OSError as error:
        if error.errno is not None and not isinstance(error, FileNotFoundError):
            raise
        raise explained(files, bucket, key, str(error), has_keys=bool(access_key), where=where) from error
    return (SourceFile(folder / name, name, ours=True),)


def connect(source: Source, access_key: str | None, secret_key: str | None) -> Any:
    """The store; without keys it takes those of the environment, of ~/.aws or of the machine's role."""
    from pyarrow import fs

    keys = {"access_key": access_key, "secret_key": secret_key} if access_key else {}
    return fs.S3FileSystem(
        **keys,
        region=text_of(source, "region") or None,
        endpoint_override=text_of(source, "endpoint").rstrip("/") or endpoint_of_environment(),
        connect_timeout=CONNECT_SECONDS,
        request_timeout=REQUEST_SECONDS,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=TRIES),
    )


def endpoint_of_environment() -> str | None:
    """The address that AWS's own tools take from the environment; pyarrow does not look for it."""
    return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL") or None


def until_empty(body: Any) -> Iterator[bytes]:
    """Chunks of an open file."""
    while chunk := body.read(CHUNK_BYTES):
        yield bytes(chunk)


def explained(files: Any, bucket: str, key: str, said: str, *, has_keys: bool, where: str) -> UserError:
    """What was wrong. Asking for a file gives no reason (the answer has no body), so the bucket is asked as well."""
    from pyarrow import fs

    try:
        files.get_file_info(fs.FileSelector(f"{bucket}/{key}".rpartition("/")[0], allow_not_found=False))
    except OSError as error:
        if "NO_SUCH" in str(error) or "AWS Error" in str(error):
            said = str(error) if "AWS Error" in str(error) else said
    code = match[1] if (match := re.search(r"AWS Error (\w+)", said)) else ""
    status = match[1] if (match := re.search(r"HTTP status (\d+)", said)) else ""
    keys_fix = "Check access key and secret key for typing errors, or save them anew."
    if code in ("INVALID_ACCESS_KEY_ID", "UNRECOGNIZED_CLIENT", "INVALID_CLIENT_TOKEN_ID"):
        return UserError("The store does not know the access key.", where=where, fix=keys_fix)
    if code == "SIGNATURE_DOES_NOT_MATCH":
        return UserError("The secret key does not belong to the access key.", where=where, fix=keys_fix)
    if code == "NO_SUCH_BUCKET":
        fix = "Check its name for typing errors, and the endpoint."
        return UserError(f"There is no bucket {bucket}.", where=where, fix=fix)
    if code == "NETWORK_CONNECTION" or "curlCode" in said:
        fix = "Check the endpoint and the network of the server, then try again."
        return UserError("The store cannot be reached from here.", where=where, fix=fix)
    if status == "301" or "PermanentRedirect" in said:
        return UserError(f"The bucket {bucket} is in another region.", where=where, fix="Write its region in the form.")
    if not code or code in ("NO_SUCH_KEY", "RESOURCE_NOT_FOUND"):
        fix = "Check the key for typing errors; upper and lower case differ."
        return UserError(f"The bucket {bucket} has no file {key}.", where=where, fix=fix)
    if not has_keys:
        what = "The store gives the file to nobody without credentials, and the server's environment has none that fit."
        return UserError(what, where=where, fix="Give an access key and a secret key that may read it.")
    what = f"The store refuses the file to this access key ({code})."
    return UserError(what, where=where, fix="Give keys that may read it, or ask the owner of the bucket.")
