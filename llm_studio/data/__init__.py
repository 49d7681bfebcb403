"""Files in, conversations out: reading, layouts, split and statistics of data sets."""

from llm_studio.data.dataset import Dataset, Split, open_dataset
from llm_studio.data.types import Conversation, Message

__all__ = ["Conversation", "Dataset", "Message", "Split", "open_dataset"]
