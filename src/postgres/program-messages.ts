/** One message of a PostgreSQL program on stderr, with the lines that belong to it. */
export interface ProgramMessage {
  kind: "error" | "warning" | "note";
  /** Without the program's name; lines joined by spaces. */
  text: string;
  /** The server's DETAIL, or the query that the program names. */
  details: string[];
  hints: string[];
}

/** Starts of lines; any other line continues the previous one. */
const OF_PROGRAM = /^(?:\/\S*\/)?(?:pg_\w+|psql)(?:\.bin)?: (?:(error|warning|detail|hint|info): )?(.*)$/;
const OF_SERVER = /^(ERROR|FATAL|PANIC|WARNING|NOTICE|INFO|DEBUG|LOG): {1,2}(.*)$/;
const BESIDE = /^(DETAIL|HINT|CONTEXT|QUERY|LINE \d+|STATEMENT|LOCATION|Command was): {1,2}(.*)$/;

/** Parses stderr of pg_dump or pg_restore, from its beginning or any later line. */
export function messagesOf(stderr: string): ProgramMessage[] {
  const messages: ProgramMessage[] = [];
  let goOn: (line: string) => void = () => {};
  const add = (kind: ProgramMessage["kind"], text: string) => {
    const message: ProgramMessage = { kind, text, details: [], hints: [] };
    messages.push(message);
    goOn = (line) => (message.text += ` ${line}`);
  };
  const addBeside = (part: "details" | "hints", text: string) => {
    const list = messages.at(-1)?.[part];
    if (!list) return add("error", text);
    list.push(text);
    goOn = (line) => list.push(`${list.pop()} ${line}`);
  };
  for (const line of stderr.split("\n").map((text) => text.trim())) {
    if (line === "") continue;
    const [, kind, said = ""] = OF_PROGRAM.exec(line) ?? [];
    const [, severity, told = ""] = OF_SERVER.exec(line) ?? [];
    const [, beside, besideText = ""] = BESIDE.exec(line) ?? [];
    if (kind === "detail" || beside === "DETAIL") addBeside("details", said || besideText);
    else if (kind === "hint" || beside === "HINT") addBeside("hints", said || besideText);
    else if (beside !== undefined) goOn = () => {};
    else if (severity !== undefined) add(kindOf(severity), `${severity}: ${told}`);
    else if (OF_PROGRAM.test(line)) add(kindOf(kind ?? said), said);
    else goOn(line);
  }
  return messages;
}

/** Judged by the severity, or by the text because programs older than 12 print no severity. */
function kindOf(word: string): ProgramMessage["kind"] {
  if (/^warning\b/i.test(word)) return "warning";
  return /^(error|fatal|panic)\b|ERROR: |FATAL: |failed|(unrecognized|invalid) option/i.test(word)
    ? "error"
    : "note";
}

/** pg_dump's warnings, each with its details and hints. */
export function warningsOf(stderr: string | null): string[] {
  return messagesOf(stderr ?? "")
    .filter(({ kind }) => kind === "warning")
    .map(({ text, details, hints }) => [text.replace(/^WARNING: +/, ""), ...details, ...hints].join(" "));
}
