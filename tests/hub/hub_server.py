"""A small Hugging Face Hub: the calls that pushing and pulling need, with commits in memory.

Faults are asked for by `server.faults[METHOD, word in the path]`: a list of what the next such
requests get, a status or `CUT`, which sends half of a file and closes the connection.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

CUT = "cut"
TOKEN = "hf_ofthetests"
LARGE = (".parquet", ".mp4", ".safetensors")


@dataclass
class Repo:
    kind: str
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Files by commit, the newest last."""
    tags: dict[str, str] = field(default_factory=dict)

    def commit(self, files):
        text = repr((len(self.commits), sorted(files.items())))
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = dict(files)
        return sha

    @property
    def head(self):
        return list(self.commits)[-1]

    @property
    def files(self):
        return self.commits[self.head]

    def resolve(self, revision):
        if revision in self.commits:
            return revision
        return self.head if revision == "main" else self.tags.get(revision)


class HubServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.faults: dict[tuple[str, str], list] = {}
        self.lock = threading.Lock()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def asked(self, method, word=""):
        """Requests of a method with a word in their path."""
        return [line for line in self.requests if line.startswith(f"{method} ") and word in line]

    def make(self, name, files, kind="dataset", private=False):
        repo = self.repos.setdefault(name, Repo(kind, private))
        repo.commit(files)
        return repo


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: HubServer

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.handle_request()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def handle_request(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        path = unquote(urlsplit(self.path).path)
        fault = None
        with self.server.lock:
            self.server.requests.append(f"{self.command} {path}")
            for (method, word), left in self.server.faults.items():
                if method == self.command and word in path and left:
                    fault = left.pop(0)
                    break
        if isinstance(fault, int):
            return self.answer({"error": "a fault of the tests"}, fault)
        if callable(fault):
            fault()
        return self.route(path, body, fault)

    def route(self, path, body, fault):
        lfs = re.fullmatch(r"/lfs/(\w+)", path)
        if lfs and self.command == "PUT":
            assert hashlib.sha256(body).hexdigest() == lfs[1]
            self.server.blobs[lfs[1]] = body
            return self.answer({})
        if path == "/lfs-verify":
            return self.answer({}, 200 if json.loads(body)["oid"] in self.server.blobs else 404)
        if path == "/api/validate-yaml":
            valid = json.loads(body)["content"].startswith("---\n")
            return self.answer({"errors": [], "warnings": []}, 200 if valid else 400)
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        batch = re.fullmatch(r"/(?:datasets/)?(.+/.+)\.git/info/lfs/objects/batch", path)
        if batch:
            return self.batch(json.loads(body))
        api = re.fullmatch(r"/api/(dataset|model)s/([^/]+/[^/]+)(?:/(\w+))?(?:/(.+))?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not (api or file):
            return self.answer({"error": f"unknown: {path}"}, 404)
        kind = api[1] if api else "dataset" if file[1] else "model"
        repo = self.server.repos.get((api or file)[2])
        signed_in = self.headers.get("Authorization") == f"Bearer {TOKEN}"
        writes = self.command not in ("GET", "HEAD")
        if repo is None or repo.kind != kind or (repo.private and not signed_in):
            return self.answer({"error": "no repository"}, 401, "RepoNotFound")
        if writes and not signed_in:
            return self.answer({"error": "log in first"}, 403)
        if file:
            return self.file(repo, file[3], file[4], fault)
        return self.api(api[2], repo, api[3], api[4], body)

    def api(self, name, repo, what, rest, body):
        if what in (None, "revision"):
            sha = repo.resolve(rest or "main")
            if sha is None:
                return self.answer({"error": "no revision"}, 404, "RevisionNotFound")
            names = [{"rfilename": path} for path in repo.commits[sha]]
            return self.answer({"id": name, "sha": sha, "siblings": names, "private": repo.private})
        if what == "tree":
            tree = repo.commits[repo.resolve(rest)].items()
            return self.answer([entry(path, content) for path, content in sorted(tree)])
        if what == "refs":
            branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.head}]
            tags = [
                {"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": sha}
                for tag, sha in repo.tags.items()
            ]
            return self.answer({"branches": branches, "tags": tags, "converts": []})
        if what == "tag" and self.command == "DELETE":
            del repo.tags[rest]
            return self.answer({})
        if what == "tag":
            repo.tags[json.loads(body)["tag"]] = repo.resolve(rest)
            return self.answer({})
        if what == "preupload":
            modes = []
            for file in json.loads(body)["files"]:
                there = repo.files.get(file["path"])
                large = file["path"].endswith(LARGE)
                ignored = ".gitignore" in repo.files and file["path"].endswith(
                    repo.files[".gitignore"].decode()
                )
                modes.append(
                    {
                        "path": file["path"],
                        "uploadMode": "lfs" if large else "regular",
                        "shouldIgnore": ignored,
                        "oid": None if there is None else hash_of(file["path"], there),
                    }
                )
            return self.answer({"files": modes})
        assert what == "commit"
        return self.commit(name, repo, [json.loads(line) for line in body.splitlines()])

    def create(self, wanted):
        name = f"{wanted.get('organization') or 'lab'}/{wanted['name']}"
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.answer({"error": "Invalid username or password."}, 401)
        if name in self.server.repos:
            return self.answer(
                {"error": "it is there", "url": f"{self.server.address}/{name}"}, 409
            )
        kind = wanted.get("type", "model")
        private = wanted.get("private") or wanted.get("visibility") == "private"
        self.server.make(name, {".gitattributes": b""}, kind, bool(private))
        place = f"datasets/{name}" if kind == "dataset" else name
        return self.answer({"url": f"{self.server.address}/{place}", "id": name, "name": name})

    def batch(self, wanted):
        objects = []
        for each in wanted["objects"]:
            upload = {}
            if each["oid"] not in self.server.blobs:
                address = self.server.address
                upload["actions"] = {
                    "upload": {"href": f"{address}/lfs/{each['oid']}"},
                    "verify": {"href": f"{address}/lfs-verify"},
                }
            objects.append({"oid": each["oid"], "size": each["size"], **upload})
        return self.answer({"transfer": "basic", "objects": objects})

    def commit(self, name, repo, lines):
        files = dict(repo.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") not in (None, repo.head):
                return self.answer({"error": "the branch moved"}, 412)
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.blobs[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        sha = repo.commit(files)
        place = f"datasets/{name}" if repo.kind == "dataset" else name
        url = f"{self.server.address}/{place}/commit/{sha}"
        return self.answer({"success": True, "commitOid": sha, "commitUrl": url})

    def file(self, repo, revision, path, fault):
        sha = repo.resolve(revision)
        content = repo.commits[sha].get(path) if sha else None
        if content is None:
            return self.answer({"error": "no such file"}, 404, "EntryNotFound")
        etag = hash_of(path, content)
        begin = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            begin = int(asked[1])
        self.send_response(206 if asked else 200)
        self.send_header("ETag", f'"{etag}"')
        self.send_header("X-Repo-Commit", sha)
        self.send_header("Accept-Ranges", "bytes")
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Length", str(len(content) - begin))
        self.end_headers()
        if self.command == "HEAD":
            return None
        rest = content[begin:]
        if fault == CUT:
            self.wfile.write(rest[: len(rest) // 2])
            self.close_connection = True
            return None
        self.wfile.write(rest)
        return None

    def answer(self, document, status=200, code=""):
        content = json.dumps(document).encode()
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        if status >= 400:
            self.send_header("X-Error-Message", document.get("error", ""))
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def hash_of(path, content):
    """Of a large file SHA-256, of any other git's."""
    listed = entry(path, content)
    return listed["lfs"]["oid"] if "lfs" in listed else listed["oid"]


def entry(path, content):
    """A file in a list of files."""
    listed = {"type": "file", "path": path, "size": len(content)}
    blob = f"blob {len(content)}\0".encode() + content
    listed["oid"] = hashlib.sha1(blob).hexdigest()
    if path.endswith(LARGE):
        digest = hashlib.sha256(content).hexdigest()
        listed["lfs"] = {"oid": digest, "size": len(content), "pointerSize": 134}
    return listed


@contextmanager
def serving():
    server = HubServer()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
