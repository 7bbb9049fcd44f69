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
    const texts = yield* changed(value, (some) => [elementsText(some)]);
    members.push(`  ${jsonText(key)}: [\n${texts.join(",\n")}\n  ]`);
  }
  return `{\n${members.filter((text) => text !== "").join(",\n")}\n}`;
}

/** A list that is too long for memory. */
export interface LongValue {
  pages(): AsyncIterable<readonly unknown[]>;
}

/** `jsonText` of a record, with a line break at its end, in parts: its long lists a page at a time. */
export async function* longJson(record: object): AsyncGenerator<string> {
  let before = "{\n";
  for (const [key, value] of Object.entries(record)) {
    if (!isLong(value)) {
      const text = memberText(key, value);
      if (text === "") continue;
      yield before + text;
    } else {
      yield `${before}  ${jsonText(key)}: [`;
      let isEmpty = true;
      for await (const page of value.pages()) {
        if (page.length === 0) continue;
        yield (isEmpty ? "\n" : ",\n") + elementsText(page);
        isEmpty = false;
      }
      yield isEmpty ? "]" : "\n  ]";
    }
    before = ",\n";
  }
  yield "\n}\n";
}

function isLong(value: unknown): value is LongValue {
  return typeof value === "object" && value !== null && "pages" in value;
}

/** The lines of some elements of a list in a record. */
function elementsText(elements: readonly unknown[]): string {
  return memberText("", elements).slice('  "": [\n'.length, -"\n  ]".length);
}

/** One line or more of a record, without its braces; empty for a value that JSON does not have. */
function memberText(key: string, value: unknown): string {
  return jsonText({ [key]: value }).slice("{\n".length, -"\n}".length);
}
