"""One simulator for the folder, reset for each test, and a plain client of it."""

from __future__ import annotations

import http.client
import ssl
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import msal
import pytest
import requests

from simulator import Simulator

COLLECTION = "/v1.0/engagements/referrals"
SCOPE = "https://api.partner.microsoft.com/.default"


class Client:
    """Speaks to the simulator with a token, as a well-behaved client does."""

    def __init__(self, sim: Simulator) -> None:
        self.sim = sim
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = sim.control.token()["access_token"]

    def ask(self, method: str, url: str, **options: Any) -> requests.Response:
        headers = {"authorization": f"Bearer {self.token}", "client-request-id": str(uuid.uuid4())}
        headers |= options.pop("headers", {})
        headers = {name: value for name, value in headers.items() if value is not None}
        url = url if url.startswith("http") else self.sim.url + url
        return self.session.request(method, url, headers=headers, verify=self.sim.ca, timeout=10, **options)

    def get(self, url: str = COLLECTION, **options: Any) -> requests.Response:
        return self.ask("GET", url, **options)

    def pages(self, query: str = "", limit: int = 20) -> Iterator[dict[str, Any]]:
        """Follow next links, with the scheme and the host put right, and stop after `limit` pages."""
        url = f"{COLLECTION}?{query}" if query else COLLECTION
        for _ in range(limit):
            answer = self.get(url)
            answer.raise_for_status()
            yield answer.json()
            link = answer.json().get("@odata.nextLink")
            if not link:
                return
            parts = urlsplit(link)
            url = f"{parts.path}?{parts.query}"

    def ids(self, query: str = "", limit: int = 20) -> list[str]:
        return [row["id"] for page in self.pages(query, limit) for row in page["value"]]

    def raw(self, target: str, host: str | None = None) -> tuple[int, bytes]:
        """Send a request line byte for byte, which urllib3 would not."""
        url = urlsplit(self.sim.url)
        context = ssl.create_default_context(cafile=self.sim.ca)
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=10)
        headers = {"authorization": f"Bearer {self.token}", "client-request-id": str(uuid.uuid4())}
        headers |= {"host": host} if host else {}
        connection.request("GET", target, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body


@pytest.fixture(scope="session")
def running_simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulator]:
    with Simulator("empty", state_dir=tmp_path_factory.mktemp("simulator")) as running:
        yield running


@pytest.fixture
def sim(running_simulator: Simulator) -> Simulator:
    running_simulator.control.reset("empty")
    return running_simulator


@pytest.fixture
def client(sim: Simulator) -> Iterator[Client]:
    client = Client(sim)
    yield client
    client.session.close()


@pytest.fixture
def make_app(sim: Simulator) -> Iterator[Any]:
    """Give a maker of MSAL applications: a new one forgets what the old one has throttled."""
    sessions = []

    def make(cache: msal.TokenCache | None = None, kind: Any = msal.PublicClientApplication, **options: Any) -> Any:
        session = requests.Session()
        session.trust_env = False
        session.verify = sim.ca
        sessions.append(session)
        options = {"client_id": sim.client_id, "authority": sim.authority} | options
        return kind(http_client=session, token_cache=cache, instance_discovery=False, **options)

    yield make
    for session in sessions:
        session.close()


def rows(count: int, **values: Any) -> list[dict[str, Any]]:
    """Give small referrals, an instant apart."""
    return [
        {
            "id": f"{number:08d}-0000-4000-8000-000000000000",
            "status": "New",
            "substatus": "Pending",
            "direction": "Incoming",
            "updatedDateTime": f"2026-11-01T{number // 60 % 24:02d}:{number % 60:02d}:00.0000000Z",
            "eTag": f'"{number}"',
        }
        | values
        for number in range(count)
    ]


@pytest.fixture
def seeded(sim: Simulator) -> Any:
    """Give a function that seeds small referrals."""
    return lambda count, **values: sim.control.seed(referrals=rows(count, **values))
