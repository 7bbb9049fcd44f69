import { EXIT_CODES } from "../../base/errors.ts";
import type { Command } from "../command.ts";
import { SCRIPTS, SHELLS } from "../completion/scripts.ts";
import { choiceOption } from "../parse.ts";

export const command: Command = {
  usage: "bash|zsh|fish",
  description:
    "Prints a script for the shell: commands, options and their values, and names of databases, servers, storages and\n" +
    "notifiers, ids of backups and alerts, from the config and the catalog, as far as you may read them. It asks no\n" +
    "server and no storage. The packages install the scripts.",
  options: {},
  examples: [
    { command: "source <(pg321 completion bash)", explanation: "in ~/.bashrc, or once for this shell" },
    { command: "source <(pg321 completion zsh)", explanation: "in ~/.zshrc, after compinit" },
    {
      command: "pg321 completion fish > ~/.config/fish/completions/pg321.fish",
      explanation: "loaded by each new fish",
    },
  ],
  positionals: { min: 1, max: 1, values: [{ words: SHELLS }] },
  async run({ arguments: args, output }) {
    const shell = choiceOption("completion", "the shell", args.positionals[0], SHELLS) ?? "bash";
    output.print(SCRIPTS[shell].trimEnd());
    return EXIT_CODES.ok;
  },
};
