"""The least that any sync has to do: fetch every page, parse it, COPY the rows as jsonb. Nothing else.

Prints one JSON line: rows, seconds. Standard library, requests and psycopg alone; none of the package's code.
"""

from __future__ import annotations

import json
import os
import sys
import time

import psycopg
import requests

QUERY = "$filter=direction%20ne%20%27Outgoing%27&$orderby=createdDateTime%20asc&$top=200"


def main() -> None:
    """Read the listing named by the arguments (API address, CA, database) with the token from FLOOR_TOKEN."""
    base, ca, dsn = sys.argv[1:4]
    session = requests.Session()
    session.trust_env = False
    session.verify = ca
    session.headers["Authorization"] = f"Bearer {os.environ['FLOOR_TOKEN']}"
    url = f"{base}/v1.0/engagements/referrals?{QUERY}"
    rows = 0
    started = time.perf_counter()
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("drop table if exists floor_payloads")
        connection.execute("create table floor_payloads (payload jsonb)")
        while url:
            body = session.get(url, timeout=60).json()
            with connection.cursor().copy("copy floor_payloads from stdin") as copy:
                for row in body["value"]:
                    copy.write_row((json.dumps(row),))
            rows += len(body["value"])
            url = body.get("@odata.nextLink")
    print(json.dumps({"rows": rows, "seconds": time.perf_counter() - started}))


if __name__ == "__main__":
    main()
