"""Connector "azure": one blob of Azure Blob Storage."""

import re
from pathlib import Path
from typing import Any

from llm_studio.data.connectors import Source, SourceFile, text_of
from llm_studio.data.connectors.transfer import file_name, save
from llm_studio.data.reading.progress import Report
from llm_studio.errors import UserError
from llm_studio.store import Store
from llm_studio.store.secrets import from_environment

WAIT_SECONDS = 15
KEYS_FIX = "Check account and key, or copy the connection string anew from the account's page under Access keys."


def check(store: Store, source: Source) -> None:
    """Whether the container is well formed, and an account or a connection string is given."""
    container, account = text_of(source, "container"), account_of(source)
    if not re.fullmatch(r"\$root|\$web|[a-z0-9](-?[a-z0-9]){2,62}", container):
        raise UserError(
            f"{container!r} is not the name of a container.",
            where="Azure, Container",
            fix="A name has 3 to 63 small letters, digits and single hyphens.",
        )
    if not store.secrets.get("azure_connection_string") and not re.fullmatch(r"[a-z0-9]{3,24}", account):
        raise UserError(
            f"{account!r} is not the name of a storage account." if account else "No account is given.",
            where="Azure, Account",
            fix="Write the account's name (3 to 24 small letters and digits), or give a connection string.",
        )


def account_of(source: Source) -> str:
    """The account of the form, else of the environment."""
    return text_of(source, "account") or from_environment("azure_account") or ""


def address(source: Source) -> str:
    """azure:container/blob."""
    return f"azure:{text_of(source, 'container')}/{text_of(source, 'blob').lstrip('/')}"


def fetch(store: Store, source: Source, folder: Path, report: Report) -> tuple[SourceFile, ...]:
    """Downloads the blob.

    Raises:
        UserError: no credentials, a wrong key, no such account, container or blob, no network.
    """
    from azure.core import exceptions

    name = file_name(text_of(source, "blob"))
    where = address(source)
    report(None, f"Asking for {where}")
    key = store.secrets.get("azure_connection_string") or store.secrets.get("azure_key")
    try:
        with service(store, source) as client:
            blob = client.get_blob_client(text_of(source, "container"), text_of(source, "blob").lstrip("/"))
            stream = blob.download_blob()
            save(stream.chunks(), folder / name, total_bytes=int(stream.size), report=report)
    except exceptions.ServiceRequestError as error:
        fix = "Check the account's name and the network of the server, then try again."
        raise UserError("The storage account cannot be reached from here.", where=where, fix=fix) from error
    except exceptions.ClientAuthenticationError as error:
        if error.status_code:
            raise explained(error, source, has_key=bool(key)) from error
        what = "The key is not well formed, so that no request can be signed with it."
        raise UserError(what, where=where, fix=KEYS_FIX) from error
    except exceptions.AzureError as error:
        raise explained(error, source, has_key=bool(key)) from error
    except ValueError as error:  # a connection string or a key that is none
        what = "The connection string or key is not well formed."
        raise UserError(what, where=where, fix=KEYS_FIX) from error
    return (SourceFile(folder / name, name, ours=True),)


def service(store: Store, source: Source) -> Any:
    """The client of the account."""
    from azure.storage.blob import BlobServiceClient

    waits: dict[str, Any] = {
        "connection_timeout": WAIT_SECONDS, "read_timeout": 2 * WAIT_SECONDS,
        "retry_total": 2, "initial_backoff": 1, "increment_base": 2,
    }  # fmt: skip
    if text := store.secrets.get("azure_connection_string"):
        return BlobServiceClient.from_connection_string(text, **waits)
    key = (store.secrets.get("azure_key") or "").strip() or None
    account = account_of(source)
    return BlobServiceClient(f"https://{account}.blob.core.windows.net", credential=key, **waits)


def explained(error: Any, source: Source, *, has_key: bool) -> UserError:
    """An answer of the service in words."""
    where = address(source)
    container, blob = text_of(source, "container"), text_of(source, "blob")
    code, status = str(getattr(error, "error_code", "") or ""), getattr(error, "status_code", 0)
    if code == "ContainerNotFound":
        return UserError(f"There is no container {container}.", where=where, fix="Check its name for typing errors.")
    if status == 404 and (has_key or code == "BlobNotFound"):
        fix = "Check the name for typing errors; upper and lower case differ."
        return UserError(f"The container {container} has no blob {blob}.", where=where, fix=fix)
    if not has_key and status in (401, 403, 404, 409):
        what = "Azure gives the blob to nobody without credentials, or there is none of that name."
        return UserError(what, where=where, fix="Give a connection string, or a key or SAS token of the account.")
    if status in (401, 403):
        return UserError(f"Azure refuses the credentials ({code or status}).", where=where, fix=KEYS_FIX)
    said = str(error).splitlines()[0][:200]
    return UserError(f"Azure answered with an error: {said}", where=where, fix="Try again in a moment.")
