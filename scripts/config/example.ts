/** What config.example.toml says about one key. */
export interface ExplainedKey {
  /** `server`, `storage`, `schedule.override`; empty for the top level. */
  table: string;
  /** Of a [[storage]] or a [[notify]]. */
  type: string | undefined;
  /** `port`, `keep.days`. */
  key: string;
  /** The comment above it, as one paragraph. */
  text: string;
  /** Whether the comment is that of the key above. */
  isShared: boolean;
  /** The value that is shown, as TOML. */
  shown: string;
}

/** The headlines of the reference for the tables that the example begins with, and for the top level. */
const HEADLINES: readonly [RegExp, Pick<ExplainedKey, "table" | "type">][] = [
  [/^# The top level\.$/, { table: "", type: undefined }],
  [/^# In \[\[server\]\]/, { table: "server", type: undefined }],
  [/^# In the \[\[storage\]\] of type "local"/, { table: "storage", type: "local" }],
  [/^# In \[encryption\]/, { table: "encryption", type: undefined }],
];
const HEADER = /^(?:# )?\[\[?([a-z_.]+)\]\]?$/;
const SETTING = /^(?:# )?#?([a-z_]+(?:\.[a-z_]+)?) = (.*?)(?:\s+# not set)?$/;
const RULER = /^# -{20}/;

/** Reads the reference in config.example.toml: each key with its explanation. */
export function explainedKeys(example: string): ExplainedKey[] {
  const lines = example.slice(example.search(/^# Reference: /m)).split("\n");
  const keys: ExplainedKey[] = [];
  let place: Pick<ExplainedKey, "table" | "type"> = { table: "", type: undefined };
  let comment: string[] = [];
  let last = "";
  for (const [index, line] of lines.entries()) {
    const headline = HEADLINES.find(([pattern]) => pattern.test(line))?.[1];
    const header = HEADER.exec(line)?.[1];
    const setting = SETTING.exec(line);
    if (headline !== undefined) place = headline;
    else if (header !== undefined) {
      const block = lines.slice(index + 1);
      const end = block.findIndex((one) => HEADER.test(one) || RULER.test(one));
      place = { table: header, type: typeIn(block.slice(0, end < 0 ? undefined : end)) };
    } else if (setting) {
      // A key right below another one shares its comment: a certificate and its key.
      const text = comment.length > 0 ? comment.join(" ") : last;
      keys.push({
        ...place,
        key: setting[1] ?? "",
        text,
        isShared: comment.length === 0,
        shown: setting[2] ?? "",
      });
      last = text;
    } else if (/^# ./.test(line) && !RULER.test(line)) {
      comment.push(line.slice(2).trim());
      continue;
    } else last = "";
    comment = [];
  }
  return keys;
}

function typeIn(lines: readonly string[]): string | undefined {
  return lines.map((line) => /^#? ?type = "([a-z0-9]+)"/.exec(line)?.[1]).find((type) => type !== undefined);
}
