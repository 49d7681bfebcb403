"""Where data comes from, and what each place asks for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceField:
    """One field of a connector's form. With `secret` its value goes to the secrets under that name, never elsewhere.

    `remembered`: the value last used is offered again.
    """

    name: str
    label: str
    tooltip: str
    required: bool = False
    example: str = ""
    secret: str = ""
    remembered: bool = False


@dataclass(frozen=True)
class Connector:
    """One member; `module` is imported when it is needed.

    A module with `find` names a file on this machine. One with `fetch` (`fetches`) brings files here in a data job; its
    form is made from `fields`. `origin` follows a file's name ("a.csv, uploaded"). `requires` (a module) comes with
    `package`, which is not installed with the studio.
    """

    name: str
    title: str
    help: str
    module: str
    origin: str
    fetches: bool = False
    fields: tuple[SourceField, ...] = ()
    requires: str = ""
    package: str = ""


HUB_FIELDS = (
    SourceField("repository", "Data set", "Its name on the Hub, as owner/name.", True, "owner/name"),
    SourceField("config", "Config", "Which of its configs; may be empty when there is one.", False, "main"),
    SourceField("split", "Split", "Which of its splits; when empty, the only one or “train”.", False, "train"),
    SourceField("revision", "Revision", "A branch, a tag or a commit; when empty, the newest state.", False, "main"),
    SourceField(
        "token",
        "Token",
        "For gated and private data sets. The same token as under Settings; read access is enough.",
        example="hf_…",
        secret="huggingface_token",
    ),
)
S3_FIELDS = (
    SourceField("bucket", "Bucket", "The name of the bucket, without s3://.", True, "my-bucket"),
    SourceField("key", "Key", "The whole key of one file in the bucket.", True, "folder/rows.jsonl"),
    SourceField("region", "Region", "Where the bucket is; may be empty.", False, "eu-central-1", remembered=True),
    SourceField(
        "endpoint",
        "Endpoint",
        "The address of another S3-compatible store; empty for AWS.",
        False,
        "https://s3.example.org",
        remembered=True,
    ),
    SourceField(
        "access_key",
        "Access key",
        "Its id. When empty, the credentials of the server's environment are used.",
        secret="s3_access_key",
    ),
    SourceField("secret_key", "Secret key", "Belongs to the access key.", secret="s3_secret_key"),
)
AZURE_FIELDS = (
    SourceField("container", "Container", "The name of the blob container.", True, "my-container"),
    SourceField("blob", "Blob", "The whole name of one blob.", True, "folder/rows.jsonl"),
    SourceField(
        "account", "Account", "The storage account; not needed with a connection string.", False, "myaccount",
        remembered=True,
    ),
    SourceField(
        "connection_string",
        "Connection string",
        "From the account's page, under Access keys. It takes the place of account and key.",
        secret="azure_connection_string",
    ),
    SourceField("key", "Key or SAS token", "Belongs to the account. Empty for public data.", secret="azure_key"),
)  # fmt: skip
HTTPS_FIELDS = (
    SourceField("url", "Address", "Of one file. It is fetched by the server, not by this browser.", True, "https://…"),
    SourceField(
        "limit_gb", "At most, in GB", "A larger file is not fetched. When empty: 20 GB.", False, "20", remembered=True
    ),
)
KAGGLE_FIELDS = (
    SourceField("dataset", "Data set", "Its name on Kaggle, as owner/name.", True, "owner/name"),
    SourceField("file", "File", "Which of its files; may be empty when there is one that can be read.", False, "a.csv"),
    SourceField("username", "User name", "Yours on Kaggle.", False, remembered=True),
    SourceField("key", "API key", "From your Kaggle account's settings, under API.", secret="kaggle_key"),
)
PLACE = "llm_studio.data.connectors"

CONNECTORS: tuple[Connector, ...] = (
    Connector("upload", "Upload", "A file from this computer.", f"{PLACE}.upload", "uploaded"),
    Connector("local", "Folder on the server", "A file in an allowed folder.", f"{PLACE}.local", "from the server"),
    Connector("starter", "Bundled sample", "A small data set that came along.", f"{PLACE}.starter", "bundled sample"),
    Connector(
        "hub", "Hugging Face Hub", "A data set of the Hub; only its data files are read, none of its code is run.",
        f"{PLACE}.hub", "from the Hugging Face Hub", True, HUB_FIELDS,
    ),
    Connector("https", "Web address", "One file from a public https address.", f"{PLACE}.https", "from the web", True,
              HTTPS_FIELDS),
    Connector("s3", "S3", "One file in a bucket of AWS S3 or a store like it.", f"{PLACE}.s3", "from S3", True,
              S3_FIELDS),
    Connector(
        "azure", "Azure", "One blob of Azure Blob Storage.", f"{PLACE}.azure", "from Azure", True, AZURE_FIELDS,
        "azure.storage.blob", "azure-storage-blob",
    ),
    Connector(
        "kaggle", "Kaggle", "One file of a data set on Kaggle.", f"{PLACE}.kaggle", "from Kaggle", True, KAGGLE_FIELDS,
        "kagglesdk", "kagglesdk",
    ),
)  # fmt: skip
