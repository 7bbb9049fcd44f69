import type { HonoRequest } from "hono";
import type { VerdictLevel } from "../status/verdict.ts";
import { errorAnswer, FORMATS, type Format, formatOf } from "./answer.ts";

/** What a request for `/status` asks for. */
export interface StatusAsked {
  format: Format;
  /** The verdicts that become a 503. */
  failing: readonly VerdictLevel[];
}

/** Reads `format` and `fail` of a request, or answers it with 400. */
export function statusAsked(req: HonoRequest): StatusAsked | Response {
  const wanted = req.query("format");
  const format = wanted === undefined ? formatOf(req.raw.headers) : FORMATS.find((one) => one === wanted);
  if (format === undefined) return errorAnswer(req.raw, 400, `format must be one of ${FORMATS.join(", ")}`);
  const failing = failingLevels(req.query("fail"));
  if (failing === undefined) return errorAnswer(req.raw, 400, `fail must be one of ${FAIL_VALUES}`);
  return { format, failing };
}

const FAIL_VALUES = "1 (503 if the verdict is bad), warning (503 for a warning as well)";

/** The verdicts that `?fail=` turns into a 503; undefined for an unknown value. */
function failingLevels(value: string | undefined): readonly VerdictLevel[] | undefined {
  if (value === undefined) return [];
  if (value === "1") return ["bad"];
  return value === "warning" ? ["warning", "bad"] : undefined;
}
