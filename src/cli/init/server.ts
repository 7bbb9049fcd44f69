import { dirname } from "node:path";
import { Pg321Error } from "../../base/errors.ts";
import { findAccount, isRoot, userName } from "../../base/process/become-user.ts";
import type { Finding } from "../../doctor/finding.ts";
import { SERVICE_USER } from "../../install/host.ts";
import { endpointOfUrl, hostOf } from "../../postgres/connection.ts";
import { READ_ALL_MAJOR, roleStatements } from "../../postgres/dump-rights.ts";
import type { Invocation } from "../command.ts";
import { textOption } from "../command.ts";
import type { Values } from "./answers.ts";
import type { Draft } from "./draft.ts";
import type { Prompts } from "./prompts.ts";
import { makeRoleAs, makeRoleByUrl } from "./role.ts";
import { secretIn } from "./secret-file.ts";

const NAME = "main";
const PORT = 5432;
/** Failures that neither a password nor a role mends. */
const UNREACHED =
  /ECONNREFUSED|ENOENT|ENOTFOUND|EAI_AGAIN|EHOSTUNREACH|ENETUNREACH|ETIMEDOUT|no answer within/;

/** Asks for the server until `doctor` has nothing against it; makes the role if it may. Throws code `database`. */
export async function askServer(draft: Draft, prompts: Prompts, invocation: Invocation): Promise<void> {
  const { arguments: args } = invocation;
  const given = textOption(args, "server");
  const passwordFile = textOption(args, "password-file");
  const password = passwordFile === undefined ? undefined : await secretIn(passwordFile, "password-file");
  for (;;) {
    const address =
      given ?? (await prompts.text("Server: socket, HOST:PORT or URL", socketOf(PORT) ?? "localhost"));
    const isUnderstood = await isAddress(address, draft, given === undefined ? prompts : undefined);
    if (isUnderstood && password !== undefined) await usePassword(draft, password);
    if (isUnderstood && (await isAccepted(draft, prompts, invocation))) return;
    if (given !== undefined || !(await prompts.confirm("Try another server?", true)))
      throw new Pg321Error("database", "init: pg321 cannot back up this server yet; nothing was installed", {
        hint: "correct the cause above, then run pg321 init again",
      });
  }
}

/** Takes the address if it can be one. Otherwise says why; without `prompts`, throws code `usage`. */
async function isAddress(address: string, draft: Draft, prompts: Prompts | undefined): Promise<boolean> {
  try {
    draft.answers.server = await serverOf(address, draft);
    await draft.validate();
    return true;
  } catch (error) {
    if (!prompts?.isAsking || !(error instanceof Pg321Error && error.code === "usage")) throw error;
    prompts.failure(error);
    return false;
  }
}

/** Examines the server; after a failure it offers a password, the role, or another look. */
async function isAccepted(draft: Draft, prompts: Prompts, { arguments: args }: Invocation): Promise<boolean> {
  const by = textOption(args, "create-role-as");
  if (by !== undefined) await makeRole(draft, prompts, by);
  for (;;) {
    const findings = await draft.examine("server");
    const failures = findings.filter(({ verdict }) => verdict === "failed");
    show(findings, prompts);
    if (failures.length === 0) return true;
    if (!prompts.isAsking) return false;
    const isReached = failures.every(({ message }) => !UNREACHED.test(message));
    const isRefused = failures.some(({ message }) => message.startsWith("cannot connect"));
    if (isReached && (await mended(draft, prompts, isRefused))) continue;
    if (!(await prompts.confirm("Look again?", false))) return false;
  }
}

