/**
 * `bun bench/slow-herd.ts PORT COUNT PATH`: this many slow clients of five kinds, which come again when their connection
 * ends. Prints `ready` when all have connected once, and runs until it is killed.
 */
import { connect, type Socket } from "node:net";

const [port = 0, count = 0] = process.argv.slice(2, 4).map(Number);
const path = process.argv[4] ?? "/";
const STEP_MS = 200;
const get = (of: string) => `GET ${of} HTTP/1.1\r\nHost: localhost\r\n`;

/** What a client does after it has connected. */
const KINDS: Record<string, (socket: Socket) => void> = {
  "sends nothing": () => {},
  "sends its request byte by byte": (socket) => {
    socket.write(get(path));
    const sending = setInterval(() => socket.write("X"), STEP_MS);
    socket.on("close", () => clearInterval(sending));
  },
  "does not read the answer": (socket) => {
    socket.pause();
    socket.write(`${get(path)}\r\n`);
  },
  "reads the answer slowly": (socket) => {
    socket.write(`${get(path)}\r\n`);
    socket.on("data", () => socket.pause());
    const reading = setInterval(() => socket.resume(), STEP_MS);
    socket.on("close", () => clearInterval(reading));
  },
  "stays after an answer": (socket) => void socket.write(`${get("/health")}\r\n`),
};

async function stay(does: (socket: Socket) => void, first: () => void): Promise<never> {
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    // Not `once` of node:events, which rejects at an error.
    const ended = new Promise((resolve) => socket.on("error", resolve).on("close", resolve));
    socket.on("connect", () => {
      first();
      does(socket);
    });
    // A client that does not read sees the end of its connection only by a failing write or a reset.
    await ended;
    await Bun.sleep(STEP_MS);
  }
}

const kinds = Object.values(KINDS);
let connected = 0;
for (let index = 0; index < count; index++) {
  let isFirst = true;
  void stay(kinds[index % kinds.length] as (socket: Socket) => void, () => {
    if (isFirst && ++connected === count) console.log("ready");
    isFirst = false;
  });
}
