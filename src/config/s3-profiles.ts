import type { S3Provider } from "./config.ts";

/** The settings in a config that locate an S3 storage. */
export interface S3Given {
  account_id?: string | undefined;
  region?: string | undefined;
  endpoint?: string | undefined;
}

/** The settings derived from a provider's profile; a config may override these defaults. */
export interface S3Derived {
  endpoint: string;
  region: string;
  path_style: boolean;
  max_parallel_parts: number;
  max_parts: number;
}

/** A mistake at a key of the `[[storage]]` table. */
export interface S3Problem {
  key: keyof S3Given;
  message: string;
}

interface S3Profile {
  /** Unset if only the user can know the endpoint. */
  endpoint?: (region: string, accountId: string) => string;
  /** Unset if the user must name a region. */
  region?: string;
  region_example: string;
  needs_account_id: boolean;
  path_style: boolean;
  max_parallel_parts: number;
  /** Whether a PUT carries `If-None-Match: *`. With "try" a server that answers 501 is still handled. */
  conditional_put: "never" | "try";
}

const SELF_HOSTED: S3Profile = {
  region: "us-east-1",
  region_example: "us-east-1",
  needs_account_id: false,
  // A bucket in the host name needs DNS and a certificate for every bucket, which few self-hosted servers have.
  path_style: true,
  max_parallel_parts: 4,
  conditional_put: "try",
};

const PROFILES: Record<S3Provider, S3Profile> = {
  "cloudflare-r2": {
    endpoint: (_region, accountId) => `https://${accountId}.r2.cloudflarestorage.com`,
    region: "auto",
    region_example: "auto",
    needs_account_id: true,
    path_style: true,
    // R2 throttles an upload with more than two or three parts at the same time.
    max_parallel_parts: 2,
    conditional_put: "try",
  },
  "backblaze-b2": {
    endpoint: (region) => `https://s3.${region}.backblazeb2.com`,
    region_example: "us-east-005",
    needs_account_id: false,
    path_style: true,
    max_parallel_parts: 4,
    // B2 answers 501, and only after it has read the body.
    conditional_put: "never",
  },
  aws: {
    endpoint: (region) => `https://s3.${region}.amazonaws.com${region.startsWith("cn-") ? ".cn" : ""}`,
    region_example: "eu-central-1",
    needs_account_id: false,
    path_style: false,
    max_parallel_parts: 4,
    conditional_put: "try",
  },
  wasabi: {
    endpoint: (region) => `https://s3.${region}.wasabisys.com`,
    region_example: "eu-central-2",
    needs_account_id: false,
    path_style: true,
    max_parallel_parts: 4,
    conditional_put: "try",
  },
  minio: SELF_HOSTED,
  ceph: SELF_HOSTED,
  generic: SELF_HOSTED,
};

const MAX_PARTS = 10_000;
/** Providers without a profile (`generic`) that accept fewer parts than S3's 10,000. */
const FEWER_PARTS: readonly { host_suffix: string; max_parts: number }[] = [
  { host_suffix: ".scw.cloud", max_parts: 1_000 },
];

/**
 * Derives endpoint, region and limits of a provider. Settings in the config take precedence (an R2 bucket in the EU
 * jurisdiction has its own endpoint). Returns all problems if something is missing or invalid.
 */
export function deriveS3(provider: S3Provider, given: S3Given): S3Derived | S3Problem[] {
  const profile = PROFILES[provider];
  const problems: S3Problem[] = [];
  const region = given.region ?? profile.region;
  if (region === undefined) {
    problems.push({
      key: "region",
      message: `provider "${provider}" needs a region, such as "${profile.region_example}"`,
    });
  } else if (!/^[A-Za-z0-9-]+$/.test(region)) {
    problems.push({ key: "region", message: `"${region}" is not the name of a region` });
  }
  const endpoint = endpointOf(provider, profile, given, region ?? profile.region_example, problems);
  if (problems.length > 0 || region === undefined || endpoint === undefined) return problems;
  return {
    endpoint,
    region,
    path_style: profile.path_style,
    max_parallel_parts: profile.max_parallel_parts,
    max_parts: maxPartsAt(endpoint),
  };
}

/** Whether the first PUT may carry `If-None-Match: *`. */
export function triesConditionalPut(provider: S3Provider): boolean {
  return PROFILES[provider].conditional_put === "try";
}

function endpointOf(
  provider: S3Provider,
  profile: S3Profile,
  given: S3Given,
  region: string,
  problems: S3Problem[],
): string | undefined {
  if (given.endpoint !== undefined) {
    const problem = endpointProblem(given.endpoint);
    if (problem !== undefined) problems.push({ key: "endpoint", message: problem });
    return given.endpoint.replace(/\/+$/, "");
  }
  if (profile.endpoint === undefined) {
    problems.push({
      key: "endpoint",
      message: `provider "${provider}" needs an endpoint, such as "https://s3.example.com"`,
    });
    return undefined;
  }
  if (profile.needs_account_id && given.account_id === undefined) {
    problems.push({
      key: "account_id",
      message: `provider "${provider}" needs an account_id or an endpoint`,
    });
    return undefined;
  }
  if (profile.needs_account_id && !/^[0-9a-f]{32}$/.test(given.account_id ?? "")) {
    problems.push({ key: "account_id", message: "an account id is 32 hexadecimal digits" });
  }
  return profile.endpoint(region, given.account_id ?? "");
}

function endpointProblem(endpoint: string): string | undefined {
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    return "an endpoint must be a URL that begins with https:// or http://";
  }
  if (url.username !== "" || url.password !== "")
    return "an endpoint must not contain a user name or password";
  if (url.pathname !== "/" || url.search !== "")
    return "an endpoint must not contain a path; name the bucket with the key bucket";
  return undefined;
}

function maxPartsAt(endpoint: string): number {
  const host = new URL(endpoint).hostname;
  return FEWER_PARTS.find(({ host_suffix }) => host.endsWith(host_suffix))?.max_parts ?? MAX_PARTS;
}
