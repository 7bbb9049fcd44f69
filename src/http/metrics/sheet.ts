import { setImmediate } from "node:timers/promises";
import { Counter, Gauge, Registry } from "prom-client";
import { ALL_METRICS, type MetricLabels, type MetricName } from "./list.ts";

/** The values of one scrape. Each scrape makes a new sheet, so that series of removed things disappear. */
export class MetricSheet {
  readonly #registry = new Registry();
  readonly #metrics = new Map<MetricName, Counter | Gauge>();

  /** Adds a series; none if the value is null (unknown). The same labels must not be set twice. */
  set<N extends MetricName>(name: N, labels: MetricLabels<N>, value: number | null): void {
    if (value === null || !Number.isFinite(value)) return;
    // A metric is registered with its first value: without labels it would be exported as 0 until then.
    const metric = this.#metrics.get(name) ?? this.#add(name);
    if (metric instanceof Counter) metric.inc(labels, value);
    else metric.set(labels, value);
  }

  /** Adds one series for each state of `all`: 1 for `current`, 0 for the others. */
  setState<N extends MetricName, L extends string & keyof MetricLabels<N>>(
    name: N,
    labels: Omit<MetricLabels<N>, L>,
    label: L,
    all: readonly string[],
    current: string,
  ): void {
    for (const state of all)
      this.set(name, { ...labels, [label]: state } as MetricLabels<N>, state === current ? 1 : 0);
  }

  /** The sheet in the Prometheus text format. Gives the event loop a turn between two metrics. */
  async text(): Promise<string> {
    const parts: string[] = [];
    for (const name of Object.keys(ALL_METRICS)) {
      if (!this.#metrics.has(name as MetricName)) continue;
      parts.push(await this.#registry.getSingleMetricAsString(name));
      await setImmediate();
    }
    return `${parts.join("\n\n")}\n`;
  }

  #add(name: MetricName): Counter | Gauge {
    const { type, help, labels } = ALL_METRICS[name];
    const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
    const metric = type === "counter" ? new Counter(options) : new Gauge(options);
    this.#metrics.set(name, metric);
    return metric;
  }
}
