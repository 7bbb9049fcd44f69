type Members = Record<string, unknown>;
/** The name of a vector, and its metadata: members to write as pg321 does, or raw bytes. */
export type MetadataVector = [string, Members | Uint8Array];

/** Metadata that pg321 does not write, but that version 1 of the format allows. */
export function oddMetadata(metadata: Members): MetadataVector[] {
  const changed = (members: Members) => ({ ...metadata, ...members });
  const controls = Array.from({ length: 31 }, (_, index) => String.fromCharCode(index + 1)).join("");
  return [
    ["nested-32-levels", Buffer.from(withMember(metadata, `"later":${nested(31)}`))],
    ["brackets-in-names", changed({ database: `${"[{".repeat(40)}"\\"${"[".repeat(40)}` })],
    ["name-of-255-code-units", changed({ server: `${"🐘".repeat(127)}x`, database: "ü".repeat(255) })],
    ["control-characters", changed({ database: `${controls}"\\/\u007f\u0085\u2028\uffff` })],
    ["leap-day", changed({ started_at: "2028-02-29T23:59:59.999Z" })],
    ["year-1", changed({ started_at: "0001-01-01T00:00:00.000Z" })],
    ["year-9999", changed({ started_at: "9999-12-31T23:59:59.999Z" })],
    ["globals", changed({ kind: "globals" })],
    [
      "unknown-values",
      changed({ later: { a: [2 ** 53 - 1, 1 - 2 ** 53, 0], b2_c: [true, false, null, {}, []], d: "" } }),
    ],
    ["members-in-another-order", Object.fromEntries(Object.entries(metadata).reverse())],
  ];
}

/** Invalid metadata in files that would open otherwise; some readers would even accept it. */
export function refusedMetadata(metadata: Members): MetadataVector[] {
  return [
    ...badForms(metadata),
    ...badTexts(metadata),
    ...badNumbers(metadata),
    ...badTimes(metadata),
    ...badValues(metadata),
  ];
}

function badForms(metadata: Members): MetadataVector[] {
  const text = JSON.stringify(metadata);
  const forms: [string, string][] = [
    ["repeated", withMember(metadata, '"database":"app"')],
    ["repeated-with-another-value", text.replace("{", '{"database":"other",')],
    ["repeated-unknown", withMember(metadata, '"later":1,"later":1')],
    ["repeated-in-unknown", withMember(metadata, '"later":{"a":1,"a":1}')],
    ["white-space", text.replace(":", ": ")],
    ["line-end", `${text}\n`],
    ["zero-byte-after", `${text}\0`],
    ["comma-after-last", text.replace(/}$/, ",}")],
    ["comment", text.replace("{", "{/**/")],
    ["array", `[${text}]`],
    ["null", "null"],
    ["text", JSON.stringify(text)],
    ["nested-33-levels", withMember(metadata, `"later":${nested(32)}`)],
    ["nested-33-levels-of-objects", withMember(metadata, `"later":${'{"a":'.repeat(31)}{}${"}".repeat(31)}`)],
    ["nested-1000-levels", withMember(metadata, `"later":${nested(1000)}`)],
    ["nested-30000-levels", withMember(metadata, `"later":${nested(30_000)}`)],
    ["nested-without-end", text.replace(/}$/, `,"later":${"[".repeat(30_000)}`)],
    ["member-name-a-number", text.replace("{", '{"1":1,')],
    ["member-name-with-capital", withMember(metadata, '"Database":"app"')],
    ["member-name-prototype", withMember(metadata, '"__proto__":{"a":1}')],
    ["member-name-empty", withMember(metadata, '"":1')],
    ["member-name-in-unknown", withMember(metadata, '"later":{"é":1}')],
  ];
  const utf16: MetadataVector = ["utf-16", Buffer.from(text, "utf16le")];
  return [utf16, ...forms.map(([name, form]): MetadataVector => [name, Buffer.from(form)])];
}

function badTexts(metadata: Members): MetadataVector[] {
  const database = (escaped: string) => JSON.stringify(metadata).replace('"app"', `"${escaped}"`);
  const later = (escaped: string) => withMember(metadata, `"later":"${escaped}"`);
  const texts: [string, string][] = [
    ["lone-surrogate", database("\\ud800")],
    ["lone-surrogate-in-unknown", later("\\udc00")],
    ["surrogates-in-wrong-order", database("\\udc00\\ud800")],
    ["escaped-pair", database("\\ud83d\\ude00")],
    ["escaped-letter", database("\\u0061pp")],
    ["escaped-slash", database("a\\/b")],
    ["escaped-line-end-in-full", database("a\\u000ab")],
    ["escaped-control-in-capitals", database("a\\u001Fb")],
    ["escaped-delete", database("a\\u007fb")],
    ["control-not-escaped", database("a\nb")],
    ["unknown-escape", database("a\\x62")],
  ];
  const bytes = (name: string, ...bad: number[]): MetadataVector => [
    name,
    Buffer.from(database("?").replace('"?"', `"${String.fromCharCode(...bad)}"`), "latin1"),
  ];
  return [
    ...texts.map(([name, text]): MetadataVector => [name, Buffer.from(text)]),
    bytes("surrogate-in-utf-8", 0xed, 0xa0, 0x80),
    bytes("overlong-utf-8", 0xc1, 0xa1),
    bytes("beyond-unicode", 0xf4, 0x90, 0x80, 0x80),
  ];
}

