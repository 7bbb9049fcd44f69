/** One series of a scrape. */
export interface Series {
  name: string;
  labels: Record<string, string>;
  value: number;
}

export interface Scrape {
  series: Series[];
  /** By the name of the metric. */
  types: Record<string, string>;
  help: Record<string, string>;
}

const UNESCAPED: Record<string, string> = { "\\\\": "\\", "\\n": "\n", '\\"': '"' };

/** Parses the Prometheus text format strictly; throws on an unknown line. */
export function scrapeOf(text: string): Scrape {
  const scrape: Scrape = { series: [], types: {}, help: {} };
  for (const line of text.split("\n")) {
    if (line === "") continue;
    const [, comment, about = "", said = ""] = /^# (HELP|TYPE) (\w+) (.+)$/.exec(line) ?? [];
    if (comment === "HELP") scrape.help[about] = said;
    else if (comment === "TYPE") scrape.types[about] = said;
    else scrape.series.push(seriesOf(line));
  }
  return scrape;
}

function seriesOf(line: string): Series {
  const [, name, inBraces = "", value] = /^([a-z_:][\w:]*)(?:\{(.*)\})? ([-+.\de]+)$/s.exec(line) ?? [];
  const labels: Record<string, string> = {};
  const rest = inBraces.replace(/([a-z_]\w*)="((?:[^"\\\n]|\\[\\n"])*)",?/g, (_, label, quoted) => {
    labels[label] = quoted.replace(/\\[\\n"]/g, (escaped: string) => UNESCAPED[escaped]);
    return "";
  });
  if (name === undefined || rest !== "") throw new Error(`no line of a scrape: ${line}`);
  return { name, labels, value: Number(value) };
}

/** The value of the only series of this name with these labels (and perhaps others); undefined if there is none. */
export function valueIn(
  { series }: Scrape,
  name: string,
  labels: Record<string, string> = {},
): number | undefined {
  const found = series.filter(
    (one) =>
      one.name === name && Object.entries(labels).every(([label, value]) => one.labels[label] === value),
  );
  if (found.length > 1) throw new Error(`${found.length} series of ${name} ${JSON.stringify(labels)}`);
  return found[0]?.value;
}
