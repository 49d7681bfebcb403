"""A judge on a free port: an OpenAI-compatible server whose replies a test decides."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from llm_studio.evaluation.judge import TRIAL
from tests.support.web import reply, running_site

Body = dict[str, Any]
Answer = str | tuple[int, str] | None
"""A reply, an HTTP status with a message, or None for none at all: it hangs until the block ends."""


@dataclass
class JudgeServer:
    """url: of the endpoint. asked: bodies in the order of asking; keys: the Authorization of each; trials: how many of
    them were about the made-up question."""

    url: str = ""
    asked: list[Body] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    trials: int = 0
    hanging: bool = True


def graded(answers: Answer | Callable[[str], Answer]) -> Callable[[Body], Answer]:
    """The same for every row, or what a function of the text that is graded says; the trial is always passed."""

    def answer(body: Body) -> Answer:
        text = str(body["messages"][-1]["content"])
        if TRIAL.question in text:
            return "It is right.\nSCORE: 1"
        return answers(text) if callable(answers) else answers

    return answer


def part(text: str, name: str) -> str:
    """What stands between the tags of that name."""
    return text.partition(f"<{name}>\n")[2].partition(f"\n</{name}>")[0]


@contextmanager
def running_judge(answer: Callable[[Body], Answer], models: tuple[str, ...] = ("grader",)) -> Iterator[JudgeServer]:
    """A judge that ends with the block."""
    judge = JudgeServer()

    def respond(handler: BaseHTTPRequestHandler) -> None:
        if handler.command == "GET":
            judge.keys.append(handler.headers.get("Authorization", ""))
            found = {"data": [{"id": name} for name in models]}
            reply(handler, json.dumps(found).encode(), 200 if handler.path == "/v1/models" else 404)
            return
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        judge.asked.append(body)
        judge.keys.append(handler.headers.get("Authorization", ""))
        judge.trials += TRIAL.question in body["messages"][-1]["content"]
        said = answer(body) if handler.path == "/v1/chat/completions" else (404, "no such path")
        while said is None and judge.hanging:
            time.sleep(0.02)
        if said is None or isinstance(said, tuple):
            status, message = said or (503, "ended")
            leads_on = {"Location": f"{judge.url}/elsewhere"} if 300 <= status < 400 else {}
            reply(handler, json.dumps({"error": {"message": message}}).encode(), status, **leads_on)
            return
        message = {"role": "assistant", "content": said}
        reply(handler, json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode())

    with running_site(respond) as site:
        judge.url = f"http://127.0.0.1:{site.port}/v1"
        try:
            yield judge
        finally:
            judge.hanging = False
