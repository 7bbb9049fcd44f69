/** The words that start this program again: the executable, or from source the runtime and its main file. */
export function ownProgram(): string[] {
  const isCompiled = Bun.main.startsWith("/$bunfs/");
  return [process.execPath, ...(isCompiled ? [] : [Bun.main])];
}
