"""The ASGI entry of the Wave app: `uvicorn --factory app:create`, as the launcher (`llm-studio studio`) runs it."""

from llm_studio.ui.app import create

__all__ = ["create"]
