import { afterAll, beforeAll } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A private directory for a test file, removed after its last test. */
export function useTempDir(): { readonly path: string } {
  let path = "";
  beforeAll(() => {
    path = mkdtempSync(join(tmpdir(), "pg321-test-"));
  });
  afterAll(() => rmSync(path, { recursive: true, force: true }));
  return {
    get path() {
      return path;
    },
  };
}
