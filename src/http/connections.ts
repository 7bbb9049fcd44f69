import type { Socket } from "node:net";
import type { Clock } from "../base/clock.ts";
import {
  HTTP_ANSWER_MS_MAX,
  HTTP_CONNECTIONS_MAX,
  HTTP_IDLE_MS_MAX,
  HTTP_READING_MS_MIN,
  HTTP_REQUESTS_MAX,
} from "../base/limits.ts";
import type { Places } from "./app.ts";
import { type Held, networkOf, toClose, toGiveWay } from "./give-way.ts";

/** One request and its answer. */
export interface Visit {
  /** A place that it takes is taken until the client has read the answer. */
  readonly places: Places;
  /** The answer is made: from now on the client reads it. */
  made(): void;
  /** The client has the whole answer, or will never have it. */
  read(): void;
}

interface Connection extends Held {
  readonly socket: Socket;
  deadline: AbortController | undefined;
  visit: Visit | undefined;
}

/**
 * The connections of the endpoint and the places for its answers. Both are limited in number, and in time: a client has
 * `HTTP_IDLE_MS_MAX` for a request, and `HTTP_ANSWER_MS_MAX` until it has read the answer. A new connection is always
 * accepted; if there are too many, another one is closed for it.
 */
export class Connections {
  readonly #clock: Clock;
  readonly #open = new Map<Socket, Connection>();
  #placesTaken = 0;
  #isClosing = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  enter(socket: Socket): void {
    const network = networkOf(socket.remoteAddress);
    const connection: Connection = {
      socket,
      network,
      does: "waits",
      hasPlace: false,
      sinceMs: 0,
      deadline: undefined,
      visit: undefined,
    };
    this.#open.set(socket, connection);
    // A broken connection needs no report: its "close" event follows.
    socket.on("error", () => {});
    socket.on("close", () => this.#leave(connection));
    this.#wait(connection);
    if (this.#open.size > HTTP_CONNECTIONS_MAX) this.#end(toClose([...this.#open.values()]));
  }

  /** Undefined, and the connection ended, if the client has not yet read the answer to its last request. */
  begin(socket: Socket): Visit | undefined {
    const connection = this.#open.get(socket);
    if (connection?.does === "waits") {
      this.#now(connection, "works");
      this.#limit(connection, HTTP_ANSWER_MS_MAX);
      connection.visit = this.#visitOf(connection);
      return connection.visit;
    }
    this.#end(connection);
    return undefined;
  }

  /** Ends the connections without a request, and each other one after its answer. */
  close(): void {
    this.#isClosing = true;
    for (const connection of this.#open.values()) if (connection.does === "waits") this.#end(connection);
  }

  /** Ends all connections. */
  clear(): void {
    for (const connection of this.#open.values()) this.#end(connection);
  }

  #visitOf(connection: Connection): Visit {
    let [isMade, isRead] = [false, false];
    // An answer that is still being made takes memory even after its client has left.
    const release = () => {
      if (!isMade || !isRead || !connection.hasPlace) return;
      connection.hasPlace = false;
      this.#placesTaken--;
    };
    return {
      places: {
        take: () => {
          if (this.#placesTaken >= HTTP_REQUESTS_MAX) this.#end(this.#givingWayTo(connection));
          if (this.#placesTaken >= HTTP_REQUESTS_MAX) return false;
          this.#placesTaken++;
          connection.hasPlace = true;
          return true;
        },
        areFew: () => this.#placesTaken > HTTP_REQUESTS_MAX / 4,
      },
      made: () => {
        isMade = true;
        this.#now(connection, "reads");
        release();
      },
      read: () => {
        if (isRead) return;
        isRead = true;
        release();
        if (this.#open.has(connection.socket)) this.#wait(connection);
      },
    };
  }

  #givingWayTo({ network }: Connection): Connection | undefined {
    const beforeMs = this.#clock.monotonicMs() - HTTP_READING_MS_MIN;
    return toGiveWay([...this.#open.values()], network, beforeMs);
  }

  #wait(connection: Connection): void {
    connection.visit = undefined;
    this.#now(connection, "waits");
    this.#limit(connection, HTTP_IDLE_MS_MAX);
    if (this.#isClosing) connection.socket.end();
  }

  #now(connection: Connection, does: Held["does"]): void {
    connection.does = does;
    connection.sinceMs = this.#clock.monotonicMs();
  }

  #limit(connection: Connection, durationMs: number): void {
    connection.deadline?.abort();
    const deadline = new AbortController();
    connection.deadline = deadline;
    this.#clock.sleep(durationMs, deadline.signal).then(
      () => this.#end(connection),
      () => {},
    );
  }

  #end(connection: Connection | undefined): void {
    if (!connection) return;
    this.#leave(connection);
    connection.socket.destroy();
  }

  #leave(connection: Connection): void {
    this.#open.delete(connection.socket);
    connection.deadline?.abort();
    connection.visit?.read();
  }
}
