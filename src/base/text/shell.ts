/** A text as one word of a shell command line, for commands that a message prints and a person pastes. */
export function shellQuoted(text: string): string {
  return /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** `--yes NAME`, or `--yes=-name` for a value that would look like an option. */
export function shellOption(option: string, value: string): string {
  return `${option}${value.startsWith("-") ? "=" : " "}${shellQuoted(value)}`;
}
