import { plural, sizeText } from "../../base/text/amounts.ts";
import type { StorageStatus } from "../../status/report.ts";
import { minFreeBytes, minFreeText, type StorageState, storageState } from "../../status/storage-state.ts";
import { Bar, Fact, Moment, type Page, State, type Tone } from "./elements.tsx";
import { shortened } from "./words.ts";

const TONES: Readonly<Record<StorageState, Tone>> = {
  unreachable: "bad",
  "below min_free": "bad",
  "nearly full": "warning",
  reachable: "good",
  "not checked": "new",
};

export const Storages = ({ storages, page }: { storages: readonly StorageStatus[]; page: Page }) => (
  <section aria-labelledby="storages">
    <h2 id="storages">Storages</h2>
    {storages.length === 0 ? (
      <p class="muted">No storage is configured.</p>
    ) : (
      <ul class="cards">
        {storages.map((storage) => (
          <StorageCard storage={storage} page={page} />
        ))}
      </ul>
    )}
  </section>
);

const StorageCard = ({ storage, page }: { storage: StorageStatus; page: Page }) => {
  const state = storageState(storage);
  const tone = TONES[state];
  return (
    <li class={`card edge ${tone}`}>
      <div class="top">
        <h3>
          <bdi>{storage.name}</bdi>
        </h3>
        <State tone={tone}>{state === "not checked" ? "not checked yet" : state}</State>
      </div>
      <p class="place">
        {storage.type}
        {storage.off_site && ", off-site"}: {place(storage)}
      </p>
      {storage.is_reachable === false && storage.error !== null && (
        <p class="error">{shortened(storage.error)}</p>
      )}
      {state === "below min_free" && (
        <p class="error">This storage takes no more copies: {minFreeText(storage)}</p>
      )}
      <Space storage={storage} />
      <dl class="facts">
        <Fact name="Copies">
          <span class="relative">{plural(storage.copies, "copy", "copies")}</span>{" "}
          <span class="absolute">{sizeText(storage.stored_bytes)} stored</span>
        </Fact>
        {storage.copies > 0 && (
          <Fact name="Read back">
            <span class="relative">{coverageText(storage, 30)}</span>{" "}
            <span class="absolute">{coverageText(storage, 90)}</span>
          </Fact>
        )}
        <Fact name="Last checked">
          {storage.checked_at === null ? (
            <span class="muted">never</span>
          ) : (
            <Moment at={storage.checked_at} page={page} />
          )}
        </Fact>
        {storage.immutability.is_wanted && (
          <Fact name={storage.immutability.is_immutable ? "Immutable" : "Not immutable"}>
            {storage.immutability.sentence}
          </Fact>
        )}
        {storage.last_error_at !== null && (
          <Fact name={`Last of ${plural(storage.errors, "error")}`}>
            <Moment at={storage.last_error_at} page={page} />
          </Fact>
        )}
      </dl>
      {storage.is_reachable !== false && storage.last_error !== null && (
        <p class="muted small">{shortened(storage.last_error, 160)}</p>
      )}
    </li>
  );
};

/** `87 % in 30 days` */
function coverageText({ coverage }: StorageStatus, days: number): string {
  const { copies_ratio = null } = coverage.find((one) => one.days === days) ?? {};
  return `${Math.floor(100 * (copies_ratio ?? 0))} % in ${days} days`;
}

const Space = ({ storage }: { storage: StorageStatus }) => {
  const minFree = minFreeBytes(storage);
  const tone = TONES[storageState(storage)];
  const { free_bytes, total_bytes } = storage;
  if (free_bytes === null || total_bytes === null || total_bytes <= 0) return null;
  const usedRatio = 1 - free_bytes / total_bytes;
  return (
    <div class="space">
      <Bar ratio={usedRatio} tone={tone === "good" ? "new" : tone} />
      <p>
        {sizeText(free_bytes)} free of {sizeText(total_bytes)}
        <span class="muted">
          {" "}
          · {Math.round(100 * usedRatio)} % used{minFree !== null && ` · ${sizeText(minFree)} must stay free`}
        </span>
      </p>
    </div>
  );
};

/** The storage's location, without the setting `min_free`, which the space shows. */
function place({ location }: StorageStatus): string {
  const parts = Object.entries(location).filter(([name]) => name !== "min_free");
  return parts.map(([name, value]) => (parts.length === 1 ? value : `${name} ${value}`)).join(", ");
}
