"""paho-mqtt, as clients in the field use it, with its ears open.

paho 1.6.1 reads the reason code and the properties of PUBACK, PUBREC and PUBCOMP and throws them away: `on_publish` gets the
packet identifier alone. `Client` therefore looks at the same packet with paho's own classes before paho handles it, and changes
nothing of what paho does: after a PUBREC that refuses, paho still sends PUBREL, and a server has to bear that.
"""

import base64
import json
import struct
import threading
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass

from paho.mqtt import client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCodes

PROTOCOLS = {"3.1.1": mqtt.MQTTv311, "5": mqtt.MQTTv5}
TIMEOUT_SECS = 15


@dataclass(frozen=True)
class Answer:
    """An acknowledgement; at MQTT 3.1.1 it says nothing but that it came."""

    code: int | None = None
    reason: str | None = None
    detail: str | None = None


class Client(mqtt.Client):
    """A connected client that remembers answers and messages."""

    def __init__(self, version, address, client_id, user_name, token, transport="tcp", cafile=None):
        super().__init__(
            client_id=client_id, protocol=PROTOCOLS[version], reconnect_on_failure=False, transport=transport
        )
        self.version = version
        self.messages = []
        self.answers = {}
        self.granted = {}
        self.connack = None
        self.changed = threading.Condition()
        self.on_connect = lambda _client, _userdata, _flags, code, *_properties: self.note(connack=int_of(code))
        self.on_message = lambda _client, _userdata, message: self.note(message=message)
        self.on_subscribe = self.note_suback
        self.username_pw_set(user_name, token)
        if cafile:
            self.tls_set(cafile)
        host, port = address.rsplit(":", 1)
        self.connect(host, int(port), keepalive=30)
        self.loop_start()
        self.wait_for(lambda: self.connack is not None, "CONNACK")
        if self.connack != 0:
            raise ConnectionRefusedError(f"CONNACK says {self.connack:#04x}")

    def send(self, topic, payload, qos):
        """Publishes and waits until the exchange is over; gives the packet identifier and the answer."""
        self.answers.clear()
        mid = self.publish(topic, payload, qos).mid
        first, last = ("PUBACK", "PUBACK") if qos == 1 else ("PUBREC", "PUBCOMP")
        self.wait_for(lambda: (last, mid) in self.answers, f"{last} of {mid}")
        return mid, self.answers[first, mid]

    def listen(self, topic_filter, qos=1):
        """Subscribes to one filter; gives SUBACK's code."""
        mid = self.subscribe(topic_filter, qos)[1]
        self.wait_for(lambda: mid in self.granted, f"SUBACK of {mid}")
        return self.granted[mid]

    def wait_for(self, condition, what):
        with self.changed:
            if not self.changed.wait_for(condition, TIMEOUT_SECS):
                raise TimeoutError(f"no {what} within {TIMEOUT_SECS} s (connected: {self.is_connected()})")

    def close(self):
        self.disconnect()
        self.loop_stop()

    def note(self, connack=None, message=None):
        with self.changed:
            self.connack = self.connack if connack is None else connack
            if message is not None:
                self.messages.append(message)
            self.changed.notify_all()

    def note_suback(self, _client, _userdata, mid, codes, _properties=None):
        with self.changed:
            self.granted[mid] = int_of(codes[0])
            self.changed.notify_all()

    def _handle_pubackcomp(self, cmd):
        self.note_answer(cmd)
        return super()._handle_pubackcomp(cmd)

    def _handle_pubrec(self):
        self.note_answer("PUBREC")
        return super()._handle_pubrec()

    def note_answer(self, name):
        packet = bytes(self._in_packet["packet"])
        (mid,) = struct.unpack("!H", packet[:2])
        with self.changed:
            self.answers[name, mid] = answer(getattr(PacketTypes, name), packet[2:], self.version)
            self.changed.notify_all()


def answer(packet_type, rest, version):
    """What follows the packet identifier (MQTT 5 section 3.4.2)."""
    if version != "5":
        return Answer()
    if not rest:
        return Answer(code=0)
    code = ReasonCodes(packet_type)
    code.unpack(rest)
    properties = Properties(packet_type)
    if len(rest) > 1:
        properties.unpack(rest[1:])
    details = dict(getattr(properties, "UserProperty", []))
    return Answer(code.value, getattr(properties, "ReasonString", None), details.get("detail"))


def int_of(code):
    return code.value if isinstance(code, ReasonCodes) else int(code)


def fetch_token(public_url, client_id, client_secret, credentials_in):
    """An access token by client credentials (RFC 6749 section 4.4), with the secret in the "header" or in the "body"."""
    form = {"grant_type": "client_credentials"}
    headers = {}
    if credentials_in == "header":
        pair = f"{client_id}:{client_secret}".encode()
        headers["Authorization"] = "Basic " + base64.b64encode(pair).decode()
    else:
        form.update(client_id=client_id, client_secret=client_secret)
    body = urllib.parse.urlencode(form).encode()
    request = urllib.request.Request(f"{public_url}/oauth/token", data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECS) as response:
        return json.load(response)["access_token"]


def eventually(condition, seconds=5.0):
    """Whether the condition comes true within a while."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
