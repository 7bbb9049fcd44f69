import { Pg321Error } from "../base/errors.ts";
import { Secret } from "../base/secret.ts";
import { exactText } from "../base/text/utf8.ts";
import type { Config } from "../config/config.ts";
import { requireUsableServer } from "../config/set-aside.ts";
import { stateOwner } from "../install/state-owner.ts";
import type { RestoreRequest } from "../jobs/restore/report.ts";
import { endpointOf, endpointOfUrl } from "../postgres/connection.ts";
import type { PeerRelay } from "../postgres/peer-relay.ts";
import { openPeerRelay } from "../postgres/peer-relay.ts";
import type { Arguments } from "./command.ts";
import { textOption } from "./command.ts";

const URL_START = /^[a-z]+:\/\//i;

const AS_POSTGRES = "for a role without a password, as Debian's postgres, restore as root with --as postgres";

type Target = Pick<RestoreRequest, "target" | "maintenanceDatabase" | "binDir">;

export function targetOf(args: Arguments, config: Config, password: Secret | undefined): Target {
  const text = textOption(args, "target");
  if (text === undefined) {
    throw new Pg321Error("usage", "restore: --target is missing", {
      hint: "--target SERVER/DATABASE, or --target postgres://user@host/database",
    });
  }
  if (URL_START.test(text)) {
    const endpoint = { ...endpointOfUrl(text), passwordHint: AS_POSTGRES };
    const target = password === undefined ? endpoint : { ...endpoint, password };
    // The programs that dump the configured servers can also read their dumps, whatever the target.
    const binDir = config.server.flatMap(({ bin_dir }) => bin_dir ?? []);
    return { target, maintenanceDatabase: "postgres", binDir };
  }
  const slash = text.indexOf("/");
  const server = config.server.find(({ name }) => name === text.slice(0, slash));
  const database = text.slice(slash + 1);
  if (server && database !== "") {
    requireUsableServer(config, server.name);
    const { maintenance_database, bin_dir } = server;
    return {
      target: { ...endpointOf(server, database), passwordHint: AS_POSTGRES },
      maintenanceDatabase: maintenance_database,
      binDir: bin_dir,
    };
  }
  const known = config.server.map(({ name }) => `${name}/DATABASE`).join(", ");
  throw new Pg321Error(
    "usage",
    `restore: --target "${text}" is not SERVER/DATABASE with a configured server`,
    {
      hint: `expected postgres://… or one of ${known}`,
    },
  );
}

/** The password in `--password-file`, for a target that is a URL. */
export async function givenPassword(args: Arguments): Promise<Secret | undefined> {
  const [file, target] = [textOption(args, "password-file"), textOption(args, "target")];
  if (file === undefined || target === undefined) return undefined;
  if (textOption(args, "as") !== undefined)
    throw new Pg321Error("usage", "restore: --as logs in without a password", {
      hint: "omit --password-file",
    });
  if (URL_START.test(target)) return readPassword(file);
  throw new Pg321Error("usage", "restore: --password-file needs a --target URL", {
    hint: "the password of a configured server comes from the config",
  });
}

async function readPassword(file: string): Promise<Secret> {
  const bytes = await Bun.file(file)
    .bytes()
    .catch((cause) => {
      throw passwordError(file, "cannot be read", cause);
    });
  const text = exactText(bytes);
  if (text === undefined) throw passwordError(file, "is not UTF-8 text");
  return new Secret(text.replace(/^\ufeff|\r?\n$/g, ""));
}

function passwordError(file: string, why: string, cause?: unknown): Pg321Error {
  return new Pg321Error("usage", `restore: --password-file ${file} ${why}`, {
    hint: "the file must contain the password and nothing else",
    cause,
  });
}

/** With `--as`: a way to log in at the target as that user; undefined otherwise. Call it before root gives up its rights. */
export async function openTarget(
  args: Arguments,
  config: Config,
  password: Secret | undefined,
): Promise<PeerRelay | undefined> {
  const user = textOption(args, "as");
  if (user === undefined) return undefined;
  const { target } = targetOf(args, config, password);
  return openPeerRelay(target, user, await stateOwner(config.state_dir));
}
