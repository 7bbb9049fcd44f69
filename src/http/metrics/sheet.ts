import { setImmediate } from "node:timers/promises";
import { Counter, Gauge, Registry } from "prom-client";
import { METRICS, type MetricLabels, type MetricName } from "./list.ts";

/** The values of one scrape. Each has its own, so that nothing stays of what is gone, and nothing grows. */
export class MetricSheet {
  readonly #registry = new Registry();
  readonly #metrics = new Map<MetricName, Counter | Gauge>();

  /** Null: not known, then there is no such series. The same labels must not come twice. */
  set<N extends MetricName>(name: N, labels: MetricLabels<N>, value: number | null): void {
    if (value === null || !Number.isFinite(value)) return;
    // Made when its first value comes: one without labels would show 0 until then.
    const metric = this.#metrics.get(name) ?? this.#add(name);
    if (metric instanceof Counter) metric.inc(labels, value);
    else metric.set(labels, value);
  }

  /** One series for each of `all`: 1 for the one that is `current`, 0 for the others. */
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

  /** In the text format of Prometheus. Lets others have their turn between two metrics. */
  async text(): Promise<string> {
    const parts: string[] = [];
    for (const name of Object.keys(METRICS)) {
      if (!this.#metrics.has(name as MetricName)) continue;
      parts.push(await this.#registry.getSingleMetricAsString(name));
      await setImmediate();
    }
    return `${parts.join("\n\n")}\n`;
  }

  #add(name: MetricName): Counter | Gauge {
    const { type, help, labels } = METRICS[name];
    const options = { name, help, labelNames: [...labels], registers: [this.#registry] };
    const metric = type === "counter" ? new Counter(options) : new Gauge(options);
    this.#metrics.set(name, metric);
    return metric;
  }
}
