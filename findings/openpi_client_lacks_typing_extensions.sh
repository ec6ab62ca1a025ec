#!/bin/sh
# openpi-client cannot be imported after it was installed (openpi-client 0.1.2).
#
# Expected: `pip install openpi-client` brings what it imports.
# So: its websocket client imports typing_extensions, which the package does not name among what it needs. Install that as well.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'openpi-client==0.1.2'
cat > "$folder/look.py" <<'PYTHON'
import importlib.metadata

print("it needs:", importlib.metadata.requires("openpi-client"))
try:
    import openpi_client.websocket_client_policy  # noqa: F401
except ModuleNotFoundError as error:
    assert error.name == "typing_extensions", error
    print(error)
else:
    raise SystemExit("it can be imported now: this finding is out of date")
print("as found")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
