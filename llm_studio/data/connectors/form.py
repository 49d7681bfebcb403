"""What a user typed into a connector's form becomes a source without secrets; these go to the secrets store."""

import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from llm_studio.catalog.connectors import Connector
from llm_studio.data.connectors import Source, connector_of
from llm_studio.data.connectors.https import QUERY
from llm_studio.errors import UserError
from llm_studio.store import Store

QUERIES = "https_queries"  # preference: names of the queries that are kept


def take_form(store: Store, kind: str, typed: Mapping[str, object]) -> dict[str, object]:
    """The source that a filled form means; what is secret in it is kept, under the names that the catalog gives.

    An empty secret leaves a saved one as it is. The query of a web address may hold a signature: it is kept under a
    name of its own, which `forget` removes.

    Raises:
        UserError: a secret holds white space or control characters.
    """
    entry = connector_of({"kind": kind})
    source: dict[str, object] = {"kind": kind}
    for field in entry.fields:
        value = str(typed.get(field.name) or "").strip()
        if field.secret:
            if value:
                refuse_broken(value, f"{entry.title}, {field.label}")
                store.secrets.set(field.secret, value)
            continue
        if field.remembered:
            store.preferences.set(preference_of(kind, field.name), value)
        if value:
            source[field.name] = value
    parts = urlsplit(str(source.get("url", "")))
    if parts.query and parts.scheme == "https":
        name = f"https_query_{secrets.token_hex(6)}"
        forget_left_over(store, name)
        store.secrets.set(name, parts.query)
        source |= {"url": urlunsplit((parts.scheme, parts.netloc, parts.path, "", "")), QUERY: name}
    return source


def refuse_broken(value: str, where: str) -> None:
    """A key that was not copied whole."""
    if any(not " " <= character <= "~" for character in value):
        raise UserError("It holds a character that no key has.", where=where, fix="Copy it anew, in one line.")


def remembered(store: Store, entry: Connector) -> dict[str, str]:
    """The values last used, of the fields that are remembered."""
    return {
        field.name: str(store.preferences.get(preference_of(entry.name, field.name), "") or "")
        for field in entry.fields
        if field.remembered
    }


def saved(store: Store, entry: Connector) -> dict[str, str]:
    """Where each secret of a form is kept ("keyring", "file", "environment"); without those that there are not."""
    return {
        field.secret: store.secrets.where(field.secret)
        for field in entry.fields
        if field.secret and store.secrets.get(field.secret)
    }


def forget(store: Store, source: Source) -> None:
    """Removes what was kept for one import alone."""
    if name := str(source.get(QUERY) or ""):
        store.secrets.delete(name)


def forget_left_over(store: Store, fresh: str) -> None:
    """Removes what imports that were killed could not; `fresh` is the name that is about to be used."""
    active = (dict(job.params.get("source") or {}) for job in store.jobs.list(active=True))
    used = {str(source.get(QUERY, "")) for source in active}
    known = [str(name) for name in store.preferences.get(QUERIES, []) or []]
    for name in known:
        if name not in used:
            store.secrets.delete(name)
    store.preferences.set(QUERIES, [*(name for name in known if name in used), fresh])


def forget_keys(store: Store, entry: Connector) -> None:
    """Removes the saved keys of a connector."""
    for field in entry.fields:
        if field.secret:
            store.secrets.delete(field.secret)


def preference_of(kind: str, field: str) -> str:
    """Where the value last used is remembered."""
    return f"source_{kind}_{field}"
