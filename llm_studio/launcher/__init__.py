"""Starts, minds and stops the processes of the studio: waved, the app and the worker supervisor.

Replaces `wave run`, which listens on every interface with well-known keys, leaves waved behind when it is told to stop,
and never registers the app again after waved died.
"""

from llm_studio.launcher.studio import run

__all__ = ["run"]
