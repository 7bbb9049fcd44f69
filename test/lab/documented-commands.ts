/** Command lines in documents. A line goes on after a backslash, a pipe or `&&`; comments are left out. */

/** The code blocks below a heading (of any level), up to the next heading of the same or a higher level. */
export function blocksBelow(
  document: string,
  heading: string,
  languages: readonly string[] = ["", "sh"],
): string[] {
  const at = new RegExp(`^(#+) ${heading.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")}$`, "m").exec(document);
  if (!at) throw new Error(`no heading "${heading}"`);
  const rest = document.slice(at.index + at[0].length);
  const end = new RegExp(`^#{1,${at[1]?.length}} `, "m").exec(rest)?.index ?? rest.length;
  return codeBlocks(rest.slice(0, end), languages);
}

export function codeBlocks(document: string, languages: readonly string[] = ["", "sh"]): string[] {
  return [...document.matchAll(/^```(\w*)\n(.*?)^```$/gms)]
    .filter(([, language = ""]) => languages.includes(language))
    .map(([, , text]) => text ?? "");
}

/** The commands of a block, each as one line of shell. */
export function commandsOf(block: string): string[] {
  const lines = block
    .replace(/\\\n\s*/g, "")
    .replace(/(\||&&)\n\s*/g, "$1 ")
    .split("\n");
  return lines
    .map((line) => line.replace(/\s+# .*$/, "").trim())
    .filter((line) => line !== "" && !line.startsWith("#"));
}
