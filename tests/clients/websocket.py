"""One device publishes over MQTT in a WebSocket, with paho-mqtt: websocket.py VERSION ADDRESS DEVICE TOKEN FRAME...

With the authority's certificate in the file CAFILE (an environment variable) the WebSocket is a secure one.
"""

import os
import sys
from pathlib import Path

from paho_client import Client

version, address, device, token, *frames = sys.argv[1:]
client = Client(version, address, device, device, token, transport="websockets", cafile=os.environ.get("CAFILE"))
for frame in frames:
    _mid, answer = client.send(f"devices/{device}/telemetry", Path(frame).read_bytes(), 1)
    print("acknowledged" if answer.code is None else answer.code)
client.disconnect()
