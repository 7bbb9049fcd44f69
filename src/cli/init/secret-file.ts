import { readFile } from "node:fs/promises";
import { messageOf, Pg321Error } from "../../base/errors.ts";

/** The secret in a file that an option names; one line end at its end is the editor's. Throws code `usage`. */
export async function secretIn(file: string, option: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    throw new Pg321Error("usage", `init: --${option} ${file}: ${messageOf(cause)}`, { cause });
  });
  const secret = text.replace(/\r?\n$/, "");
  if (secret !== "") return secret;
  throw new Pg321Error("usage", `init: --${option} ${file}: the file is empty`);
}
