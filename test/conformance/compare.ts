/** Facts of two targets against each other, and against the list of known deviations. */
import { type Deviation, deviations } from './deviations.js';
import type { Fact } from './normalise.js';

export interface Difference {
  fact: string;
  field: string;
  host: string;
  got: string;
}

const key = ({ step, field }: Fact): string => `${step} → ${field}`;

export function differences(host: readonly Fact[], got: readonly Fact[]): Difference[] {
  const expected = new Map(host.map((fact) => [key(fact), fact.value]));
  const seen = new Map(got.map((fact) => [key(fact), fact.value]));
  return [...new Set([...expected.keys(), ...seen.keys()])]
    .filter((fact) => expected.get(fact) !== seen.get(fact))
    .map((fact) => ({
      fact,
      field: fact.slice(fact.lastIndexOf(' → ') + 3),
      host: expected.get(fact) ?? '(nothing)',
      got: seen.get(fact) ?? '(nothing)',
    }));
}

export const show = ({ fact, host, got }: Difference): string => `${fact}: host ${host}, here ${got}`;

const matches = (pattern: string | RegExp | undefined, value: string): boolean =>
  pattern === undefined || (typeof pattern === 'string' ? pattern === value : pattern.test(value));

const used = new Set<Deviation>();

/** The listed deviation that a difference falls under. */
export function known(of: Deviation['of'], name: string, { fact, field }: Difference): Deviation | undefined {
  const step = fact.slice(fact.indexOf(': ') + 2, fact.lastIndexOf(' → '));
  const found = deviations.find((one) => one.of === of && matches(one.cases, name) && matches(one.field, field) && matches(one.step, step));
  if (found) used.add(found);
  return found;
}

/** Listed, and not seen in this process. */
export function unused(of: Deviation['of']): Deviation[] {
  return deviations.filter((one) => one.of === of && !one.sometimes && !used.has(one));
}
