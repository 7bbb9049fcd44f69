import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { createServer, isIP } from "node:net";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { connect as connectTls } from "node:tls";
import { deadline } from "../../base/abort.ts";
import { systemClock } from "../../base/clock.ts";
import { Pg321Error } from "../../base/errors.ts";
import { tlsOf } from "../../base/network/libpq-tls.ts";
import { openSocket } from "../../base/network/one-socket.ts";
import { Secret } from "../../base/secret.ts";
import type { Endpoint } from "../connection.ts";
import { hostOf, passwordFor } from "../connection.ts";

/**
 * Connects a pg_restore of 17 or newer to a server older than 17, which does not know the `SET transaction_timeout
 * = 0` that pg_restore sends in each session. docs/adr/0014 explains why it is done here.
 */
export interface Relay extends AsyncDisposable {
  /** To use instead of the server's own endpoint. */
  readonly endpoint: Endpoint;
  /** The error of the first session that could not be opened; the program only sees that it is closed. */
  readonly failure: unknown;
}

const UNKNOWN_STATEMENT = "SET transaction_timeout = 0;";
/** The program has just sent this statement, so it changes nothing and gets the same answer. */
const KNOWN_STATEMENT = "SET statement_timeout = 0;";
/** The longest path of a socket on Linux. */
const SOCKET_PATH_BYTES_MAX = 107;

/** Listens in a private directory in `tempDir`, where only programs of this user can connect. */
export async function openRelay(endpoint: Endpoint, tempDir: string): Promise<Relay> {
  const directory = await mkdtemp(join(tempDir, `pg321-libpq-${process.pid}-`));
  const host = hostOf(endpoint);
  const password = await passwordFor(endpoint, host);
  const sessions = new Set<Socket>();
  let failure: unknown;
  const server = createServer((client) => {
    sessions.add(client);
    relaySession(client, endpoint, host)
      .catch((error: unknown) => (failure ??= error))
      .finally(() => {
        client.destroy();
        sessions.delete(client);
      });
  });
  const close = async () => {
    for (const client of sessions) client.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await listen(server, join(directory, `.s.PGSQL.${endpoint.port}`));
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
  return {
    endpoint: {
      ...endpoint,
      host: directory,
      sslmode: "disable",
      password: password === undefined ? undefined : new Secret(password),
    },
    get failure() {
      return failure;
    },
    [Symbol.asyncDispose]: close,
  };
}

function listen(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > SOCKET_PATH_BYTES_MAX) {
    throw new Pg321Error("usage", `the path of temp_dir is too long for a socket: ${path}`, {
      hint: "choose a shorter temp_dir, or install the client programs of the target's own version",
    });
  }
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}

async function relaySession(client: Socket, endpoint: Endpoint, host: string): Promise<void> {
  // Paused until it is piped; meanwhile its data waits in the kernel.
  client.pause();
  const session = await openSession(endpoint, host);
  try {
    await Promise.all([pipeline(client, replacing(), session), pipeline(session, client)]);
  } catch (error) {
    // If one side is gone the session ends, and each program reports that itself.
    if (!isGone(error)) throw error;
  } finally {
    session.destroy();
  }
}

/** "SSLRequest": its length and its code. */
const ENCRYPTION_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** Opens a connection to the server for a session, encrypted as the endpoint requires. */
async function openSession(endpoint: Endpoint, host: string): Promise<Socket> {
  const encryption = host.startsWith("/")
    ? false
    : await tlsOf(endpoint, { label: endpoint.label, code: "database" });
  const socket = await openSocket({ host, port: endpoint.port }, endpoint.connect_timeout_ms);
  if (!encryption) return socket;
  using time = deadline({ clock: systemClock, durationMs: endpoint.connect_timeout_ms });
  const { signal } = time;
  try {
    socket.write(ENCRYPTION_REQUEST);
    const [answer] = (await once(socket, "data", { signal })) as [Buffer];
    if (String(answer) !== "S") {
      if (encryption === "prefer") return socket;
      throw new Pg321Error("database", `${endpoint.label}: the server does not support SSL`, {
        hint: "check sslmode and the server's certificate",
      });
    }
    const unverified = { rejectUnauthorized: false };
    const secure = connectTls({
      socket,
      ...(isIP(host) === 0 && { servername: host }),
      ...(typeof encryption === "object" ? encryption : unverified),
    });
    await once(secure, "secureConnect", { signal });
    return secure;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as { code?: unknown };
  return ["EPIPE", "ECONNRESET", "ERR_STREAM_PREMATURE_CLOSE", "ERR_STREAM_DESTROYED"].includes(String(code));
}

/** The client's data with that one statement replaced; see "Message Formats" in PostgreSQL's documentation. */
function replacing(): Transform {
  const rewriter = new QueryRewriter();
  return new Transform({
    transform: (chunk: Buffer, _, done) => done(null, rewriter.rewrite(chunk)),
    flush: (done) => done(null, rewriter.rest()),
  });
}

const LENGTH_BYTES = 4;
const QUERY = "Q".charCodeAt(0);
/** A longer query cannot be that statement. */
const QUERY_BYTES_MAX = 64;

export class QueryRewriter {
  /** The beginning of an incomplete message. */
  #held: Buffer = Buffer.alloc(0);
  /** Bytes of the current message to pass on unchanged. */
  #passing = 0;
  /** The first message of a session has no type byte. On a Unix socket no request for encryption comes before it. */
  #isStarted = false;

  rewrite(chunk: Buffer): Buffer {
    let bytes = this.#held.length > 0 ? Buffer.concat([this.#held, chunk]) : chunk;
    this.#held = Buffer.alloc(0);
    const out: Buffer[] = [];
    while (bytes.length > 0) {
      if (this.#passing > 0) {
        const passed = bytes.subarray(0, this.#passing);
        this.#passing -= passed.length;
        out.push(passed);
        bytes = bytes.subarray(passed.length);
        continue;
      }
      const typeBytes = this.#isStarted ? 1 : 0;
      if (bytes.length < typeBytes + LENGTH_BYTES) break;
      const messageBytes = typeBytes + bytes.readUInt32BE(typeBytes);
      const isShortQuery = typeBytes > 0 && bytes[0] === QUERY && messageBytes <= QUERY_BYTES_MAX;
      if (isShortQuery && bytes.length < messageBytes) break;
      if (isShortQuery && isTheUnknown(bytes.subarray(0, messageBytes))) {
        out.push(queryMessage(KNOWN_STATEMENT));
        bytes = bytes.subarray(messageBytes);
        continue;
      }
      this.#passing = Math.max(messageBytes, typeBytes + LENGTH_BYTES);
      this.#isStarted = true;
    }
    this.#held = Buffer.from(bytes);
    return Buffer.concat(out);
  }

  /** The incomplete message at the end. */
  rest(): Buffer {
    return this.#held;
  }
}

function isTheUnknown(message: Buffer): boolean {
  const text = message.subarray(1 + LENGTH_BYTES, message.indexOf(0, 1 + LENGTH_BYTES));
  return text.toString("latin1").trim() === UNKNOWN_STATEMENT;
}

function queryMessage(statement: string): Buffer {
  const text = Buffer.from(`${statement}\0`);
  const head = Buffer.alloc(1 + LENGTH_BYTES);
  head[0] = QUERY;
  head.writeUInt32BE(LENGTH_BYTES + text.length, 1);
  return Buffer.concat([head, text]);
}
