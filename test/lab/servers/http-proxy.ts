/** A request as the server would receive it, and a function to forward it. */
export interface ProxiedRequest {
  method: string;
  /** Path and query. */
  target: string;
  headers: Headers;
  body: Uint8Array;
  forward(change?: { body?: Uint8Array; headers?: Headers }): Promise<Response>;
}

export interface HttpProxy extends AsyncDisposable {
  readonly endpoint: string;
  /** Called for every request from now on; at the start it forwards. */
  answer: (request: ProxiedRequest) => Promise<Response>;
}

/** An HTTP proxy for a server, to produce answers that a real server gives only in rare failures. */
export function startHttpProxy(targetEndpoint: string): HttpProxy {
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    maxRequestBodySize: 1024 * 1024 * 1024,
    async fetch(request) {
      const { method, headers } = request;
      const target = request.url.slice(new URL(request.url).origin.length);
      const body = new Uint8Array(await request.arrayBuffer());
      const forward: ProxiedRequest["forward"] = async (change) => {
        const hasBody = method !== "GET" && method !== "HEAD";
        const answer = await fetch(targetEndpoint + target, {
          method,
          // Keeps the Host header, which is part of the signature.
          headers: change?.headers ?? headers,
          redirect: "manual",
          ...(hasBody ? { body: change?.body ?? body } : {}),
        });
        return answer;
      };
      return proxy.answer({ method, target, headers, body, forward });
    },
  });
  const proxy: HttpProxy = {
    endpoint: `http://127.0.0.1:${server.port}`,
    answer: (request) => request.forward(),
    [Symbol.asyncDispose]: () => server.stop(true),
  };
  return proxy;
}
