"""The /v1 endpoint of one loaded model: checks the key, lets one answer at a time through, stops with its client."""

import asyncio
import contextlib
import hmac
import logging
import secrets
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse

from llm_studio.errors import UserError
from llm_studio.modeling.sampling import Sampling
from llm_studio.serving import protocol
from llm_studio.serving.engine import ChatEngine, Usage

log = logging.getLogger("llm_studio.serving")
MOST_WAITING = 32
LOOK_SECONDS = 0.05  # how often a waiting answer looks whether its client is still there
SIGN_OF_LIFE = ": still here\n\n"  # a comment in the stream, so that the client can tell waiting from death
NO_BROWSER_CACHE = {"Cache-Control": "no-store"}


@dataclass
class Turns:
    """One answer at a time, in the order of asking."""

    line: list[threading.Event] = field(default_factory=list)
    """What ends each answer; the first one is being made, the others wait."""

    def stop_all(self) -> None:
        """End every answer: the process is about to end."""
        for stopped in self.line:
            stopped.set()


class KeyRefusedError(UserError):
    """Somebody without the key asked."""


class ClientLeft(Exception):  # noqa: N818 - an outcome, not an error
    """Nobody waits for this answer any more."""


def create(
    engine: ChatEngine,
    *,
    api_key: str,
    defaults: Sampling,
    on_ready: Callable[[], None] = lambda: None,
    on_use: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The application.

    on_ready: called when it is about to accept requests. on_use: called (in a thread) at the begin and end of answers.
    """
    turns = Turns()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        on_ready()
        yield
        turns.stop_all()

    app = FastAPI(title="LLM Studio model", lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    locked = [Depends(_key_check(api_key))]
    _say_errors_plainly(app)

    _add_routes(app, engine, turns, locked, defaults, on_use)
    return app


def _add_routes(
    app: FastAPI, engine: ChatEngine, turns: Turns, locked: list[Any], defaults: Sampling, on_use: Callable[[], None]
) -> None:
    @app.get("/health")
    async def health() -> dict[str, Any]:
        return {"status": "ok", "answers": len(turns.line)}

    @app.get("/v1/models", dependencies=locked)
    async def models() -> dict[str, Any]:
        model = {
            "id": engine.name,
            "object": "model",
            "created": 0,
            "owned_by": "llm-studio",
            "has_adapter": engine.has_adapter,
            "context_length": engine.context_length,
        }
        return {"object": "list", "data": [model]}

    @app.post("/v1/chat/completions", dependencies=locked)
    async def chat(body: protocol.ChatRequest, request: Request) -> Response:
        sampling = body.sampling(defaults)
        conversation = body.conversation()
        await asyncio.to_thread(engine.check, conversation, adapter=body.adapter)
        if len(turns.line) > MOST_WAITING:
            error = UserError(f"{MOST_WAITING} answers are waiting already.", fix="Try again in a moment.")
            return JSONResponse(protocol.error_body(error, "rate_limit_error", "queue_full"), 429)
        usage = Usage()
        pieces = _pieces(engine, turns, request, conversation, sampling, body.adapter, usage, on_use)
        identity = f"chatcmpl-{secrets.token_hex(12)}"
        if body.stream:
            events = _events(pieces, identity, engine.name, usage)
            return StreamingResponse(events, media_type="text/event-stream", headers=NO_BROWSER_CACHE)
        try:
            text = "".join([piece async for piece in pieces])
        except ClientLeft:
            return Response(status_code=499)
        return JSONResponse(
            protocol.completion(identity, engine.name, text, usage.finish_reason, _usage(usage)),
            headers=NO_BROWSER_CACHE,
        )


def _key_check(api_key: str) -> Callable[[Request], None]:
    def check(request: Request) -> None:
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), api_key.encode()):
            raise KeyRefusedError("The key is missing or wrong.", where="Authorization", fix="Send: Bearer <key>.")

    return check


def _usage(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "seconds": round(usage.seconds, 3),
        "tokens_per_second": round(usage.tokens_per_second, 1),
    }


async def _events(pieces: AsyncIterator[str], identity: str, model: str, usage: Usage) -> AsyncIterator[str]:
    """The answer as server-sent events; an error in the middle is an event too."""
    yield protocol.chunk(identity, model, {"role": "assistant", "content": ""})
    try:
        async for piece in pieces:
            yield protocol.chunk(identity, model, {"content": piece}, usage=_usage(usage)) if piece else SIGN_OF_LIFE
    except ClientLeft:
        return
    except UserError as error:
        yield protocol.event(protocol.error_body(error))
    except Exception as fault:  # noqa: BLE001 - the client learns that the answer is not whole
        yield protocol.event(protocol.error_body(_bug(fault), "server_error"))
    else:
        yield protocol.chunk(identity, model, {}, usage.finish_reason, usage=_usage(usage))
    yield "data: [DONE]\n\n"


async def _pieces(
    engine: ChatEngine,
    turns: Turns,
    request: Request,
    conversation: list[dict[str, str]],
    sampling: Sampling,
    adapter: bool,
    usage: Usage,
    on_use: Callable[[], None],
) -> AsyncIterator[str]:
    """Pieces of the answer, once it is its turn; ends the generation when the client leaves."""
    stopped = threading.Event()
    arrived: asyncio.Queue[str | BaseException | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def tell(what: str | BaseException | None) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            loop.call_soon_threadsafe(arrived.put_nowait, what)

    def make() -> None:
        try:
            on_use()
            for piece in engine.stream(conversation, sampling, adapter=adapter, stopped=stopped, usage=usage):
                tell(piece)
            on_use()
        except BaseException as error:  # noqa: BLE001 - raised again below, in the event loop
            tell(error)
        else:
            tell(None)

    turns.line.append(stopped)
    maker: asyncio.Future[None] | None = None
    try:
        while turns.line[0] is not stopped:
            await asyncio.sleep(LOOK_SECONDS)
            await _look(request)
            yield ""
        maker = loop.run_in_executor(None, make)
        while True:
            try:
                what = await asyncio.wait_for(arrived.get(), LOOK_SECONDS)
            except TimeoutError:
                what = ""  # a sign of life
            if what is None:
                return
            if isinstance(what, BaseException):
                raise what
            await _look(request)
            yield what
    finally:
        stopped.set()
        if maker is None:
            turns.line.remove(stopped)
        else:  # nothing can be awaited here when the client left; the next answer begins when this one has ended
            maker.add_done_callback(lambda _: turns.line.remove(stopped))


async def _look(request: Request) -> None:
    if await request.is_disconnected():
        raise ClientLeft


def _say_errors_plainly(app: FastAPI) -> None:
    @app.exception_handler(UserError)
    async def refused(_: Request, error: UserError) -> JSONResponse:
        return JSONResponse(protocol.error_body(error), 400)

    @app.exception_handler(KeyRefusedError)
    async def locked_out(_: Request, error: KeyRefusedError) -> JSONResponse:
        return JSONResponse(protocol.error_body(error, "authentication_error", "invalid_api_key"), 401)

    @app.exception_handler(RequestValidationError)
    async def not_understood(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        told = UserError(f"{first['msg']}.", where=where, fix="Send a body as OpenAI's chat completions take it.")
        return JSONResponse(protocol.error_body(told), 400)

    @app.exception_handler(Exception)
    async def failed(_: Request, fault: Exception) -> JSONResponse:
        return JSONResponse(protocol.error_body(_bug(fault), "server_error"), 500)


def _bug(fault: BaseException) -> UserError:
    reference = secrets.token_hex(4)
    log.error("an answer failed (reference %s)", reference, exc_info=fault)
    what = f"The model's process failed (reference {reference})."
    return UserError(what, where="the log of the model server", fix="Close the chat and load the model again.")