/** Whether something was changed that may help. `isRefused`: the server did not let the role in. */
async function mended(draft: Draft, prompts: Prompts, isRefused: boolean): Promise<boolean> {
  const { server } = draft.answers;
  const role = String(server["user"]);
  const isLocal = server["host"] === undefined || String(server["host"]).startsWith("/");
  if (isRefused && !isLocal) {
    const password = await prompts.secret(`Password of "${role}" (Enter: none)`);
    if (password !== "") {
      await usePassword(draft, password);
      return true;
    }
  }
  prompts.say(
    `These statements make a role that can read everything, but is no superuser (PostgreSQL ${READ_ALL_MAJOR} and newer):\n${roleStatements(role).join("\n")}`,
  );
  if (isLocal && isRoot() && findAccount("postgres") !== undefined) {
    if (!(await prompts.confirm('Run them now as "postgres"?', true))) return false;
    return makeRole(draft, prompts, "postgres");
  }
  const url = await prompts.secret(
    "URL of a superuser, to run them (it is not kept; Enter: run them yourself)",
  );
  return url !== "" && makeRole(draft, prompts, url);
}

/** Makes the role as an account of this host over the socket, or with a superuser's URL and a new password. */
async function makeRole(draft: Draft, prompts: Prompts, by: string): Promise<boolean> {
  const { server } = draft.answers;
  const role = String(server["user"]);
  try {
    const made = await (/^postgres(ql)?:/.test(by)
      ? makeRoleByUrl(by, role)
      : makeRoleAs(by, { server, port: PORT }, role));
    if (made.password !== undefined) await usePassword(draft, made.password);
    prompts.good(
      made.wasThere
        ? `role "${role}" exists: it has the rights now, and its password is unchanged`
        : `role "${role}" made`,
    );
    return true;
  } catch (error) {
    prompts.failure(error);
    return false;
  }
}

async function usePassword(draft: Draft, password: string): Promise<void> {
  draft.answers.server["password"] = await draft.addCredential(`${NAME}-password`, password);
}

function show(findings: readonly Finding[], prompts: Prompts): void {
  for (const { verdict, subject, message, hint } of findings) {
    const text = `${subject}: ${message}`;
    if (verdict === "ok") prompts.good(text);
    else if (verdict === "warning") prompts.warn(hint === null ? text : `${text}\n${hint}`);
    else prompts.bad(hint === null ? text : `${text}\n${hint}`);
  }
}

/** The keys of `[[server]]` for an address: a socket's directory or path, `HOST`, `HOST:PORT`, or a URL. */
async function serverOf(address: string, draft: Draft): Promise<Values> {
  if (/^postgres(ql)?:/.test(address)) {
    const { host, port, user, password, database, sslmode } = endpointOfUrl(address, "server");
    if (password !== undefined) await usePassword(draft, password.reveal());
    return {
      ...base(user),
      ...(host !== undefined && { host }),
      ...(port !== PORT && { port }),
      ...(draft.answers.server["password"] !== undefined && { password: draft.answers.server["password"] }),
      ...(database !== "postgres" && { maintenance_database: database }),
      ...(sslmode !== "prefer" && { sslmode }),
    };
  }
  const socket = /^(\/.*?)(?:\/\.s\.PGSQL\.(\d+))?$/.exec(address);
  const network = /^(\[[^\]]+\]|[^:]+)(?::(\d+))?$/.exec(address);
  const [, host = address, port = String(PORT)] = socket ?? network ?? [];
  // A socket knows the user of this host; over the network the role of the service's name is as good as any.
  const isPeer = host.startsWith("/") && draft.places.directory !== undefined;
  const role = isPeer ? userName() : SERVICE_USER;
  // Where libpq looks by itself: the config need not say it.
  if (host === socketOf(PORT) && Number(port) === PORT) return base(role);
  return {
    ...base(role),
    host: host.replace(/^\[(.*)\]$/, "$1"),
    ...(Number(port) !== PORT && { port: Number(port) }),
  };
}

function base(user: string): Values {
  return { name: NAME, user };
}

/** The directory of the server's socket on this host. */
function socketOf(port: number): string | undefined {
  const host = hostOf({ host: undefined, port });
  return host.startsWith("/") ? dirname(`${host}/.s`) : undefined;
}
