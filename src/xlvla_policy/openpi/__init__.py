"""openpi's websocket, from both ends: a policy that asks a server, and a server of our policies."""
