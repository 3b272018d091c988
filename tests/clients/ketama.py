"""The ketama ring as libmemcached, twemproxy and most clients draw it, to know where a key belongs.

Each server of the same weight has 160 points: the four words of the MD5 of "HOST:PORT-N" for N up
to 39 (libketama, Richard Jones, 2007). A key belongs to the first point at or after its own hash.
"""

import bisect
import hashlib

POINTS_PER_SERVER = 160
DEFAULT_PORT = 11211  # left out of the name that is hashed


class Ring:
    def __init__(self, servers):
        points = []
        for index, (host, port) in enumerate(servers):
            name = host if port == DEFAULT_PORT else "%s:%d" % (host, port)
            for number in range(POINTS_PER_SERVER // 4):
                digest = hashlib.md5(b"%s-%d" % (name.encode(), number)).digest()
                points += [(int.from_bytes(digest[at:at + 4], "little"), index) for at in (0, 4, 8, 12)]
        points.sort()
        self.hashes = [value for value, _ in points]
        self.owners = [owner for _, owner in points]

    def owner(self, key):
        """The index of the server that has this key."""
        at = bisect.bisect_left(self.hashes, int.from_bytes(hashlib.md5(key.encode()).digest()[:4], "little"))
        return self.owners[at % len(self.owners)]
