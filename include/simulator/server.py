"""The simulator as a context manager: a server in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

import trustme
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from simulator import tls
from simulator.app import create_app
from simulator.control import Control
from simulator.state import State

LOOPBACK = ("127.0.0.1", "localhost")
EVERYWHERE = "0.0.0.0"  # noqa: S104 - see Simulator's `name`
TENANT = "7e4a11d0-0000-4000-8000-0000000000a1"
CLIENT_ID = "c11e47a9-0000-4000-8000-0000000000b2"
START_TIMEOUT = 30


class Simulator:
    """Partner Center and its login on a port of the loopback.

    Attributes: url, ca (path of the certificate to trust), tenant, client_id, authority, control.

    Args:
        dataset: what is there, as `python -m simulator --help` says.
        page_size: rows of a page when $top is absent.
        host: where it listens.
        port: 0 takes a free one.
        state_dir: where the certificate authority is kept; by default in a temporary directory.
        name: what others call this machine. It then listens on every address, without a login: for a container
            whose network holds nobody else.

    Raises:
        ValueError: the host is not this machine's loopback.
    """

    def __init__(
        self,
        dataset: str = "disaster",
        *,
        page_size: int = 100,
        host: str = "127.0.0.1",
        port: int = 0,
        state_dir: Path | str | None = None,
        name: str | None = None,
    ) -> None:
        if host not in LOOPBACK:
            problem = f"The control has no login, so the simulator listens on {' or '.join(LOOPBACK)} only."
            raise ValueError(problem)
        self.tenant = TENANT
        self.client_id = CLIENT_ID
        self._dataset = dataset
        self._page_size = page_size
        self._name = name or host
        self._address = (EVERYWHERE if name else host, port)
        self._state_dir = state_dir
        self._resources = contextlib.ExitStack()

    def __enter__(self) -> Self:
        """Seed, listen, and return once connections are accepted."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, cutting whatever is under way."""
        self.stop()

    def start(self) -> None:
        """Do what entering the context does."""
        with contextlib.ExitStack() as stack:
            directory = self._state_dir or stack.enter_context(tempfile.TemporaryDirectory(prefix="simulator-"))
            ca, certificate = tls.authority(Path(directory))
            listener = stack.enter_context(contextlib.closing(_listen(*self._address)))
            self.ca = str(certificate)
            self.url = f"https://{self._name}:{listener.getsockname()[1]}"
            self.authority = f"{self.url}/{self.tenant}"
            state = State(
                dataset=self._dataset,
                page_size=self._page_size,
                tenant=self.tenant,
                client_id=self.client_id,
                authority=self.authority,
            )
            self.control = Control(state)
            stack.callback(self._serve(state, ca, listener))
            self._resources = stack.pop_all()

    def stop(self) -> None:
        """Do what leaving the context does."""
        self._resources.close()

    def _serve(self, state: State, ca: trustme.CA, listener: socket.socket) -> _Stop:
        def plain_http() -> None:
            with state.lock:
                state.journal.violation("plain_http", "A request came over plain HTTP.")

        config = uvicorn.Config(
            create_app(state, self.url),
            http=_Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            ssl_context_factory=lambda _config, _default: tls.server_context(ca, self._name, plain_http),
            timeout_keep_alive=60,
        )
        server = _Server(config)
        thread = threading.Thread(target=server.run_in_thread, args=(listener,), name="simulator", daemon=True)
        thread.start()
        if not server.ready.wait(START_TIMEOUT):
            problem = "The simulator did not start."
            raise RuntimeError(problem)
        return _Stop(server, thread)


class _Stop:
    """Ends the server without waiting for clients that keep their connections open."""

    def __init__(self, server: _Server, thread: threading.Thread) -> None:
        self._server = server
        self._thread = thread

    def __call__(self) -> None:
        self._server.force_exit = True
        self._server.should_exit = True
        self._thread.join()


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Cut, not closed: TLS would wait half a minute for the good-bye of a client that keeps its connection open.
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        await super().shutdown(sockets)

    def run_in_thread(self, listener: socket.socket) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self.serve(sockets=[listener]))


class _Protocol(HttpToolsProtocol):
    """Hands the transport to the application, which has to be able to cut it."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["simulator.transport"] = self.transport  # type: ignore[typeddict-unknown-key]


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener
