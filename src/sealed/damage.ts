import { Pg321Error } from "../base/errors.ts";

const OTHER_COPY =
  "read another copy (restore --from STORAGE); pg321 verify and pg321 repair replace a damaged one";

/** The bytes are not what was written. `what` says where, lower case. */
export function damaged(what: string, hint: string = OTHER_COPY): Pg321Error {
  return new Pg321Error("verification", `sealed file: ${what}`, { hint });
}
