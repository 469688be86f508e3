"""The commands of the runbooks: found in the text, and run as they stand.

A fenced block of `sh` or `sql` is run by tests/dags/test_runbooks.py, in the order of the file, unless the comment
right before it says otherwise:

- ``<!-- runs: compose -->``: the test of the compose stack runs it;
- ``<!-- runs: airflow -->``: it needs Airflow's API server, and runs in the test that has one;
- ``<!-- not run: why -->``: nobody can; each of them stands with its reason in the test.

A ``…`` in a command stands for what a reader fills in, in the test by its table. A block of `text` right behind one
shows what comes out: each line of it has to appear, in order; ``…`` in it stands for anything.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.support.environment import ROOT

_FENCED = re.compile(
    r"(?:<!-- (?P<how>runs|not run): (?P<what>.+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>sh|sql)\n(?P<code>.*?)^(?P=indent)```$"
    r"(?:\n\n?(?P=indent)```text\n(?P<shown>.*?)^(?P=indent)```$)?",
    re.MULTILINE | re.DOTALL,
)
SECONDS = 120


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes: file (below the repository), line, language, code, shown (what is to come out, or empty), where
    (`here`, `compose`, `airflow` or `nowhere`), why (it is not run).
    """

    file: str
    line: int
    language: str
    code: str
    shown: str
    where: str
    why: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def blocks(path: Path) -> list[Block]:
    """Return a file's blocks, in order."""
    text = path.read_text(encoding="utf-8")
    return [_block(path, text, found) for found in _FENCED.finditer(text)]


def _block(path: Path, text: str, found: re.Match[str]) -> Block:
    indent, how = len(found["indent"]), found["how"]
    lines = [line[indent:] for line in found["code"].splitlines()]
    return Block(
        file=str(path.relative_to(ROOT)),
        line=text.count("\n", 0, found.start("language")) + 1,
        language=found["language"],
        code="\n".join(lines),
        shown="\n".join(line[indent:] for line in (found["shown"] or "").splitlines()),
        where={"runs": found["what"], "not run": "nowhere"}.get(how, "here"),
        why=found["what"] if how == "not run" else "",
    )


@dataclass
class Scene:
    """Where commands are run.

    Attributes: environment (of the shell), dsn (of the warehouse), given (text to take the place of a text with ``…``),
    folder (in which the shell begins).
    """

    environment: Mapping[str, str]
    dsn: str
    given: Mapping[str, str]
    folder: Path = ROOT

    def run(self, block: Block) -> str:
        """Run a block; return what came out, which has to hold what the file shows."""
        code = block.code
        for text, instead in self.given.items():
            code = code.replace(text, instead)
        assert "…" not in code, f"{block}: nothing is given for a … in\n{code}"
        out = self._sql(block, code) if block.language == "sql" else self._sh(block, code)
        shown = [re.escape(line.strip()).replace("…", ".*?") for line in block.shown.splitlines() if line.strip()]
        assert re.search(".*?".join(shown), out, re.DOTALL), f"{block} shows\n{block.shown}\nand there came\n{out}"
        return out

    def _sh(self, block: Block, code: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            env=dict(self.environment),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{block} ended with {done.returncode}:\n{code}\n{done.stdout[-4000:]}"
        return done.stdout

    def _sql(self, block: Block, code: str) -> str:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            try:
                cursor = connection.execute(code)
            except psycopg.Error as err:
                raise AssertionError(f"{block}: {err}\n{code}") from err
            lines = []
            while True:
                if cursor.description:
                    lines.append(" | ".join(column.name for column in cursor.description))
                    lines += [" | ".join(map(str, row)) for row in cursor.fetchall()]
                if not cursor.nextset():
                    return "\n".join(lines)
