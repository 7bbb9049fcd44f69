import type { Secret } from "../secret.ts";

/** The HTTP proxy that requests to one host go through. */
export class WebProxy {
  /** May contain a user and a password. */
  readonly url: Secret;
  /** `proxy.example.com:3128`, for messages. */
  readonly place: string;
  /** The environment variable that sets it. */
  readonly variable: string;
  /** Whether the environment file beside the config names the same one, which the service gets as well. */
  readonly isInFile: boolean;

  constructor(named: { url: Secret; place: string; variable: string; isInFile: boolean }) {
    this.url = named.url;
    this.place = named.place;
    this.variable = named.variable;
    this.isInFile = named.isInFile;
  }

  toString(): string {
    return this.place;
  }
}

/** An error of `fetch`. */
interface Failure {
  code: string;
  message: string;
}

export interface ProxyProblem {
  message: string;
  hint: string;
}

/**
 * Codes of failed connections. For a request through a proxy, the only connection that we make is the one to the proxy.
 */
const UNREACHABLE = [
  ...["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH"],
  ...["ConnectionRefused", "FailedToOpenSocket"],
];
/** Bun's code if a proxy does not answer CONNECT with 200. */
const TUNNEL_REFUSED = "ERR_PROXY_TUNNEL";

/**
 * Explains the error of a request through `proxy`; undefined if the proxy is not known to be the cause. `target` is the
 * host that the request was for.
 */
export function proxyProblem(failure: Failure, proxy: WebProxy, target: string): ProxyProblem | undefined {
  const { place, variable } = proxy;
  if (UNREACHABLE.includes(failure.code)) {
    return {
      message: `no answer from the proxy ${place} (${failure.code})`,
      hint: `check that the proxy runs, correct ${variable}, or add ${target} to NO_PROXY`,
    };
  }
  const answer = tunnelAnswer(failure);
  return answer === undefined ? undefined : refusal(answer, proxy, target);
}

/** The status with which only a proxy, never a server, asks for a login. */
export const PROXY_LOGIN_STATUS = 407;

/** The problem of a request without TLS that the proxy itself answered with that status. */
export function loginRefusal(proxy: WebProxy, target: string): ProxyProblem {
  return refusal(`${PROXY_LOGIN_STATUS} Proxy Authentication Required`, proxy, target);
}

function refusal(answer: string, proxy: WebProxy, target: string): ProxyProblem {
  return {
    message: `the proxy ${proxy.place} refuses to connect to ${target}: ${answer}`,
    hint: hintFor(answer, proxy),
  };
}

/** Whether the proxy refused because of its rules, so that another attempt is useless. */
export function isProxyRefusal(failure: Failure): boolean {
  const answer = tunnelAnswer(failure);
  return answer !== undefined && /^4/.test(answer) && !/^(408|429)/.test(answer);
}

/** The proxy's answer to CONNECT: `403 Forbidden`. */
function tunnelAnswer({ code, message }: Failure): string | undefined {
  if (code !== TUNNEL_REFUSED) return undefined;
  return /: (\d{3}[ -~]{0,60})$/.exec(message)?.[1] ?? message;
}

function hintFor(answer: string, { variable }: WebProxy): string {
  if (answer.startsWith(String(PROXY_LOGIN_STATUS)))
    return `put the user and password into ${variable}: http://user:password@host:port`;
  if (answer.startsWith("5"))
    return "the proxy cannot reach that host: check its name and port, and the proxy's log";
  return "allow that host and port in the rules of the proxy, or add the host to NO_PROXY";
}
