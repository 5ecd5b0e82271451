"""Verifies the DKIM signatures of the message on standard input with dkimpy.

The argument is a JSON object: DNS name -> TXT record. Prints one JSON list: whether each
signature holds, in the order in which they stand in the message.
"""
import json
import sys

import dkim

records = json.loads(sys.argv[1])


def lookup(name, timeout=5):
    return records.get(name.decode().rstrip("."), "").encode()


message = sys.stdin.buffer.read()
count = sum(1 for line in message.split(b"\r\n\r\n")[0].split(b"\r\n") if line.lower().startswith(b"dkim-signature:"))
holds = []
for i in range(count):
    try:
        holds.append(bool(dkim.DKIM(message).verify(idx=i, dnsfunc=lookup)))
    except dkim.DKIMException as problem:
        holds.append(str(problem))
print(json.dumps(holds))
