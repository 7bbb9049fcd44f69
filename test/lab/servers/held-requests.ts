import { expect } from "bun:test";
import { MARKER_KEY } from "../../../src/storage/marker.ts";
import type { Running } from "../machine/running.ts";
import type { HttpProxy, ProxiedRequest } from "./http-proxy.ts";

export type Hold = (request: ProxiedRequest) => boolean;

/** Holds the first matching request back for ever, before it reaches the server or after the server has answered. */
export function holdAt(proxy: HttpProxy, when: "before" | "after", isIt: Hold): () => boolean {
  let isHeld = false;
  proxy.answer = async (request) => {
    if (isHeld || !isIt(request)) return request.forward();
    if (when === "after") await request.forward();
    isHeld = true;
    return new Promise(() => {});
  };
  return () => isHeld;
}

export const pathOf = ({ target }: ProxiedRequest) => target.split("?")[0] ?? "";
export const queryOf = ({ target }: ProxiedRequest) => new URLSearchParams(target.split("?")[1]);
export const isHead: Hold = (request) => request.method === "HEAD" && pathOf(request).includes("/backup_b");
export const isBegin: Hold = (request) => request.method === "POST" && queryOf(request).has("uploads");
export const isThirdPart: Hold = (request) => queryOf(request).get("partNumber") === "3";
export const isCompletion: Hold = (request) => request.method === "POST" && queryOf(request).has("uploadId");
export const isManifest: Hold = (request) =>
  request.method === "PUT" && pathOf(request).endsWith(".json") && !pathOf(request).endsWith(MARKER_KEY);

/** Sends SIGKILL; resolves when the process has ended. */
export async function killed(running: Running): Promise<void> {
  running.kill("SIGKILL");
  expect((await running.ended).exitCode).toBe(137);
}
