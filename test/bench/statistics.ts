/** What many measurements of the same thing come to. */

export interface Summary {
  median: number;
  min: number;
  max: number;
  samples: readonly number[];
}

export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Between two values of an even number of them, the middle. */
export function percentile(values: readonly number[], percent: number): number {
  if (values.length === 0) return NaN;
  const sorted = [...values].sort((a, b) => a - b);
  const at = ((sorted.length - 1) * percent) / 100;
  const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
  return low + (high - low) * (at - Math.floor(at));
}

export function summary(samples: readonly number[]): Summary {
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), samples };
}
