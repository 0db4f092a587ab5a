// One device and one listener, both MQTT.js: mqttjs.js VERSION URL DEVICE TOKEN LISTENER TOKEN GOOD-FRAME BROKEN-FRAME
//
// What it sees goes to standard output, a line each; it ends when the reading of the good frame has come.
"use strict";

const fs = require("fs");
const mqtt = require("mqtt");

const [version, url, device, deviceToken, listener, listenerToken, good, broken] = process.argv.slice(2);

function connect(name, token) {
  const options = {
    protocolVersion: version === "5" ? 5 : 4,
    clientId: name,
    username: name,
    password: token,
    reconnectPeriod: 0,
  };
  return new Promise((resolve, reject) => {
    const client = mqtt.connect(url, options);
    client.once("connect", () => resolve(client));
    client.once("error", reject);
  });
}

function subscribe(client, filter) {
  return new Promise((resolve, reject) => {
    client.subscribe(filter, { qos: 1 }, (error, granted) => (error ? reject(error) : resolve(granted[0].qos)));
  });
}

// The reason code of PUBACK or PUBREC; at 3.1.1 there is none.
function publish(client, path, qos) {
  return new Promise((resolve) => {
    client.publish(`devices/${device}/telemetry`, fs.readFileSync(path), { qos }, (error, packet) => {
      resolve(error ? error.code : (packet && packet.reasonCode) || 0);
    });
  });
}

async function main() {
  const [hears, sends] = [await connect(listener, listenerToken), await connect(device, deviceToken)];
  const heard = new Promise((resolve) => hears.once("message", resolve));
  console.log("readings", await subscribe(hears, "readings/#"));
  console.log("commands", await subscribe(sends, `devices/${device}/commands/#`));
  console.log("another's", await subscribe(sends, "devices/another/commands/#"));
  console.log("good", await publish(sends, good, 1));
  console.log("again", await publish(sends, good, 2));
  console.log("broken", await publish(sends, broken, 1));
  console.log("heard", await heard);
  for (const client of [hears, sends]) {
    await new Promise((resolve) => client.end(false, {}, resolve));
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
