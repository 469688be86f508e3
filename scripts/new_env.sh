#!/bin/sh
# Writes .env from .env.example with new secrets, readable by you alone. Never touches one that is there.
set -eu
cd "$(dirname "$0")/.."

if [ -e .env ]; then
    echo "new_env.sh: .env is there already and was left alone. A secret that is changed locks out what it protects:" >&2
    echo "            docs/runbooks/key-rotation.md says how each is changed." >&2
    exit 1
fi
umask 077
python3 - <<'END' >.env.new
import base64
import os
import re
import secrets

made = {
    "AIRFLOW__CORE__FERNET_KEY": base64.urlsafe_b64encode(os.urandom(32)).decode(),
    "AIRFLOW__API_AUTH__JWT_SECRET": secrets.token_urlsafe(48),
    "AIRFLOW__API__SECRET_KEY": secrets.token_urlsafe(48),
    "METADATA_PASSWORD": secrets.token_hex(24),
    "WAREHOUSE_PASSWORD": secrets.token_hex(24),
    "ADMIN_PASSWORD": secrets.token_urlsafe(18),
}
with open(".env.example", encoding="utf-8") as file:
    for line in file:
        name = re.match(r"(\w+)=$", line)
        print(f"{line.rstrip()}{made.get(name[1], '') if name else ''}")
END
mv .env.new .env
echo "Wrote .env. The UI's user is admin, the password stands there as ADMIN_PASSWORD."
echo "Next: HUNTER_PARTNER_CENTER_CLIENT_ID and HUNTER_PARTNER_CENTER_TENANT_ID in it. Keep a copy of the Fernet key"
echo "elsewhere: without it nobody can read the tokens and passwords that Airflow stores."
