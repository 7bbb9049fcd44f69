import type { Clock } from "../base/clock.ts";
import type { Notice } from "./notice.ts";

/** A notice that proves that a notifier works. It is about no problem. */
export function testNotice({
  clock,
  host,
  installation,
}: {
  clock: Clock;
  host: string;
  installation: string;
}): Notice {
  const now = clock.now().toISOString();
  return {
    id: crypto.randomUUID(),
    event: "test",
    level: "INFO",
    job: "backup",
    key: "notify test",
    alert_id: null,
    run_id: null,
    host,
    installation,
    server: null,
    database: null,
    message: "this is a test: notices from pg321 arrive here",
    resolution: null,
    count: 1,
    first_at: now,
    last_at: now,
    resolved_at: null,
    metadata: {},
  };
}
