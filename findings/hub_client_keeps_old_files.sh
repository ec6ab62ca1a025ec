#!/bin/sh
# A download with huggingface_hub into a folder ends without an error though its server failed (huggingface_hub 2.4.0).
#
# Expected: `snapshot_download(local_dir=...)` of a newer commit raises where the server answers 500 for a file, or for the list of files.
# So: the file of the older commit stays where it is and the call returns; only a line of the log says so. After each pull we compare every
#   file with the hash that the list of files has.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'huggingface_hub==2.4.0'
cat > "$folder/look.py" <<'PYTHON'
import hashlib
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMITS = {"1" * 40: b"older", "2" * 40: b"newer"}
failing = ""


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        commit = next(commit for commit in COMMITS if commit in self.path)
        content = COMMITS[commit]
        oid = hashlib.sha1(b"blob 5\0" + content).hexdigest()
        if failing and failing in self.path:
            self.send_response(500)
            body = b""
        elif "/tree/" in self.path:
            self.send_response(200)
            body = json.dumps([{"type": "file", "path": "a.txt", "size": 5, "oid": oid}]).encode()
        else:
            self.send_response(200)
            self.send_header("ETag", f'"{oid}"')
            self.send_header("X-Repo-Commit", commit)
            body = content
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
folder = Path(sys.argv[1])
os.environ["HF_HOME"] = str(folder / "home")
from huggingface_hub import snapshot_download

seen = []
for failing in ("/resolve/", "/tree/"):
    to = folder / f"pulled_{failing.strip('/')}"
    address = f"http://127.0.0.1:{server.server_port}"
    now, failing = failing, ""
    snapshot_download("lab/a", revision="1" * 40, local_dir=to, endpoint=address)
    failing = now
    try:
        snapshot_download("lab/a", revision="2" * 40, local_dir=to, endpoint=address)
        seen.append((to / "a.txt").read_text())
    except Exception as error:
        seen.append(type(error).__name__)
    print(f"500 at {failing}: the newer commit was asked for, in the folder is", seen[-1])
assert seen == ["older", "older"], "a failure of the server is told now: this finding is out of date"
print("as found")
os._exit(0)
PYTHON
"$folder/venv/bin/python" -u "$folder/look.py" "$folder"
