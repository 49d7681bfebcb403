"""Connector "upload": a file that the browser sent, already moved into the studio's uploads under a name of ours."""

from pathlib import Path

from llm_studio.data.connectors import Source, SourceFile
from llm_studio.errors import UserError
from llm_studio.store import Store


def find(store: Store, source: Source) -> SourceFile:
    """The uploaded file; a path outside the uploads is refused.

    Raises:
        UserError: the upload is gone.
    """
    path = Path(str(source["path"])).resolve()
    name = str(source.get("name") or path.name)
    if not path.is_relative_to(store.home.uploads.resolve()) or not path.is_file():
        raise UserError(f"The upload {name} is no longer there.", where=name, fix="Upload the file again.")
    return SourceFile(path, name, ours=True)