function badNumbers(metadata: Members): MetadataVector[] {
  const segments = (number: string) =>
    JSON.stringify(metadata).replace('"segment_bytes":64', `"segment_bytes":${number}`);
  const numbers: [string, string][] = [
    ["segments-with-fraction", segments("64.0")],
    ["segments-with-exponent", segments("6.4e1")],
    ["segments-as-text", segments('"64"')],
    ["segments-true", segments("true")],
    ["segments-leading-zero", segments("064")],
    ["number-with-fraction", withMember(metadata, '"later":0.5')],
    ["number-with-exponent", withMember(metadata, '"later":1e3')],
    ["number-too-large", withMember(metadata, '"later":9007199254740992')],
    ["number-too-small", withMember(metadata, '"later":-9007199254740992')],
    ["number-minus-zero", withMember(metadata, '"later":-0')],
    ["number-nan", withMember(metadata, '"later":NaN')],
    ["number-infinite", withMember(metadata, '"later":Infinity')],
  ];
  return numbers.map(([name, text]): MetadataVector => [name, Buffer.from(text)]);
}

function badTimes(metadata: Members): MetadataVector[] {
  const times = {
    "without-fraction": "2026-11-23T00:25:00Z",
    "one-digit": "2026-11-23T00:25:00.0Z",
    "six-digits": "2026-11-23T00:25:00.000000Z",
    "month-13": "2026-13-23T00:25:00.000Z",
    "february-30": "2026-02-30T00:25:00.000Z",
    "no-leap-year": "2100-02-29T00:25:00.000Z",
    "hour-24": "2026-11-23T24:00:00.000Z",
    "minute-60": "2026-11-23T00:60:00.000Z",
    "leap-second": "2016-12-31T23:59:60.000Z",
    "year-0": "0000-01-01T00:00:00.000Z",
    "year-10000": "+010000-01-01T00:00:00.000Z",
    nonsense: "2026-13-45T99:99:99.999Z",
    "lower-case": "2026-11-23t00:25:00.000z",
    "with-blank": "2026-11-23 00:25:00.000Z",
    "with-offset": "2026-11-23T00:25:00.000+00:00",
    "with-offset-and-z": "2026-11-23T00:25:00+00:00Z",
    "with-comma": "2026-11-23T00:25:00,000Z",
    "other-digits": "２０２６-11-23T00:25:00.000Z",
    "with-line-end": "2026-11-23T00:25:00.000Z\n",
  };
  return Object.entries(times).map(([name, started_at]) => [`time-${name}`, { ...metadata, started_at }]);
}

function badValues(metadata: Members): MetadataVector[] {
  const signer = String(metadata["signer"]);
  const values: [string, Members][] = [
    ["installation-in-capitals", { installation: String(metadata["installation"]).toUpperCase() }],
    ["installation-in-braces", { installation: `{${metadata["installation"]}}` }],
    ["backup-id-with-line-end", { backup_id: `${metadata["backup_id"]}\n` }],
    ["backup-id-null", { backup_id: null }],
    ["kind-unknown", { kind: "wal" }],
    ["compression-unknown", { compression: "lz4" }],
    ["server-empty", { server: "" }],
    ["server-a-number", { server: 1 }],
    ["database-of-256-code-units", { database: `${"🐘".repeat(127)}xy` }],
    ["signer-without-padding", { signer: signer.slice(0, -1) }],
    ["signer-with-line-end", { signer: `${signer}\n` }],
    ["signer-in-two-lines", { signer: `${signer.slice(0, 40)}\n${signer.slice(40)}` }],
    ["signer-with-unused-bits", { signer: withUnusedBits(signer) }],
    ["signer-of-other-alphabet", { signer: `-_${signer.slice(2)}` }],
    ["signer-of-31-bytes", { signer: Buffer.alloc(31, 7).toString("base64") }],
    ["signer-for-a-terminal", { signer: `\u001b]0;owned\u0007\u001b[2J${signer}` }],
    ["signer-an-array", { signer: [signer] }],
  ];
  return values.map(([name, change]) => [name, { ...metadata, ...change }]);
}

/** Another spelling of the same 32 bytes: its last digit has two unused bits. */
export function withUnusedBits(signer: string): string {
  const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return `${signer.slice(0, -2)}${digits[digits.indexOf(signer.at(-2) ?? "") + 1]}=`;
}

export function nested(levels: number): string {
  return "[".repeat(levels) + "]".repeat(levels);
}

/** The compact text of `members` with one more member at its end, as raw text. */
export function withMember(members: Members, text: string): string {
  return JSON.stringify(members).replace(/}$/, () => `,${text}}`);
}
