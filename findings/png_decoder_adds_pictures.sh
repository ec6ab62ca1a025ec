#!/bin/sh
# A PNG decoder that is used for a second picture adds the first one to it (av 18.1.0 and its FFmpeg).
#
# Expected: `av.VideoCodecContext.create("png", "r")` decodes every PNG to its own pixels, as "mjpeg" does every JPEG.
# So: where the first row of a PNG is filtered by "up", it is added to the last picture's row instead of to zeros: the same
#   file decoded again and again is brighter each time. A new decoder for every picture is right.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'av==18.1.0' numpy
cat > "$folder/look.py" <<'PYTHON'
import struct
import zlib

import av

WIDTH, HEIGHT, UP = 4, 3, 2
COLOUR = bytes([40, 60, 90])


def chunk(kind, content):
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))


def png():
    """A picture of one colour; every row holds the differences to the row above it."""
    rows = bytes([UP]) + COLOUR * WIDTH + (bytes([UP]) + bytes(3 * WIDTH)) * (HEIGHT - 1)
    head = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def decoded(codec):
    (frame,) = codec.decode(av.Packet(png()))
    return frame.to_ndarray(format="rgb24")[0, 0].tolist()


def decoder():
    codec = av.VideoCodecContext.create("png", "r")
    codec.thread_count = 1
    return codec


fresh = [decoded(decoder()) for _ in range(3)]
one = decoder()
again = [decoded(one) for _ in range(3)]
print("a new decoder each time:", fresh)
print("one decoder:            ", again)
assert fresh == [list(COLOUR)] * 3, "a new decoder is right"
assert again != fresh, "one decoder is right now: this finding is out of date"
print("as found")
PYTHON
"$folder/venv/bin/python" "$folder/look.py"
