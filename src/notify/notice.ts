import type { AlertLevel, Job } from "../config/config.ts";

/**
 * `raised`: a problem began or got worse, or (INFO) something succeeded. `reminder`: it continues. `resolved`: it
 * is over.
 */
const ALERT_EVENTS = ["raised", "reminder", "resolved"] as const;
/** The events of a run. */
const RUN_EVENTS = ["started", "succeeded", "failed"] as const;
/** `test`: a person tries whether a notifier works. */
export type NoticeEvent = (typeof ALERT_EVENTS)[number] | (typeof RUN_EVENTS)[number] | "test";

/** A message to a notifier. The webhook and the command get it unchanged, so names and meanings never change. */
export interface Notice {
  /** The same at every attempt, so that a receiver can recognize a repetition. */
  id: string;
  event: NoticeEvent;
  level: AlertLevel;
  job: Job;
  /** Identifies the problem; all notices of one alert share it. */
  key: string;
  alert_id: string | null;
  run_id: string | null;
  /** The host that sends it. */
  host: string;
  installation: string;
  server: string | null;
  database: string | null;
  /** One sentence. */
  message: string;
  /** Of a `resolved` notice: how it is now, in one sentence. Null for other events. */
  resolution: string | null;
  /** Number of times it has happened. */
  count: number;
  first_at: string;
  last_at: string;
  resolved_at: string | null;
  /** Statistics of the job, and other facts. */
  metadata: Record<string, unknown>;
}
