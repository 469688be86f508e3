"""Where alerts arrive in the tests: a mail server and an HTTP service, both real, both able to refuse."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import default
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Mail:
    """A mail as it arrived: its envelope, its subject and the text of its HTML."""

    sender: str
    to: list[str]
    subject: str
    html: str


@dataclass
class MailSink:
    """A mail server; `connection` is Airflow's JSON form of one that leads to it."""

    port: int
    mails: list[Mail] = field(default_factory=list)
    refuses: bool = False

    def connection(self, **extra: Any) -> str:
        """Return the connection, with more or other extras."""
        usual = {"disable_ssl": True, "disable_tls": True, "retry_limit": 0, "timeout": 5}
        people = {"from_email": "airflow@partner.example", "to": ["ops@partner.example", "sales@partner.example"]}
        return json.dumps(
            {"conn_type": "smtp", "host": "127.0.0.1", "port": self.port, "extra": {**usual, **people, **extra}}
        )

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        """Take a mail, or refuse it."""
        if self.refuses:
            return "451 not now"
        parsed = message_from_bytes(envelope.content, policy=default)
        html = parsed.get_body(("html",)).get_content()
        self.mails.append(Mail(envelope.mail_from, envelope.rcpt_tos, parsed["Subject"], html))
        return "250 OK"


@dataclass
class HttpSink:
    """A service that Apprise posts JSON to."""

    url: str = ""
    posts: list[dict[str, Any]] = field(default_factory=list)
    refuses: bool = False

    def connection(self, *more: str) -> str:
        """Return the connection, with more services beside this one."""
        config = [{"path": path} for path in (self.url, *more)]
        return json.dumps({"conn_type": "apprise", "extra": {"config": config if more else config[0]}})


@contextlib.contextmanager
def mail_sink() -> Iterator[MailSink]:
    """Run a mail server."""
    from aiosmtpd.controller import Controller

    with socket.create_server(("127.0.0.1", 0)) as found:
        port = found.getsockname()[1]
    # It would tell who was written to, in the log in which a test looks for that.
    logging.getLogger("mail.log").disabled = True
    sink = MailSink(port)
    controller = Controller(sink, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield sink
    finally:
        controller.stop()


@contextlib.contextmanager
def http_sink() -> Iterator[HttpSink]:
    """Run an HTTP service."""
    sink = HttpSink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not sink.refuses:
                sink.posts.append(json.loads(body))
            self.send_response(503 if sink.refuses else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        sink.url = f"json://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
