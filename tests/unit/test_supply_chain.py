"""What the lock pins: hashed, listed in the bill of materials, and asked about."""

import datetime
import json
import re
import socket
import subprocess
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from scripts import check_vulnerabilities
from scripts.check_lock import unhashed
from scripts.check_vulnerabilities import ignored

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
HASH = "--hash=sha256:" + 64 * "0"
TODAY = datetime.date(2026, 11, 25)


def entries(lock):
    """Return (name, version) to the hashes of every entry of a lock."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)(.*(?:\n    --hash.*)+)", lock, re.MULTILINE)
    return {(name, version): set(re.findall(r"sha256:([0-9a-f]{64})", rest)) for name, version, rest in found}


def test_an_entry_of_the_lock_without_its_hash_is_named(tmp_path):
    lock = tmp_path / "some.lock"
    lock.write_text(f"# made by a tool\na==1 \\\n    {HASH}\n    # via b\nb==2 ; x == 'y' \\\n    {HASH}\n")
    assert unhashed(lock) == []
    lock.write_text(f"a==1\n    # via b\nb==2 \\\n    {HASH}\nc==3 \\\n    --hash=sha256:12\n")
    assert unhashed(lock) == ["some.lock: a==1 has no hash", "some.lock: c==3 has no hash"]


def test_the_bill_of_materials_lists_what_the_lock_pins_with_its_hashes():
    pinned = entries(LOCK.read_text(encoding="utf-8"))
    assert len(pinned) > 100
    # The check against CycloneDX's own schema takes six seconds, and is that library's business.
    command = ["make", "-s", "sbom", "ARGS=--no-validate"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    bill = json.loads((ROOT / "build" / "sbom.cdx.json").read_text(encoding="utf-8"))
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "airflow-provider-partner-center"
    listed = {
        (part["name"], part["version"]): {item["content"] for item in part["externalReferences"][0]["hashes"]}
        for part in bill["components"]
    }
    assert listed == pinned
    assert all(part["purl"] == f"pkg:pypi/{part['name']}@{part['version']}" for part in bill["components"])


@contextmanager
def vulnerability_service(vulnerable):
    """Serve OSV's query: these packages have one known vulnerability each. Yields its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name = asked["package"]["name"]
            package = {"name": name, "ecosystem": "PyPI"}
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9.9"}]}]
            found = {"id": "PYSEC-1", "summary": "Bad.", "affected": [{"package": package, "ranges": ranges}]}
            body = json.dumps({"vulns": [found]} if name in vulnerable else {}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def lock(tmp_path):
    path = tmp_path / "some.lock"
    path.write_text(f"alpha==1.0 \\\n    {HASH}\nbeta==2.0 \\\n    {HASH}\n", encoding="utf-8")
    return path


def audit(lock, address):
    return check_vulnerabilities.main(["--lock", str(lock), "--osv-url", address])


def test_a_known_vulnerability_fails_and_says_what_mends_it(lock, capsys):
    with vulnerability_service({"requests", "beta"}) as address:
        assert audit(lock, address) == 1
    printed = capsys.readouterr()
    assert printed.err == "beta 2.0: PYSEC-1; mended by 9.9. Bad.\n"
    assert "audit-ignore.toml" in printed.out


def test_no_known_vulnerability_passes_and_says_how_many_were_asked_about(lock, capsys):
    with vulnerability_service({"requests"}) as address:
        assert audit(lock, address) == 0
    assert capsys.readouterr().out == "No known vulnerabilities in 2 of 2 packages, as osv has it.\n"


def test_without_a_service_the_audit_says_that_nothing_was_checked(lock, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        assert audit(lock, f"http://127.0.0.1:{closed.getsockname()[1]}/v1/query") == 0
    assert capsys.readouterr().out.startswith("NOT CHECKED")


def test_a_service_that_answers_something_else_counts_as_none(lock, capsys):
    with vulnerability_service(set()) as address:
        assert audit(lock, address) == 0
    assert capsys.readouterr().out.startswith("NOT CHECKED")


def test_what_the_service_does_not_know_is_named_and_not_called_clean(capsys):
    assert check_vulnerabilities.verdict([{"name": "alpha", "skip_reason": "not found"}], "pypi") == 0
    assert "NOT CHECKED, because pypi does not know them: alpha." in capsys.readouterr().out


def test_an_ignored_finding_counts_again_after_its_day(tmp_path):
    path = tmp_path / "audit-ignore.toml"
    entry = '[[ignore]]\nid = "PYSEC-{}"\npackage = "a"\nreason = "Never called."\nuntil = {}\n'
    path.write_text(entry.format(1, "2026-11-25") + entry.format(2, "2026-11-24"), encoding="utf-8")
    assert ignored(path, TODAY) == (["PYSEC-1"], ["PYSEC-2"])


@pytest.mark.parametrize("entry", ['id = "PYSEC-1"\npackage = "a"\nuntil = 2027-01-01', 'id = "X"\nuntil = "soon"'])
def test_an_ignored_finding_needs_its_reason_and_its_day(tmp_path, entry):
    path = tmp_path / "audit-ignore.toml"
    path.write_text(f"[[ignore]]\n{entry}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="needs"):
        ignored(path, TODAY)


def test_the_list_of_ignored_findings_can_be_read():
    ignored(check_vulnerabilities.IGNORED, TODAY)
