"""Where data comes from."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Connector:
    """One member; `function` ("module:function") is imported when it is needed."""

    name: str
    title: str
    help: str
    function: str


CONNECTORS: tuple[Connector, ...] = (
    Connector("upload", "Upload", "A file from this computer.", "llm_studio.data.connectors.upload:find"),
    Connector("local", "Folder on the server", "A file in an allowed folder.", "llm_studio.data.connectors.local:find"),
    Connector(
        "starter", "Bundled sample", "A small data set that came along.", "llm_studio.data.connectors.starter:find"
    ),
)
