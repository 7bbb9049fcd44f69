import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { createServer, isIP } from "node:net";
import { join } from "node:path";
import { Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { connect as connectTls } from "node:tls";
import { Pg321Error } from "../../base/errors.ts";
import { Secret } from "../../base/secret.ts";
import type { Endpoint } from "../connection.ts";
import { hostOf, openSocket, passwordFor, tlsOf } from "../connection.ts";

/**
 * A way to a server older than 17 for a pg_restore of 17 or newer, which sends `SET transaction_timeout = 0` in each
 * session, and the server does not know it. docs/adr/0014 says why it is done here.
 */
export interface Relay extends AsyncDisposable {
  /** In place of the server's own. */
  readonly endpoint: Endpoint;
  /** The first session that could not be opened, which the program only sees closed. */
  readonly failure: unknown;
}

const UNKNOWN_STATEMENT = "SET transaction_timeout = 0;";
/** What the program has just sent as well, so that it does nothing and is answered alike. */
const KNOWN_STATEMENT = "SET statement_timeout = 0;";
/** The socket's path may have 107 bytes. */
const SOCKET_PATH_BYTES_MAX = 107;

/** Listens in a private directory in `tempDir`, where only this user's programs can connect. */
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
    throw new Pg321Error("usage", `temp_dir is too long for a socket: ${path}`, {
      hint: "choose a shorter temp_dir, or install the client programs of the target's own version",
    });
  }
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(path, resolve);
  });
}

async function relaySession(client: Socket, endpoint: Endpoint, host: string): Promise<void> {
  // Paused until it is piped: what comes meanwhile waits in the kernel.
  client.pause();
  const session = await openSession(endpoint, host);
  try {
    await Promise.all([pipeline(client, replacing(), session), pipeline(session, client)]);
  } catch (error) {
    // A side that is gone ends the session; each program tells of it by itself.
    if (!isGone(error)) throw error;
  } finally {
    session.destroy();
  }
}

/** "SSLRequest": its length, and the number that it goes by. */
const ENCRYPTION_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** A way to the server on which a session can begin, encrypted as the endpoint asks. */
async function openSession(endpoint: Endpoint, host: string): Promise<Socket> {
  const socket = await openSocket(endpoint, host);
  const encryption = host.startsWith("/") ? false : tlsOf(endpoint);
  if (!encryption) return socket;
  const signal = AbortSignal.timeout(endpoint.connect_timeout_ms);
  try {
    socket.write(ENCRYPTION_REQUEST);
    const [answer] = (await once(socket, "data", { signal })) as [Buffer];
    if (String(answer) !== "S") {
      if (encryption === "prefer") return socket;
      throw new Pg321Error("database", `${endpoint.label}: the server does not support SSL`, {
        hint: "check sslmode, sslrootcert and the server's certificate",
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

/** What a client sends, with the one statement replaced; see "Message Formats" in PostgreSQL's documentation. */
function replacing(): Transform {
  const rewriter = new QueryRewriter();
  return new Transform({
    transform: (chunk: Buffer, _, done) => done(null, rewriter.rewrite(chunk)),
    flush: (done) => done(null, rewriter.rest()),
  });
}

const LENGTH_BYTES = 4;
const QUERY = "Q".charCodeAt(0);
/** No longer query can be the one. */
const QUERY_BYTES_MAX = 64;

export class QueryRewriter {
  /** The beginning of a message that is not decided yet. */
  #held: Buffer = Buffer.alloc(0);
  /** Bytes of the current message that are to be passed on as they are. */
  #passing = 0;
  /** The first message of a session has no type. To a socket's file no request for encryption comes before it. */
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

  /** What came last, cut off. */
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
