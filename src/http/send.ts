import type { ServerResponse } from "node:http";
import { KIB } from "../base/limits.ts";

const PIECE_BYTES = 256 * KIB;

/**
 * Sends a body in pieces, each once the client has read enough of those before. So a body that many slow clients share is in
 * memory once. Resolves at the end of the body, or of the connection.
 */
export async function send(body: Blob, response: ServerResponse): Promise<void> {
  for (let from = 0; ; from += PIECE_BYTES) {
    const piece = await body.slice(from, from + PIECE_BYTES).bytes();
    if (response.destroyed || response.closed) return;
    if (from + piece.length >= body.size) return void response.end(piece);
    if (!response.write(piece)) await drained(response);
  }
}

function drained(response: ServerResponse): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      response.off("drain", done).off("close", done);
      resolve();
    };
    response.on("drain", done).on("close", done);
  });
}
