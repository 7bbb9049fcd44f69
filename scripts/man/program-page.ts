import { join } from "node:path";
import { COMMON_OPTIONS, type Option } from "../../src/cli/command.ts";
import { COMMANDS } from "../../src/cli/registry.ts";
import { argument, escaped, literal, type PageHead, pageHead, prose, taggedList } from "./mdoc.ts";

const CLI_DOCS = join(import.meta.dir, "../../docs/cli.md");

/** pg321(1), from the declarations that make `--help`. */
export async function programPage(head: Pick<PageHead, "date" | "version">): Promise<string> {
  const summary = "PostgreSQL backups, encrypted, in several storages, proved by restoring them";
  const loaded = await Promise.all(COMMANDS.map(async (entry) => ({ ...entry, ...(await entry.load()) })));
  const lines = [
    ...pageHead({ ...head, title: "PG321", section: 1, name: "pg321", summary }),
    ".Sh SYNOPSIS",
    ".Nm",
    ".Ar command",
    ".Op Ar argument ...",
    ".Op Ar option ...",
    ".Nm",
    ".Cm help",
    ".Op Ar command | Cm recovery | Cm schema",
    ".Sh DESCRIPTION",
    ...prose(
      "pg321 backs up PostgreSQL databases the 3-2-1-1-0 way: at least three copies of the data (the live database is one), on two kinds of storage, one off-site, one that nobody can delete, and no error at the last restore test. One pg_dump of each database feeds every storage, compressed and encrypted. Its settings are in a config, pg321.toml(5). `pg321 install` sets up a service that runs the jobs by their schedules.",
    ),
    ".Pp",
    ...prose(
      "Options may stand before or after the command. `pg321 help recovery` prints the commands to run after each accident.",
    ),
    ".Sh COMMANDS",
    ...loaded.flatMap(({ name, summary: what, command }) => [
      `.Ss ${escaped(name)}`,
      `.Dl ${argument(`pg321 ${name} ${command.usage}`.trim())}`,
      ".Pp",
      ...prose(sentence(what)),
      ...(command.description ?? "")
        .split("\n\n")
        .flatMap((text) => [...(text === "" ? [] : [".Pp"]), ...prose(text)]),
      ...optionList(command.options),
      ".Pp",
      ...examplesOf(command.examples),
    ]),
    ".Sh OPTIONS",
    "These options belong to every command.",
    ...optionList({ ...COMMON_OPTIONS, version: { type: "boolean", short: "V", help: "print the version" } }),
    ...(await endOfPage()),
  ];
  return `${lines.join("\n")}\n`;
}

function examplesOf(examples: readonly { command: string; explanation: string }[]): string[] {
  const noun = examples.length === 1 ? "Example:" : "Examples:";
  return [
    noun,
    ...taggedList(
      examples.map(({ command, explanation }) => ({
        term: `Ic ${argument(command)}`,
        body: prose(sentence(explanation)),
      })),
    ),
  ];
}

/** A phrase of `--help` as a sentence. A word that is typed as it stands keeps its small letter. */
function sentence(phrase: string, typed: readonly string[] = []): string {
  const text = phrase.replaceAll("\n", " ");
  const [first = ""] = text.split(/[ ,:]/);
  const begun = typed.includes(first) ? text : text.slice(0, 1).toUpperCase() + text.slice(1);
  return /[.…!?]$/.test(begun) ? begun : `${begun}.`;
}

function optionList(options: Readonly<Record<string, Option>>): string[] {
  return taggedList(
    Object.entries(options).map(([name, { short, value, values, help }]) => ({
      term: `${short ? `Fl ${short} , ` : ""}Fl \\-${name}${value ? ` Ar ${argument(value)}` : ""}`,
      body: prose(sentence(help, values?.words)),
    })),
  );
}

async function endOfPage(): Promise<string[]> {
  const docs = await Bun.file(CLI_DOCS).text();
  const table = docs.slice(docs.indexOf("## Exit codes"));
  const codes = [
    ...table.slice(0, table.indexOf("\nTreat any other")).matchAll(/^\| (\d+) \| `(\w+)` \| (.*) \|$/gm),
  ];
  return [
    ".Sh ENVIRONMENT",
    ...taggedList([
      { term: "Ev PG321_CONFIG", body: prose("The config, if --config is not given.") },
      { term: "Ev NO_COLOR", body: prose("If set to anything, the output has no colours.") },
      {
        term: "Ev HTTPS_PROXY , NO_PROXY",
        body: prose("The proxy for storages and notifiers, and the hosts that need none."),
      },
    ]),
    ".Sh FILES",
    ...taggedList([
      { term: "Pa /etc/pg321/config.toml", body: prose("The config.") },
      { term: "Pa /etc/pg321/credentials/", body: prose("Secrets that the config takes as credentials.") },
      { term: "Pa /etc/pg321/identity.txt", body: prose("The secret key that opens the backups.") },
      { term: "Pa /var/lib/pg321/", body: prose("The catalog and the signing key.") },
    ]),
    ".Sh EXIT STATUS",
    ...taggedList(
      codes.map(([, code = "", name = "", meaning = ""]) => ({
        term: `${code} Pq ${name}`,
        body: prose(sentence(meaning)),
      })),
    ),
    ".Sh EXAMPLES",
    "From nothing to the first backup:",
    ...literal("sudo ./pg321 init"),
    ".Pp",
    "The newest good backup of a database, restored beside the live one:",
    ...literal("sudo pg321 restore latest -d app --target main/app_restored --create"),
    ".Sh SEE ALSO",
    ".Xr pg_dump 1 ,",
    ".Xr pg_restore 1 ,",
    ".Xr systemctl 1 ,",
    ".Xr pg321.toml 5",
  ];
}
