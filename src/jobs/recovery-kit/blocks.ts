import { PLAIN, table } from "../../base/text/table.ts";

/** A part of the page, which is written as Markdown and as plain text. `code` and `**strong**` work inside texts. */
export type Block =
  | { heading: string; level: 1 | 2 | 3 | 4 }
  | { text: string }
  | { list: readonly string[] }
  | { titles: readonly string[]; rows: readonly (readonly string[])[] }
  /** Lines for a root shell. */
  | { commands: readonly string[] };

const WIDTH = 100;

export function markdownOf(blocks: readonly Block[]): string {
  return `${blocks.map(markdownBlock).join("\n\n")}\n`;
}

export function textOf(blocks: readonly Block[]): string {
  return `${blocks.map(textBlock).join("\n\n")}\n`;
}

function markdownBlock(block: Block): string {
  if ("heading" in block) return `${"#".repeat(block.level)} ${block.heading}`;
  if ("text" in block) return wrapped(block.text);
  if ("list" in block) return block.list.map((item) => wrapped(`- ${item}`, "  ")).join("\n");
  if ("commands" in block) return ["```sh", ...block.commands, "```"].join("\n");
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
  return [line(block.titles), line(block.titles.map(() => "---")), ...block.rows.map(line)].join("\n");
}

function textBlock(block: Block): string {
  if ("heading" in block) {
    const underline = ["=", "-", "-", "."][block.level - 1] ?? ".";
    return `${block.heading}\n${underline.repeat(Bun.stringWidth(block.heading))}`;
  }
  if ("text" in block) return wrapped(unmarked(block.text));
  if ("list" in block) return block.list.map((item) => wrapped(`- ${unmarked(item)}`, "  ")).join("\n");
  if ("commands" in block) return block.commands.map((line) => `    ${line}`).join("\n");
  const columns = block.titles.map((title, index) => ({
    title: title.toUpperCase(),
    cell: (row: readonly string[]) => unmarked(row[index] ?? ""),
  }));
  // What does not fit on a sheet of paper stands below each row.
  return table(block.rows, columns, { ...PLAIN, columns: WIDTH });
}

function unmarked(text: string): string {
  return text.replace(/`([^`]*)`/g, "$1").replaceAll("**", "");
}

/** Wraps at blanks; a longer word, such as a key, gets a line of its own. */
function wrapped(text: string, indent = ""): string {
  const lines: string[] = [];
  let current = "";
  for (const word of text.split(" ")) {
    if (current !== "" && Bun.stringWidth(`${current} ${word}`) > WIDTH) {
      lines.push(current);
      current = indent + word;
    } else current = current === "" ? word : `${current} ${word}`;
  }
  return [...lines, current].join("\n");
}
