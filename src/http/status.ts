import type { HonoRequest } from "hono";
import { inTurns, type Steps } from "../base/steps.ts";
import type { VerdictLevel } from "../status/verdict.ts";
import { answerIn, errorAnswer, FORMATS, type Format, formatOf } from "./answer.ts";
import type { Sharing } from "./sharing.ts";

/** A report, and how it is shown. */
export interface StatusForms<R> {
  report: () => Promise<R>;
  levelOf: (report: R) => VerdictLevel;
  json: (report: R) => Steps<string>;
  text: (report: R) => Steps<string>;
}

/** Returns the function that answers requests for `/status`. Those at the same time share the report and its text. */
export function statusAnswers<R>(
  { report, levelOf, json, text }: StatusForms<R>,
  shared: Sharing,
): (req: HonoRequest) => Promise<Response> {
  const shownBy = (steps: (report: R) => Steps<string>) =>
    shared(async () => {
      const shown = await report();
      return { level: levelOf(shown), body: new Blob([await inTurns(steps(shown)), "\n"]) };
    });
  const shownAs = { json: shownBy(json), text: shownBy(text) };
  return async (req) => {
    const asked = statusAsked(req);
    if (asked instanceof Response) return asked;
    const { level, body } = await shownAs[asked.format]();
    const status = asked.failing.includes(level) ? 503 : 200;
    return answerIn(asked.format, body, status, { vary: "accept" });
  };
}

/** What a request for `/status` asks for. */
interface StatusAsked {
  format: Format;
  /** The verdicts that become a 503. */
  failing: readonly VerdictLevel[];
}

/** Reads `format` and `fail` of a request, or answers it with 400. */
function statusAsked(req: HonoRequest): StatusAsked | Response {
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
