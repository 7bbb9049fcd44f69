import type { AlertLevel, Job } from "../config/config.ts";

/** `raised`: trouble began, got worse, or (INFO) something went well. `reminder`: it goes on. `resolved`: it is over. */
export const ALERT_EVENTS = ["raised", "reminder", "resolved"] as const;
/** What becomes of a run. */
export const RUN_EVENTS = ["started", "succeeded", "failed"] as const;
export type NoticeEvent = (typeof ALERT_EVENTS)[number] | (typeof RUN_EVENTS)[number];

/** What a notifier is told. The webhook and the command get it as it is: names and meanings are for good. */
export interface Notice {
  /** The same at every try, so that a receiver can tell a repeated one. */
  id: string;
  event: NoticeEvent;
  level: AlertLevel;
  job: Job;
  /** What the trouble is the same by; the three notices of one alert share it. */
  key: string;
  alert_id: string | null;
  run_id: string | null;
  /** The host that tells it. */
  host: string;
  installation: string;
  server: string | null;
  database: string | null;
  /** One sentence. */
  message: string;
  /** How often it has happened. */
  count: number;
  first_at: string;
  last_at: string;
  resolved_at: string | null;
  /** Statistics of the job, and what else is known. */
  metadata: Record<string, unknown>;
}
