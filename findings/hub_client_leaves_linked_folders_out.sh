#!/bin/sh
# An upload with huggingface_hub leaves the files of linked folders out without a word (huggingface_hub 2.4.0).
#
# Expected: `upload_folder` sends what lies in a folder that is a link, as it sends a file that is a link, or raises.
# So: it sends neither and says nothing, and a data set whose videos lie on another disk arrives without them. We list the files ourselves.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'huggingface_hub==2.4.0'
mkdir -p "$folder/set" "$folder/disk"
echo own > "$folder/set/own.txt"
echo linked > "$folder/disk/video.txt"
ln -s "$folder/disk" "$folder/set/videos"
ln -s "$folder/disk/video.txt" "$folder/set/linked.txt"
cat > "$folder/look.py" <<'PYTHON'
import json
import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

sent = []


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "/preupload/" in self.path:
            files = [file["path"] for file in json.loads(body)["files"]]
            modes = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files]
            answer = {"files": modes}
        elif "/commit/" in self.path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    sent.append(line["value"]["path"])
            url = f"http://{self.headers['Host']}/datasets/lab/a/commit/{'1' * 40}"
            answer = {"success": True, "commitOid": "1" * 40, "commitUrl": url}
        else:
            answer = {"id": "lab/a", "sha": "0" * 40, "siblings": [], "errors": [], "warnings": []}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST


server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_HOME"] = f"{sys.argv[1]}/home"
from huggingface_hub import HfApi

api = HfApi(endpoint=f"http://127.0.0.1:{server.server_port}", token="hf_none")
api.upload_folder(repo_id="lab/a", repo_type="dataset", folder_path=f"{sys.argv[1]}/set")
print("in the folder: linked.txt own.txt videos/video.txt; sent:", *sorted(sent))
assert sorted(sent) == ["linked.txt", "own.txt"], "linked folders are sent now: this finding is out of date"
print("as found")
os._exit(0)
PYTHON
"$folder/venv/bin/python" -u "$folder/look.py" "$folder"
