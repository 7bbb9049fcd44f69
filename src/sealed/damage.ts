import { Pg321Error } from "../base/errors.ts";

const OTHER_COPY =
  "use another copy (restore --from STORAGE); to replace a damaged one, run pg321 verify ID and pg321 repair";

/** The bytes differ from those written. `what` says where, in lower case. */
export function damaged(what: string, hint: string = OTHER_COPY): Pg321Error {
  return new Pg321Error("verification", `sealed file: ${what}`, { hint });
}
