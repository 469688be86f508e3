"""Receivers of what Airflow tells those who watch it: StatsD's datagrams, and OpenTelemetry's spans over HTTP."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class StatsdSink:
    """A UDP socket that keeps what it is sent until it is asked; nobody has to read meanwhile."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)

    def __enter__(self) -> StatsdSink:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's settings that lead here, for the metrics of this package alone: its own would be thousands."""
        return {
            "AIRFLOW__METRICS__STATSD_ON": "True",
            "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
            "AIRFLOW__METRICS__STATSD_PORT": str(self._socket.getsockname()[1]),
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "^partner_center",
        }

    def taken(self) -> list[str]:
        """Return the lines that came since the last call."""
        found = []
        while True:
            try:
                found += self._socket.recv(65_536).decode().splitlines()
            except BlockingIOError:
                return found


class SpanSink:
    """A server that takes spans as OTLP over HTTP."""

    def __init__(self) -> None:
        self._spans: list[dict[str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self._spans))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> SpanSink:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, err: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def settings(self) -> dict[str, str]:
        """The settings of Airflow and of OpenTelemetry that lead here."""
        return {
            "AIRFLOW__TRACES__OTEL_ON": "True",
            "OTEL_TRACES_EXPORTER": "otlp_proto_http",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self._server.server_port}",
        }

    def spans(self, run_id: str) -> dict[str, dict[str, Any]]:
        """Return the attributes of a run's spans, by the span's name."""
        return {each["name"]: each for each in list(self._spans) if each.get("airflow.dag_run.run_id") == run_id}


def _handler(spans: list[dict[str, Any]]) -> type[BaseHTTPRequestHandler]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                import gzip

                body = gzip.decompress(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    spans.extend(
                        {"name": span.name} | {each.key: _value(each.value) for each in span.attributes}
                        for span in scope.spans
                    )
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))
