import { changed, type Steps } from "../steps.ts";

/** Stable JSON for `--json`. Control characters that JSON allows unescaped are escaped too. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2).replace(
    /[\u007f-\u009f]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** `jsonText` of a record, in steps: the elements of its lists a few at a time. */
export function* jsonSteps(record: object): Steps<string> {
  const members: string[] = [];
  for (const [key, value] of Object.entries(record)) {
    if (!Array.isArray(value) || value.length === 0) {
      members.push(memberText(key, value));
      continue;
    }
    const [head, tail] = [`  ${jsonText(key)}: [\n`, "\n  ]"];
    const texts = yield* changed(value, (some) => [memberText(key, some).slice(head.length, -tail.length)]);
    members.push(`${head}${texts.join(",\n")}${tail}`);
  }
  return `{\n${members.filter((text) => text !== "").join(",\n")}\n}`;
}

/** One line or more of a record, without its braces; empty for a value that JSON does not have. */
function memberText(key: string, value: unknown): string {
  return jsonText({ [key]: value }).slice("{\n".length, -"\n}".length);
}
